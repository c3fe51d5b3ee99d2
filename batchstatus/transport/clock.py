"""An estimate of the store's clock, good enough to decide when to ask it. It alone decides anything else."""

import time

from batchstatus.transport.connection import Connection

REFRESH_S = 5.0


class StoreClock:
    """Tells whether a moment of the store's clock has passed, erring early by up to one round trip.

    It keeps the offset to the monotonic clock, so that this machine's wall clock plays no part, and asks
    the store again (`TIME`) every few seconds, and only while someone wants to know. In a Cluster it does so
    server by server, so that one that is away plays no part for the others.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._estimates: dict[str, tuple[float, float]] = {}

    def passed(self, moment_ms: int, key: str = "") -> bool:
        """Whether the clock of the server that has `key` has reached `moment_ms` (ms since the epoch)."""
        now_s = time.monotonic()
        server = self._connection.server_of(key)
        offset_ms, refresh_at = self._estimates.get(server, (0.0, 0.0))
        if now_s >= refresh_at:
            # Taken at the answer, held against the question: the estimate is early, never late.
            offset_ms = self._connection.clock_ms(key) - now_s * 1000
            self._estimates[server] = offset_ms, now_s + REFRESH_S
        return now_s * 1000 + offset_ms >= moment_ms
