"""The servers of the topologies, data nodes and Sentinels: real processes that end with the test process."""

import os
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from batchstatus.embedded.server import GUARD, HOST, EmbeddedServer, server_binary
from tests.support.ports import free_port
from tests.support.waiting import wait_until

READY_S = 150.0
"""Only what hangs takes so long: a Sentinel that had no turn for 2 s does nothing for the next 30."""
KEEPS_DATA = ("--appendonly", "yes", "--appendfsync", "no")
"""Options of a server that, killed and started again, has all that it acknowledged.

It writes to its file before it answers, and what is written outlives the process. Only a crash of the machine
would need a sync too. On a busy machine a single sync has been seen to take eleven seconds.
"""
T = TypeVar("T")

HASTY = ("PING-PERIOD", 300, "INFO-PERIOD", 500, "PUBLISH-PERIOD", 200, "SLAVE-RECONF-TIMEOUT", 1_000)
PATIENT = ("INFO-PERIOD", 2_000, "PUBLISH-PERIOD", 1_300)
"""A Sentinel's check intervals (ms). HASTY tells a node of a failover that the node missed, or forgot, after about
3 or 6 s, PATIENT after 10 or 20 s. Neither changes how long a failover takes."""


def ask(
    port: int, question: Callable[["redis.Redis"], T], password: str | None = None, timeout_s: float = 1.0
) -> T | None:
    """Returns the answer of the server at `port`, or None if there is none in time, or an error."""
    once = Retry(NoBackoff(), 0)
    login = {"port": port, "password": password}
    with redis.Redis(**login, decode_responses=True, socket_timeout=timeout_s, retry=once) as client:
        try:
            return question(client)
        except redis.RedisError:
            return None


class Node(EmbeddedServer):
    """A data node. It starts a full synchronization at once, not after the default delay of 5 s."""

    def __init__(self, *options: str) -> None:
        super().__init__("--repl-diskless-sync-delay", "0", *options)

    def ask(self, *words: str | int) -> Any:
        """Run one command. Returns None if there is no answer."""
        return ask(self.port, lambda client: client.execute_command(*words))

    def tell(self, *words: str | int) -> Any:
        """Run one command on a server that answers, however late. Returns the answer."""
        answer = ask(self.port, lambda client: client.execute_command(*words), timeout_s=READY_S)
        assert answer, f"{words} is refused"
        return answer

    @property
    def role(self) -> str | None:
        """`master` or `slave`, as the node itself reports."""
        answer = self.ask("ROLE")
        return answer and str(answer[0])

    def replicas_online(self) -> int:
        """Returns the number of replicas that are in sync with the node."""
        found = self.ask("INFO", "replication") or {}
        states = [found[f"slave{number}"]["state"] for number in range(found.get("connected_slaves", 0))]
        return states.count("online")


class ClusterNode(Node):
    """A Cluster node with an append-only file. The Cluster stays up while some slots have no server.

    Nodes take another for dead that is silent for `timeout_ms`, and themselves for cut off if most others are. A
    replica takes a dead primary's place if there is `failover`.
    """

    def __init__(self, timeout_ms: int, failover: bool) -> None:
        self.bus_port = free_port()
        bus = ("--cluster-port", str(self.bus_port), "--cluster-node-timeout", str(timeout_ms))
        stays_up = ("--cluster-require-full-coverage", "no", *KEEPS_DATA)
        follows = ("--cluster-replica-no-failover", "no" if failover else "yes")
        super().__init__("--cluster-enabled", "yes", *stays_up, *follows, *bus)


class Sentinel:
    """A Sentinel, run by the server's binary in a directory of its own.

    `lines` are more lines of its configuration, such as a `requirepass`, which then has the `password`. It takes
    servers for dead that are silent for `silence_s`.
    """

    def __init__(
        self,
        primary_port: int,
        *lines: str,
        hasty: bool,
        silence_s: float = 1.5,
        quorum: int = 2,
        binary: str | None = None,
        password: str | None = None,
    ) -> None:
        self.port = free_port()
        self._directory = directory = Path(tempfile.mkdtemp(prefix="batchstatus-sentinel-"))
        config = directory / "sentinel.conf"
        config.write_text(
            f"port {self.port}\nbind {HOST}\ndir {directory}\nlogfile {directory}/sentinel.log\n"
            f"sentinel monitor mymaster {HOST} {primary_port} {quorum}\n"
            f"sentinel down-after-milliseconds mymaster {silence_s * 1000:.0f}\n"
            "sentinel failover-timeout mymaster 3000\n"
            "sentinel parallel-syncs mymaster 2\n" + "".join(f"{line}\n" for line in lines)
        )
        self.log = directory / "sentinel.log"
        self._leash, theirs = socket.socketpair()
        command = [binary or server_binary(), str(config), "--sentinel"]
        with theirs:
            self._guard = subprocess.Popen(
                [sys.executable, "-I", "-S", str(GUARD), str(os.getpid()), str(directory), *command],
                stdin=theirs.fileno(),
                stdout=theirs.fileno(),
                start_new_session=True,
            )
        wait_until(lambda: ask(self.port, lambda client: client.ping(), password), READY_S)
        debug = ("SENTINEL", "DEBUG", *(HASTY if hasty else PATIENT))
        wait_until(lambda: ask(self.port, lambda client: client.execute_command(*debug), password), READY_S)

    def sees(self, replicas: int) -> int | None:
        """Returns the primary's port if it is up, with `replicas` replicas and two other Sentinels; else None."""
        primary = ask(self.port, lambda client: client.execute_command("SENTINEL MASTER", "mymaster"))
        found = ask(self.port, lambda client: client.sentinel_slaves("mymaster"))
        if not primary or not found or primary["flags"] != "master" or primary["num-other-sentinels"] != 2:
            return None
        following = [
            each
            for each in found
            if each["flags"] == "slave"
            and each["master-link-status"] == "ok"
            and each["master-port"] == primary["port"]
        ]
        return int(primary["port"]) if len(following) >= replicas else None

    def stop(self) -> None:
        """End the Sentinel and remove its directory."""
        self._leash.close()
        self._guard.wait()
        shutil.rmtree(self._directory)
