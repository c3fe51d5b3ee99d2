"""How requests run under gevent: each in a greenlet that can be interrupted, with shared trips to the store."""

from functools import partial
from types import TracebackType

import gevent

from batchstatus.store import JobStore
from batchstatus.web.runtime import Runtime
from batchstatus.web.server.trips import SharingConnection

MAX_HELD = 3_000
"""Most requests that a process holds; each costs a greenlet."""


class TimeLimit:
    """A context that raises `error` once it has lasted `seconds`."""

    def __init__(self, seconds: float, error: Exception) -> None:
        # A gevent.Timeout is a BaseException. redis-py's Cluster would take an Exception for trouble of the server
        # that it asked, and go on with the next one.
        self._timeout = gevent.Timeout(seconds)
        self._error = error

    def __enter__(self) -> None:
        self._timeout.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._timeout.close()
        if error is self._timeout:
            raise self._error from None


GEVENT = Runtime(
    open_store=partial(JobStore.open, connect=SharingConnection), time_limit=TimeLimit, max_held=MAX_HELD
)
