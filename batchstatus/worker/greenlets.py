"""Gives way to the reporter where threads are greenlets, which nothing interrupts: gevent's and eventlet's.

An importer that computes, in pure Python, would never let such a reporter run, and the lease would run out while
the importer is well. So every call of the importer's gives way once the reporter is overdue. A real thread is run
by the interpreter, whatever the importer does.
"""

import _thread
import time

_LONGEST_S, _STEP_S = 0.1, 0.001


def threads_are_greenlets() -> bool:
    """Returns True if gevent or eventlet has put greenlets in the place of threads."""
    return _thread.start_new_thread.__module__ != "_thread"


class GivingWay:
    """When to give way: `every_s` seconds after the reporter last ran.

    A reporter that is not done within the time given waits for the store. It is then overdue only `patience_s`
    seconds later, so that a store that is away costs the importer little.
    """

    def __init__(self, every_s: float, patience_s: float) -> None:
        self._every_s, self._patience_s = every_s, patience_s
        self._due_at = time.monotonic() + every_s

    def reported(self) -> None:
        """Note that the reporter has run."""
        self._due_at = time.monotonic() + self._every_s

    def now_and_then(self) -> None:
        """Let the reporter run if it is overdue, for a tenth of a second at most."""
        due_at, now = self._due_at, time.monotonic()
        if now < due_at:
            return
        while self._due_at == due_at and time.monotonic() < now + _LONGEST_S:
            time.sleep(_STEP_S)
        if self._due_at == due_at:
            self._due_at = time.monotonic() + self._patience_s
