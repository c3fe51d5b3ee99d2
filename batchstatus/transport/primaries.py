"""The primaries of a Cluster, pinged one by one: one that answers is enough."""

from typing import Any

from redis import exceptions


class Primaries:
    """Which primaries have answered lately."""

    def __init__(self) -> None:
        self._in_doubt: set[str] = set()  # those that were pinged and have not answered yet

    def any_answers(self, cluster: Any) -> bool:
        """Returns True once a primary has answered. Those that have not answered their last ping come last."""
        nodes = sorted(cluster.get_primaries(), key=lambda node: node.name in self._in_doubt)
        return any(self._answers(cluster, node) for node in nodes)

    def _answers(self, cluster: Any, node: Any) -> bool:
        self._in_doubt.add(node.name)  # first, because the ping may be broken off while the server hangs
        try:
            cluster.get_redis_connection(node).execute_command("PING")
        except (exceptions.RedisError, OSError):
            return False
        self._in_doubt.discard(node.name)
        return True
