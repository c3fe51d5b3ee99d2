"""A connection to the store that is kept for a while, for reads in close succession.

redis-py's pool asks the system about a connection each time that it hands one out, and its pipelines do much that
a read has no use for; together they cost more than the read.
"""

from collections.abc import Sequence
from typing import Any

from redis.connection import ConnectionPool
from redis.exceptions import ResponseError

from batchstatus.transport.redis_py import take_connection
from batchstatus.transport.trouble import STORE_ERRORS, is_corrupt


class Line:
    """A connection taken from a pool; for one user at a time, and to be closed after an error.

    Raises StoreUnavailable.
    """

    def __init__(self, pool: ConnectionPool) -> None:
        with STORE_ERRORS:
            self._connection: Any = take_connection(pool)
        self.pool = pool

    def hashes(self, keys: Sequence[str]) -> list[dict[bytes, bytes] | None]:
        """Returns the hashes under these keys in one round trip, each of its own moment; None for another type."""
        with STORE_ERRORS:
            packed = self._connection.pack_commands([("HGETALL", key) for key in keys])
            self._connection.send_packed_command(packed)
            return [self._hash() for _ in keys]

    def close(self, *, broken: bool = False) -> None:
        """Give the connection back; a broken one closed, because answers may come that nobody waits for."""
        if broken:
            self._connection.disconnect()
        self.pool.release(self._connection)

    def _hash(self) -> dict[bytes, bytes] | None:
        try:
            flat = self._connection.read_response()
        except ResponseError as error:
            if is_corrupt(error):
                return None
            raise
        # A URL may ask for RESP3, which has dictionaries of its own.
        return flat if isinstance(flat, dict) else dict(zip(flat[::2], flat[1::2], strict=True))
