"""Carries commands to Redis, and turns what can go wrong there into errors of ours."""

import threading
from collections.abc import Callable, Sequence
from typing import Any

from redis.cluster import RedisCluster
from redis.exceptions import (
    ConnectionError as RedisConnectionError,
)
from redis.exceptions import (
    MovedError,
    NoScriptError,
    RedisError,
)
from redis.exceptions import (
    TimeoutError as RedisTimeoutError,
)

from batchstatus.errors import JobCorrupt, NotReplicated
from batchstatus.transport.line import Line
from batchstatus.transport.trouble import STORE_ERRORS, is_corrupt
from batchstatus.transport.urls import Client

# Of the time that a command may take, so much may be spent on waiting for replicas.
_WAIT_SHARE = 0.8


class Connection:
    """The commands that the store sends, over any redis-py client (fakeredis included).

    `client` may also be what opens one: with the first command, and again where another server may be the
    primary now.
    With `min_replicas` > 0 a script's writes count only once so many replicas have confirmed them, within
    `timeout_s`; otherwise NotReplicated. Raises StoreUnavailable when the store does not answer or refuses,
    JobCorrupt when a key holds something else than it should.
    """

    def __init__(
        self, client: Client | Callable[[], Client], *, min_replicas: int = 0, timeout_s: float = 1.0
    ) -> None:
        self._open_client: Callable[[], Client] = client if callable(client) else lambda: client
        self._min_replicas = min_replicas
        self._wait_ms = max(1, int(timeout_s * 1000 * _WAIT_SHARE))
        self._opened: Any = None  # redis-py types raw commands too loosely for mypy
        self._is_cluster = False
        self._opening = threading.Lock()
        self._in_doubt: set[str] = set()  # servers of a Cluster that were pinged and have not answered yet

    def command(self, *words: Any) -> Any:
        """One command, one round trip; the answer as RESP2 gives it (bytes, int, list, None)."""
        with STORE_ERRORS:
            return self._client.execute_command(*words)

    def ping(self) -> None:
        """Raise StoreUnavailable unless the store answers; of a Cluster, one of its primaries is enough."""
        with STORE_ERRORS:
            if not self.is_cluster:
                self._client.execute_command("PING")
            elif not any(map(self._answers, self._primaries())):
                self._forget_nodes()
                raise RedisConnectionError("no primary of the Cluster answers")

    def clock_ms(self, key: str | None = None) -> float:
        """The store's clock, in milliseconds since the epoch; in a Cluster that of the server that has `key`."""
        with STORE_ERRORS:
            client = self._client
            target = {}
            if self.is_cluster:
                target["target_nodes"] = client.get_node_from_key(key) if key else client.get_random_primary_node()
            seconds, microseconds = client.execute_command("TIME", **target)
        return int(seconds) * 1000 + int(microseconds) / 1000

    def server_of(self, key: str) -> str:
        """The name of the server that has `key`; empty where there is but one."""
        if not self.is_cluster:
            return ""
        with STORE_ERRORS:
            return str(self._client.get_node_from_key(key).name)

    def transaction(self, *commands: Sequence[Any]) -> list[Any]:
        """Several commands in one MULTI/EXEC, one round trip: all answers are of one moment.

        Their keys are in one slot.
        """
        with STORE_ERRORS:
            return self._pipeline(commands[0][1], commands, transaction=True)

    def pipeline(self, commands: Sequence[Sequence[Any]]) -> list[Any]:
        """Several commands in one round trip (in a Cluster, one for each server), each of its own moment.

        The answer to one that met a key which holds something else is a JobCorrupt.
        """
        with STORE_ERRORS:
            pipeline = self._client.pipeline(transaction=False)
            for words in commands:
                pipeline.execute_command(*words)
            answers: list[Any] = pipeline.execute(raise_on_error=False)
            for answer in answers:
                if isinstance(answer, Exception) and not is_corrupt(answer):
                    raise answer
        return [JobCorrupt(str(each)) if isinstance(each, Exception) else each for each in answers]

    def line(self) -> Line:
        """A connection of its own to a store that is no Cluster, for reads that follow each other closely."""
        with STORE_ERRORS:
            return Line(self._client.connection_pool)

    def write_together(self, *writes: Sequence[Any]) -> None:
        """Several writes in one MULTI/EXEC that obeys `min_replicas`. Their keys are in one slot."""
        if not self._min_replicas:
            self.transaction(*writes)
            return
        with STORE_ERRORS:
            self._send_durably(("MULTI",), *writes, ("EXEC",), key=writes[0][1])

    def evaluate(
        self, sha1: str, source: str, keys: Sequence[str], arguments: Sequence[Any], *, durable: bool = True
    ) -> Any:
        """Run a script by its hash; a server that does not know it (restarted, flushed) gets the source.

        A `durable` one obeys `min_replicas`.
        """
        with STORE_ERRORS:
            try:
                return self._run(durable, "EVALSHA", sha1, len(keys), *keys, *arguments)
            except NoScriptError:
                return self._run(durable, "EVAL", source, len(keys), *keys, *arguments)

    def confirm(self, keys: Sequence[str], ttl_ms: int) -> None:
        """Make sure, by a write that changes nothing, that this server still has its replicas.

        A primary that was deposed without knowing it has none left. Nothing is sent without `min_replicas`.
        """
        if self._min_replicas:
            with STORE_ERRORS:
                self._send_durably(*(("PEXPIRE", key, ttl_ms) for key in keys), key=keys[0])

    def write(self, *words: Any) -> Any:
        """One write, of the key that is its second word, that obeys `min_replicas`."""
        if not self._min_replicas:
            return self.command(*words)
        with STORE_ERRORS:
            return self._send_durably(words, key=words[1])

    def close(self) -> None:
        """Close every connection; the next command opens new ones."""
        if self._opened is not None:
            self._opened.close()
            self._opened = None

    @property
    def has_many_servers(self) -> bool:
        """Whether one server may be away while others answer: the store is a Cluster that we have reached."""
        return self._opened is not None and self._is_cluster

    @property
    def is_cluster(self) -> bool:
        """Whether the store is a Cluster; connects if it has not yet."""
        return self._client is not None and self._is_cluster

    @property
    def _client(self) -> Any:
        client = self._opened
        if client is None:
            with self._opening, STORE_ERRORS:
                client = self._opened = self._opened or self._open_client()
                self._is_cluster = isinstance(client, RedisCluster)  # once: it costs a few microseconds
        return client

    def _run(self, durable: bool, *words: Any) -> Any:
        if durable and self._min_replicas:
            return self._send_durably(words, key=words[3])
        return self._client.execute_command(*words)

    def _send_durably(self, *writes: Sequence[Any], key: str) -> Any:
        """Writes and their WAIT on one connection, one round trip; gives the answer to the last of them."""
        wait = ("WAIT", self._min_replicas, self._wait_ms)
        *_, answer, replicas = self._pipeline(key, (*writes, wait), transaction=False)
        if replicas < self._min_replicas:
            self._forget_primary()
            raise NotReplicated(f"{replicas} of {self._min_replicas} replicas have confirmed the write")
        return answer

    def _pipeline(self, key: str, commands: Sequence[Sequence[Any]], *, transaction: bool) -> list[Any]:
        """Several commands on one connection to the server that has `key`; raises the first error of them."""
        try:
            # The node's own client: a Cluster's pipelines know no EVALSHA, and give HGETALL as a list.
            pipeline = self._node(key).pipeline(transaction=transaction)
            for words in commands:
                pipeline.execute_command(*words)
            answers: list[Any] = pipeline.execute(raise_on_error=False)
            for answer in answers:
                if isinstance(answer, Exception):
                    raise answer
        except (RedisConnectionError, RedisTimeoutError, MovedError):
            self._forget_nodes()
            raise
        return answers

    def _node(self, key: str) -> Any:
        """The client of the server that has `key`."""
        if not self.is_cluster:
            return self._client
        return self._client.get_redis_connection(self._client.get_node_from_key(key))

    def _primaries(self) -> list[Any]:
        """The primaries of a Cluster; those that have not answered their last ping come last."""
        return sorted(self._client.get_primaries(), key=lambda node: node.name in self._in_doubt)

    def _answers(self, node: Any) -> bool:
        self._in_doubt.add(node.name)  # first, for we may be broken off while it hangs
        try:
            self._client.get_redis_connection(node).execute_command("PING")
        except (RedisError, OSError):
            return False
        self._in_doubt.discard(node.name)
        return True

    def _forget_nodes(self) -> None:
        """Learn anew which server has which slot; what is asked next goes there."""
        if self.is_cluster:
            self._client.nodes_manager.initialize()

    def _forget_primary(self) -> None:
        """A server without replicas may have been deposed and not know it: what is asked next connects anew."""
        if self.is_cluster:
            self._forget_nodes()
        else:
            self._opened = None
