"""The differences between the releases of redis-py that may be installed: 5.2.1 to 8."""

from inspect import signature
from typing import Any

import redis
from redis.connection import AbstractConnection, ConnectionPool

from batchstatus.model.errors import InvalidValue

_HAS_DRIVER_INFO = "driver_info" in signature(AbstractConnection.__init__).parameters
_NAMES_COMMAND = signature(ConnectionPool.get_connection).parameters["command_name"].default is not None
_CLUSTER_SINCE = (8, 1)

ANONYMOUS: dict[str, None] = {"driver_info": None} if _HAS_DRIVER_INFO else {"lib_name": None, "lib_version": None}
"""Options of a connection that does not send the library's name to the server, which would take two commands."""


def take_connection(pool: ConnectionPool) -> Any:
    """Returns a connection of the pool. redis-py before 5.3 requires a command's name; later releases warn."""
    return pool.get_connection("HGETALL") if _NAMES_COMMAND else pool.get_connection()


def address_of_primary(sentinel: Any, name: str) -> tuple[str, int]:
    """Returns the primary's address that a Sentinel names.

    The method of redis-py 6.3 to 7.0 for this command passes options that their own parser refuses.
    """
    address: tuple[str, int] = sentinel.execute_command("SENTINEL GET-MASTER-ADDR-BY-NAME", name)
    return address


def check_cluster() -> None:
    """Raise InvalidValue if redis-py is too old for a Cluster.

    8.1 is the first release with which the tests of a Cluster pass. Before 6.1, a thread that reads redis-py's
    table of nodes fails with RuntimeError while another one changes it.
    """
    if redis.VERSION[:2] < _CLUSTER_SINCE:
        raise InvalidValue(f"a Cluster needs redis-py 8.1 or newer, and {redis.__version__} is installed")


class BlockingPool(redis.BlockingConnectionPool):
    """A pool that can close its idle connections only; before 7.0, redis-py's own closes all of them or none."""

    def disconnect(self, inuse_connections: bool = True) -> None:
        """Close the connections; without `inuse_connections`, the idle ones only."""
        if inuse_connections:
            super().disconnect()
        else:
            for connection in filter(None, self.pool.queue):
                connection.disconnect()
