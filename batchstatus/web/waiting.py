"""Waiting reads (`Prefer: wait`, RFC 7240 §4.3): one look at the store per tick, whoever waits for whatever.

A held request costs a greenlet and an entry here. One thread looks at the states of all jobs that are waited
for, in one pipelined trip, and wakes those who wait for a job that has changed.
"""

import logging
import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from weakref import WeakSet

from batchstatus.store import JobStore
from batchstatus.web import runtime

TICK_S = 0.15
LONGEST_S = 30

_WAIT = re.compile(r'(?:^|,)\s*wait\s*=\s*"?(\d+)"?\s*(?=[,;]|$)', re.IGNORECASE | re.ASCII)
_MAX_HEADER = 1_000
_log = logging.getLogger(__name__)

_open: "WeakSet[Waits]" = WeakSet()


@dataclass(frozen=True, slots=True)
class Hold:
    """What a view returns instead of an answer: hold the request while the job is in this state, then ask anew."""

    org: str
    job_id: str
    state: str
    wait_s: int


class Waits:
    """The requests that this process holds: at most `max_held`, or as many as the process's runtime allows.

    Beyond that they are answered at once. `on_change` is told how many are held.
    """

    def __init__(self, store: JobStore, on_change: Callable[[int], None], max_held: int | None = None) -> None:
        self._store = store
        self._max_held = max_held
        self._on_change = on_change
        self._held: dict[threading.Event, Hold] = {}
        self._entering, self._ticking = threading.Lock(), threading.Lock()
        self.closed = False
        _open.add(self)

    def hold(self, hold: Hold) -> bool:
        """Return when the job is no longer in that state, or the time is up; False, at once, if too many wait."""
        woken = threading.Event()
        with self._entering:  # or two would come in where there is room for one
            if not self.has_room():
                return False
            self._held[woken] = hold
        try:
            self._on_change(len(self._held))
            if not self._start_ticking():
                return False
            woken.wait(hold.wait_s)
        finally:
            del self._held[woken]
            self._on_change(len(self._held))
        return True

    def has_room(self) -> bool:
        """Return True if one more request may be held."""
        most = runtime.in_use().max_held if self._max_held is None else self._max_held
        return not self.closed and len(self._held) < most

    def _start_ticking(self) -> bool:
        """Start the thread that looks, unless it runs. Returns False if no thread is to be had."""
        if self._ticking.acquire(blocking=False):
            try:
                threading.Thread(target=self._tick, name="batchstatus waits", daemon=True).start()
            except RuntimeError:
                self._ticking.release()
                return False
        return True

    def close(self) -> None:
        """Let every request go, and hold none from now on; the process is about to end."""
        self.closed = True

    def _tick(self) -> None:
        """Look, wake, and sleep, for as long as anyone waits."""
        while True:
            while self._held:
                started = time.monotonic()
                for woken in self._changed():
                    woken.set()
                time.sleep(max(0.0, TICK_S - (time.monotonic() - started)))
            self._ticking.release()
            # Someone may have come after the last look and before the release, and started no thread.
            if not self._held or not self._ticking.acquire(blocking=False):
                return

    def _changed(self) -> list[threading.Event]:
        """Who is to be woken; everyone when the store cannot be asked, so that they hear of it."""
        held = dict(self._held)
        if self.closed:
            return list(held)
        jobs = {(hold.org, hold.job_id) for hold in held.values()}
        try:
            states = dict(zip(jobs, self._store.reader.states(list(jobs)), strict=True))
        except Exception as error:  # whatever it is: they ask anew, and hear of it
            _log.info("held requests are let go: %s", error)
            return list(held)
        return [woken for woken, hold in held.items() if states[hold.org, hold.job_id] != hold.state]


def wanted_wait_s(prefer: str) -> int:
    """How long the caller would wait: `Prefer: wait=<s>`, at most 30; 0 if it says nothing sensible."""
    found = _WAIT.search(prefer) if 0 < len(prefer) <= _MAX_HEADER else None
    return min(int(found[1]), LONGEST_S) if found else 0


def release_held() -> None:
    """Answer every held request of this process at once, and hold none from now on; it is about to end."""
    for waits in list(_open):
        waits.close()
