"""An estimate of the store's clock, good enough to decide when to ask the store; no more depends on it."""

import time

from batchstatus.transport.connection import Connection

REFRESH_S = 5.0


class StoreClock:
    """Estimates the store's clock; the estimate is early by up to one round trip, and never late.

    The estimate is an offset to the monotonic clock, so that this machine's wall clock plays no part. The store is
    asked again (`TIME`) every few seconds, and only while someone calls. In a Cluster each server has an offset of
    its own, so that a server that is away does not matter to the others.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._estimates: dict[str, tuple[float, float]] = {}

    def passed(self, moment_ms: int, key: str = "") -> bool:
        """Returns True if the clock of the server that has `key` has reached `moment_ms` (ms since the epoch)."""
        return self.now_ms(key) >= moment_ms

    def now_ms(self, key: str = "") -> float:
        """Returns the time of the server that has `key` (ms since the epoch)."""
        now_s = time.monotonic()
        server = self._connection.server_of(key)
        offset_ms, refresh_at = self._estimates.get(server, (0.0, 0.0))
        if now_s >= refresh_at:
            # The time in the answer, minus the time of the question: the estimate is early, never late.
            offset_ms = self._connection.clock_ms(key) - now_s * 1000
            self._estimates[server] = offset_ms, now_s + REFRESH_S
        return now_s * 1000 + offset_ms
