"""Waiting reads (`Prefer: wait`, RFC 7240 §4.3): requests that are held until their job's state has changed."""

import re
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from batchstatus.model.messages import JobKey, Seen
from batchstatus.web.live.ticking import Looks, Ticks, wake

LONGEST_S = 30

_WAIT = re.compile(r'(?:^|,)\s*wait\s*=\s*"?(\d+)"?\s*(?=[,;]|$)', re.IGNORECASE | re.ASCII)
_MAX_HEADER = 1_000


@dataclass(frozen=True, slots=True)
class Hold:
    """What a view returns instead of an answer: hold the request while the job is in this state, then ask anew."""

    org: str
    job_id: str
    state: str
    wait_s: int


class Waits:
    """The requests that this process holds. Beyond what `ticks` has room for they are answered at once.

    `on_change` is told how many are held.
    """

    def __init__(self, ticks: Ticks, on_change: Callable[[int], None]) -> None:
        self._ticks = ticks
        self._on_change = on_change
        self._held: dict[threading.Event, Hold] = {}
        ticks.join(self)

    def __len__(self) -> int:
        return len(self._held)

    def hold(self, hold: Hold) -> bool:
        """Return when the job is no longer in that state, or the time is up; False, at once, if too many wait."""
        woken = threading.Event()
        with self._ticks.entering:
            if not self._ticks.has_room():
                return False
            self._held[woken] = hold
        try:
            self._on_change(len(self._held))
            if not self._ticks.start():
                return False
            woken.wait(hold.wait_s)
        finally:
            del self._held[woken]
            self._on_change(len(self._held))
        return True

    def has_room(self) -> bool:
        """Return True if one more request may be held."""
        return self._ticks.has_room()

    def wanted(self) -> Iterable[JobKey]:
        """The jobs that are waited for."""
        return [(hold.org, hold.job_id) for hold in list(self._held.values())]

    def tell(self, looks: Looks) -> None:
        """Wake those who wait for a job whose state is another."""
        held = [(woken, hold, (hold.org, hold.job_id)) for woken, hold in list(self._held.items())]
        wake(woken for woken, hold, job in held if job in looks and _state(looks[job]) != hold.state)

    def lost(self) -> None:
        """Wake everyone: they ask anew, and hear of it."""
        self.let_go()

    def let_go(self) -> None:
        """Wake everyone."""
        wake(list(self._held))


def _state(look: Seen | None) -> str | None:
    return None if look is None else look.state


def wanted_wait_s(prefer: str) -> int:
    """How long the caller would wait: `Prefer: wait=<s>`, at most 30; 0 if it says nothing sensible."""
    found = _WAIT.search(prefer) if 0 < len(prefer) <= _MAX_HEADER else None
    return min(int(found[1]), LONGEST_S) if found else 0
