"""Sends commands to Redis, and raises errors of ours for redis-py's."""

import random
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias, cast

from redis import RedisCluster, exceptions

from batchstatus.model.errors import NotReplicated
from batchstatus.model.keys import Keys
from batchstatus.settings import StoreSettings
from batchstatus.transport.line import Line
from batchstatus.transport.primaries import Primaries
from batchstatus.transport.together import REFUSES_MULTI, answers_of, as_script
from batchstatus.transport.trouble import STORE_ERRORS, is_corrupt
from batchstatus.transport.urls import RedisClient

Hash: TypeAlias = Mapping[bytes, bytes]
"""A hash as Redis gives it; empty if there is no such key."""

# The share of a command's timeout that may be spent on waiting for replicas.
_WAIT_SHARE = 0.8


class _Opened(NamedTuple):
    """A client, and whether its store is a Cluster: found out once, because that costs a few microseconds."""

    client: Any  # redis-py types raw commands too loosely for mypy
    is_cluster: bool


class Connection:
    """The way to a store: its commands over any redis-py client (fakeredis included), its keys, its settings.

    `client` is a client, or a function that opens one; the function is called with the first command, and again
    where another server may be the primary by then.
    With `min_replicas` > 0 a script's writes count only once so many replicas have confirmed them, within
    `timeout_s`; otherwise NotReplicated. Raises StoreUnavailable when the store does not answer or refuses,
    JobCorrupt when a key holds a value of another type.
    """

    def __init__(
        self, client: RedisClient | Callable[[], RedisClient], settings: StoreSettings | None = None
    ) -> None:
        self.settings = settings or StoreSettings()
        self.keys = Keys(self.settings.prefix)
        self._make_client: Callable[[], RedisClient] = client if callable(client) else lambda: client
        self._min_replicas = self.settings.min_replicas
        self._wait_ms = max(1, int(self.settings.timeout_s * 1000 * _WAIT_SHARE))
        self._opened: _Opened | None = None
        self._opening = threading.Lock()
        self._primaries = Primaries()

    def command(self, *words: Any) -> Any:
        """Send one command, one round trip; returns the answer as RESP2 gives it (bytes, int, list, None)."""
        with STORE_ERRORS:
            return self._open().client.execute_command(*words)

    def hash(self, key: str) -> Hash:
        """Returns the hash under a key."""
        return cast("Hash", self.command("HGETALL", key))

    def hashes(self, keys: Sequence[str]) -> list[Hash | None]:
        """Returns the hashes under these keys, None for a key of another type; one round trip, as `pipeline`."""
        return self.pipeline([("HGETALL", key) for key in keys])

    def ping(self) -> None:
        """Raise StoreUnavailable unless the store answers; of a Cluster, one of its primaries is enough."""
        with STORE_ERRORS:
            client, is_cluster = self._open()
            if not is_cluster:
                client.execute_command("PING")
            elif not self._primaries.any_answers(client):
                self._forget_nodes()
                raise exceptions.ConnectionError("no primary of the Cluster answers")

    def clock_ms(self, key: str | None = None) -> float:
        """Returns the store's clock (ms since the epoch); in a Cluster that of the server that has `key`."""
        with STORE_ERRORS:
            client, is_cluster = self._open()
            target = {}
            if is_cluster:
                target["target_nodes"] = (
                    client.get_node_from_key(key) if key else random.choice(client.get_primaries())
                )
            seconds, microseconds = client.execute_command("TIME", **target)
        return int(seconds) * 1000 + int(microseconds) / 1000

    def server_of(self, key: str) -> str:
        """Returns the name of the server that has `key`; empty where there is but one."""
        with STORE_ERRORS:
            client, is_cluster = self._open()
            return str(client.get_node_from_key(key).name) if is_cluster else ""

    def transaction(self, *commands: Sequence[Any]) -> list[Any]:
        """Send several reads of keys in one slot; all answers are of one moment. One round trip, or two."""
        with STORE_ERRORS:
            try:
                return self._pipeline(commands[0][1], commands, transaction=True)
            except REFUSES_MULTI:
                return answers_of(commands, self._run(False, *as_script(commands)))

    def pipeline(self, commands: Sequence[Sequence[Any]]) -> list[Any]:
        """Send several commands in one round trip (in a Cluster, one for each server), each of its own moment.

        The answer is None to a command whose key holds a value of another type.
        """
        with STORE_ERRORS:
            pipeline = self._open().client.pipeline(transaction=False)
            for words in commands:
                pipeline.execute_command(*words)
            answers: list[Any] = pipeline.execute(raise_on_error=False)
            for answer in answers:
                if isinstance(answer, Exception) and not is_corrupt(answer):
                    raise answer
        return [None if isinstance(each, Exception) else each for each in answers]

    def scan(self, pattern: str, sorted_set: str | None = None) -> Iterator[bytes]:
        """Yields all keys that match, of a Cluster those of all primaries; or the members of a sorted set.

        Each at least once, if it is there all the time. The store goes on meanwhile.
        """
        with STORE_ERRORS:
            client, how = self._open().client, {"match": pattern, "count": 1_000}
            found = client.zscan_iter(sorted_set, **how) if sorted_set else client.scan_iter(**how)
            yield from (each[0] if sorted_set else each for each in found)

    def line(self) -> Line:
        """Returns a separate connection to a store that is no Cluster, for reads in close succession."""
        with STORE_ERRORS:
            return Line(self._open().client.connection_pool)

    def leads_to(self, line: Line) -> bool:
        """Returns True if the line goes to the server that is the primary for all that we know."""
        return line.pool is self._open().client.connection_pool

    def write_together(self, *writes: Sequence[Any]) -> None:
        """Send several writes in one MULTI/EXEC that obeys `min_replicas`. Their keys are in one slot."""
        with STORE_ERRORS:
            if self._min_replicas:
                queued = ((str(name).encode(), *words) for name, *words in writes)  # or redis-py parses QUEUED
                self._send_durably(("MULTI",), *queued, ("EXEC",), key=writes[0][1])
            else:
                self._pipeline(writes[0][1], writes, transaction=True)

    def evaluate(
        self, sha1: str, source: str, keys: Sequence[str], arguments: Sequence[Any], *, durable: bool = True
    ) -> Any:
        """Run a script by its hash; a server that does not know it (restarted, flushed) gets the source.

        A `durable` script obeys `min_replicas`.
        """
        with STORE_ERRORS:
            try:
                return self._run(durable, "EVALSHA", sha1, len(keys), *keys, *arguments)
            except exceptions.NoScriptError:
                return self._run(durable, "EVAL", source, len(keys), *keys, *arguments)

    def confirm(self, keys: Sequence[str], ttl_ms: int) -> None:
        """Make sure, by a write that changes nothing, that this server still has its replicas.

        A primary that was deposed without knowing so has none left. Nothing is sent without `min_replicas`.
        """
        if self._min_replicas:
            with STORE_ERRORS:
                self._send_durably(*(("PEXPIRE", key, ttl_ms) for key in keys), key=keys[0])

    def write(self, *words: Any) -> Any:
        """Send one write, of the key that is its second word, that obeys `min_replicas`."""
        if not self._min_replicas:
            return self.command(*words)
        with STORE_ERRORS:
            return self._send_durably(words, key=words[1])

    def close(self) -> None:
        """Close every connection; the next command opens new ones."""
        opened, self._opened = self._opened, None
        if opened is not None:
            opened.client.close()

    def is_cluster(self) -> bool:
        """Returns True if the store is a Cluster. Opens the client if there is none yet."""
        return self._open().is_cluster

    def has_many_servers(self) -> bool:
        """Returns True if one server may be away while others answer: in a Cluster that was reached before."""
        opened = self._opened
        return opened is not None and opened.is_cluster

    def _open(self) -> _Opened:
        """Returns the client, opened if there is none."""
        opened = self._opened
        if opened is None:
            with self._opening, STORE_ERRORS:
                opened = self._opened
                if opened is None:
                    client = self._make_client()
                    opened = self._opened = _Opened(client, isinstance(client, RedisCluster))
        return opened

    def _run(self, durable: bool, *words: Any) -> Any:
        if durable and self._min_replicas:
            return self._send_durably(words, key=words[3])
        return self._open().client.execute_command(*words)

    def _send_durably(self, *writes: Sequence[Any], key: str) -> Any:
        """Send writes and their WAIT on one connection, one round trip; returns the answer to the last write."""
        wait = ("WAIT", self._min_replicas, self._wait_ms)
        *_, answer, replicas = self._pipeline(key, (*writes, wait), transaction=False)
        if replicas < self._min_replicas:
            self._forget_primary()
            raise NotReplicated(f"{replicas} of {self._min_replicas} replicas have confirmed the write")
        return answer

    def _pipeline(self, key: str, commands: Sequence[Sequence[Any]], *, transaction: bool) -> list[Any]:
        """Send several commands on one connection to the server that has `key`; raises their first error."""
        try:
            # The node's own client: a Cluster's pipelines know no EVALSHA, and give HGETALL as a list.
            pipeline = self._node(key).pipeline(transaction=transaction)
            for words in commands:
                pipeline.execute_command(*words)
            answers: list[Any] = pipeline.execute(raise_on_error=False)
            for answer in answers:
                if isinstance(answer, Exception):
                    raise answer
        except (exceptions.ConnectionError, exceptions.TimeoutError, exceptions.MovedError):
            self._forget_nodes()
            raise
        return answers

    def _node(self, key: str) -> Any:
        """Returns the client of the server that has `key`."""
        client, is_cluster = self._open()
        return client.get_redis_connection(client.get_node_from_key(key)) if is_cluster else client

    def _forget_nodes(self) -> None:
        """Learn anew which server of a Cluster has which slot; the next command goes there."""
        client, is_cluster = self._open()
        if is_cluster:
            client.nodes_manager.initialize()

    def _forget_primary(self) -> None:
        """Connect anew with the next command: a server without replicas may have been deposed and not know so."""
        if self.is_cluster():
            self._forget_nodes()
        else:
            self._opened = None
