"""Redis topologies of real processes: a primary with replicas behind three Sentinels, and a Cluster.

Every server ends with the test process. A node that is restarted after a kill does not know of a failover, and
behind Sentinel it has lost its data too; Sentinel, or the Cluster, makes it a replica of the new primary.
"""

from collections.abc import Sequence
from contextlib import ExitStack
from functools import partial
from typing import Any, Self

import pytest
import redis
from redis.crc import key_slot

from batchstatus.embedded.server import HOST
from tests.support.nodes import READY_S, ClusterNode, Node, Sentinel, ask
from tests.support.waiting import wait_until

SLOTS = 16_384
needs_cluster = pytest.mark.skipif(redis.VERSION[:2] < (8, 1), reason="a Cluster needs redis-py 8.1")
"""Skips a test where the installed redis-py is refused for a Cluster, as in `make lowest`."""


class SentinelTopology:
    """One primary, two replicas and three Sentinels of which two must agree, as a context manager.

    `hasty` Sentinels soon make a restarted node a replica. Others leave a primary that was deposed while frozen
    alone for a while. On a busy machine a node may be silent for `busy_s` longer before it counts as dead: a
    failover to a replica that lags behind, because the best one seems dead, loses what was acknowledged.
    """

    def __init__(self, *, hasty: bool = True, busy_s: float = 0.0) -> None:
        self._hasty, self._silence_s = hasty, 1.5 + busy_s
        self._ending = ExitStack()
        self.nodes = [Node() for _ in range(3)]
        self.sentinels: list[Sentinel] = []

    @property
    def url(self) -> str:
        """The URL for `connect`."""
        addresses = ",".join(f"{HOST}:{sentinel.port}" for sentinel in self.sentinels)
        return f"redis+sentinel://{addresses}/mymaster/0"

    def primary(self) -> Node:
        """Wait until all Sentinels name the same primary, and return it."""
        port = wait_until(self._agreed_port, READY_S, "the Sentinels agree on a primary")
        return next(node for node in self.nodes if node.port == port)

    def wait_ready(self) -> Node:
        """Wait until two replicas are in sync and all Sentinels know them. Returns the primary."""
        port = wait_until(lambda: self._all_see(2), READY_S, "a primary with two replicas")
        primary = next(node for node in self.nodes if node.port == port)
        wait_until(lambda: primary.replicas_online() == 2, READY_S)
        return primary

    def wait_failover(self, deposed: Node) -> Node:
        """Wait until all Sentinels name another primary that has a replica. Returns the new primary."""

        def elected() -> Node | None:
            found = self.primary()
            return found if found is not deposed and found.role == "master" and found.replicas_online() else None

        return wait_until(elected, READY_S, "another primary")

    def __enter__(self) -> Self:
        with ExitStack() as starting:
            for node in self.nodes:
                starting.enter_context(node)
            for replica in self.nodes[1:]:
                replica.tell("REPLICAOF", HOST, self.nodes[0].port)
            for _ in range(3):
                self.sentinels.append(Sentinel(self.nodes[0].port, hasty=self._hasty, silence_s=self._silence_s))
                starting.callback(self.sentinels[-1].stop)
            self.wait_ready()
            self._ending = starting.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.close()

    def _agreed_port(self) -> int | None:
        named = {
            ask(each.port, lambda client: client.execute_command("SENTINEL GET-MASTER-ADDR-BY-NAME", "mymaster"))
            for each in self.sentinels
        }
        address = named.pop() if len(named) == 1 else None
        return address and int(address[1])

    def _all_see(self, replicas: int) -> int | None:
        seen = {each.sees(replicas) for each in self.sentinels}
        return seen.pop() if len(seen) == 1 else None


class ClusterTopology:
    """A Cluster of three primaries with `replicas` replicas each, as a context manager.

    Without `failover` no replica takes the place of its primary. `busy_s` is as of SentinelTopology.
    """

    def __init__(self, replicas: int = 1, *, failover: bool = True, busy_s: float = 0.0) -> None:
        self._replicas = replicas
        self._ending = ExitStack()
        # With no failover to wait for there is time: nodes that are slow on a busy machine are not dead.
        timeout_ms = (1_000 if replicas and failover else 3_000) + round(1_000 * busy_s)
        self.nodes = [ClusterNode(timeout_ms, failover) for _ in range(3 + 3 * replicas)]

    @property
    def url(self) -> str:
        """The URL for `connect`."""
        return "redis+cluster://" + ",".join(f"{HOST}:{node.port}" for node in self.nodes[:3])

    def node_of(self, key: str) -> Node:
        """Returns the primary of a key's slot, according to the nodes that answer."""
        slot = key_slot(key.encode())
        ports = [shard[2][1] for shard in self._shards() if shard[0] <= slot <= shard[1]]
        return next(node for node in self.nodes if node.port == ports[0])

    def replicas_of(self, node: Node) -> list[Node]:
        """Returns the replicas of a primary."""
        ports = {replica[1] for shard in self._shards() if shard[2][1] == node.port for replica in shard[3:]}
        return [each for each in self.nodes if each.port in ports]

    def wait_ready(self) -> None:
        """Wait until every node sees all slots served, and every primary has its replicas in sync."""
        wait_until(lambda: all(map(self._is_well, self.nodes)), READY_S, "a Cluster that is well")

    def wait_failover(self, key: str, deposed: Node) -> Node:
        """Wait until a replica has taken over the slot of `key`. Returns the new primary."""

        def elected() -> Node | None:
            found = self.node_of(key)
            return found if found is not deposed and found.role == "master" else None

        return wait_until(elected, READY_S, "a failover")

    def wait_replicated(self, key: str) -> None:
        """Wait until the primary of a key's slot has a replica in sync."""
        wait_until(lambda: self.node_of(key).replicas_online(), READY_S, "a replica")

    def __enter__(self) -> Self:
        with ExitStack() as starting:
            for node in self.nodes:
                starting.enter_context(node)
            self._form()
            self.wait_ready()
            self._ending = starting.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.close()

    def _form(self) -> None:
        primaries = self.nodes[:3]
        for number, node in enumerate(primaries):
            first, last = number * SLOTS // 3, (number + 1) * SLOTS // 3 - 1
            node.tell("CLUSTER", "ADDSLOTSRANGE", first, last)
        for number, node in enumerate(self.nodes):
            node.tell("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
            self.nodes[0].tell("CLUSTER", "MEET", HOST, node.port, node.bus_port)
        ids = [node.tell("CLUSTER", "MYID") for node in primaries]
        for number, replica in enumerate(self.nodes[3:]):
            replicate = ("CLUSTER", "REPLICATE", ids[number % 3])
            wait_until(partial(replica.ask, *replicate), READY_S, "the two have met")

    def _is_well(self, node: Node) -> bool:
        said, shards = node.ask("CLUSTER", "INFO") or "", node.ask("CLUSTER", "SLOTS") or []
        replicas = [len(shard[3:]) for shard in shards]
        sees_all = "cluster_state:ok" in said and f"cluster_slots_ok:{SLOTS}" in said
        in_step = node.role == "slave" or node.replicas_online() == self._replicas
        return sees_all and in_step and replicas == 3 * [self._replicas]

    def _shards(self) -> Sequence[Any]:
        """Returns CLUSTER SLOTS: ranges of slots, each as first slot, last slot, primary, replicas."""
        return wait_until(lambda: next((said for n in self.nodes if (said := n.ask("CLUSTER", "SLOTS"))), None))
