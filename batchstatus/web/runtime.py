"""What the service has to know about the server that runs this process: plain threads, unless a server says more.

Only the server knows how to interrupt a request that waits, and how many requests may wait at once. So the server
says so (`use`), and the service asks (`in_use`); nothing here imports gevent or gunicorn.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

from batchstatus.settings import StoreSettings
from batchstatus.store import JobStore

TimeLimit = Callable[[float, Exception], AbstractContextManager[object]]
"""Makes a context that is left by this error once so many seconds have passed inside."""


@dataclass(frozen=True)
class Runtime:
    """How requests run in this process.

    - `open_store`: opens a store by its URL, with the connections that suit the process.
    - `time_limit`: interrupts whoever waits inside for too long.
    - `max_held`: how many requests may be held at once (`Prefer: wait`); each occupies what runs it.
    """

    open_store: Callable[[str, StoreSettings], JobStore]
    time_limit: TimeLimit
    max_held: int


def _unlimited(_seconds: float, _error: Exception) -> AbstractContextManager[object]:
    """A thread cannot be interrupted; the store's own timeouts bound each command."""
    return nullcontext()


THREADS = Runtime(open_store=JobStore.open, time_limit=_unlimited, max_held=1)
"""One thread a request, of a pool whose size nobody tells us: one thread at most is given to a held request."""

_in_use = THREADS


def use(runtime: Runtime) -> None:
    """Tell the service how this process runs requests. Called by the server, before it loads the application."""
    global _in_use
    _in_use = runtime


def in_use() -> Runtime:
    """Return the runtime of this process."""
    return _in_use
