"""One look at the store per tick and process, whoever waits for whatever job.

A held request and an event stream cost a greenlet and an entry each. One thread looks at all jobs that anybody
waits for, some in each pipelined trip, and tells those who wait.
"""

import logging
import threading
import time
from collections.abc import Iterable, Mapping
from typing import Protocol, TypeAlias
from weakref import WeakSet

from batchstatus.model.errors import StoreUnavailable
from batchstatus.model.messages import JobKey, Seen
from batchstatus.store import JobStore
from batchstatus.web import runtime
from batchstatus.web.breaker import Breaker

TICK_S = 0.15

LOOKED_AT_ONCE = 16
"""The most jobs of one trip. A poll takes three turns of gevent's loop, and waits in each for what else runs."""
WOKEN_AT_ONCE = 8
"""How many are woken before others have their turn, for the same reason."""
PAUSE_S = 0.0002
"""Long enough for gevent to look for requests: after a pause of 0 it goes on with up to 50 who need not wait.

Shorter than those who were woken take, so that the pauses add little where thousands wait for one job.
"""

Looks: TypeAlias = Mapping[JobKey, Seen | None]
"""What a look has seen of each job; None of one that is not there, or is damaged."""

_log = logging.getLogger(__name__)

_open: "WeakSet[Ticks]" = WeakSet()


class Audience(Protocol):
    """All requests that wait in one way: held reads, or event streams."""

    def __len__(self) -> int:
        """How many wait."""

    def wanted(self) -> Iterable[JobKey]:
        """The jobs to look at in this tick."""

    def tell(self, looks: Looks) -> None:
        """Wake those for whom something has changed."""

    def lost(self) -> None:
        """The store could not be asked in this tick."""

    def let_go(self) -> None:
        """Wake everybody: the process is about to end."""


class Ticks:
    """The thread that looks, and how many requests it may hold: `max_held`, or what the runtime allows."""

    def __init__(self, store: JobStore, breaker: Breaker, max_held: int | None = None) -> None:
        self.store = store
        self._breaker = breaker
        self._max_held = max_held
        self._audiences: list[Audience] = []
        self._ticking, self._starting = threading.Lock(), threading.Lock()
        self.entering = threading.Lock()
        """Held while somebody comes in, or two would come in where there is room for one."""
        self.closed = False
        _open.add(self)

    def join(self, audience: Audience) -> None:
        """Look for this audience too."""
        self._audiences.append(audience)

    def has_room(self) -> bool:
        """Return True if one more request may be held."""
        most = runtime.in_use().max_held if self._max_held is None else self._max_held
        return not self.closed and sum(map(len, self._audiences)) < most

    def start(self) -> bool:
        """Start the thread that looks, unless it runs. Returns False if no thread is to be had."""
        with self._starting:  # nobody may take a thread for running that another fails to start
            if self._ticking.acquire(blocking=False):
                try:
                    threading.Thread(target=self._tick, name="batchstatus ticks", daemon=True).start()
                except RuntimeError:
                    self._ticking.release()
                    return False
        return True

    def close(self) -> None:
        """Let every request go, and hold none from now on; the process is about to end."""
        self.closed = True

    def _tick(self) -> None:
        """Look, tell, and sleep, for as long as anyone waits."""
        while True:
            while any(map(len, self._audiences)):
                started = time.monotonic()
                self._look()
                time.sleep(max(0.0, TICK_S - (time.monotonic() - started)))
            self._ticking.release()
            # Someone may have come after the last look and before the release, and started no thread.
            if not any(map(len, self._audiences)) or not self._ticking.acquire(blocking=False):
                return

    def _look(self) -> None:
        if self.closed:
            for audience in self._audiences:
                audience.let_go()
            return
        try:
            self._breaker.check()
            jobs = list({job for audience in self._audiences for job in audience.wanted()})
            looks: dict[JobKey, Seen | None] = {}
            for some in (jobs[n : n + LOOKED_AT_ONCE] for n in range(0, len(jobs), LOOKED_AT_ONCE)):
                looks |= zip(some, self.store.reader.look_at(some), strict=True)
            for audience in self._audiences:
                audience.tell(looks)
        except Exception as error:  # whatever it is: a thread that died would leave everybody waiting
            is_bug = not isinstance(error, StoreUnavailable)
            level = logging.ERROR if is_bug else logging.INFO
            _log.log(level, "a look at the jobs that are waited for failed: %s", error, exc_info=is_bug)
            for audience in self._audiences:
                audience.lost()


def wake(waiting: Iterable[threading.Event]) -> None:
    """Wake those who wait for these events, some at a time."""
    for number, each in enumerate(waiting, 1):
        each.set()
        if number % WOKEN_AT_ONCE == 0:
            time.sleep(PAUSE_S)


def release_held() -> None:
    """Answer every held request of this process at once, and hold none from now on; it is about to end."""
    for ticks in list(_open):
        ticks.close()
