"""How fast the rows of a running job go, and how long the rest will take, from the marks that the store has noted.

The store notes marks of time and rows (`protocol/lua/report.lua`): the first since the present claim, or since the
last pause, and two later ones, which move on with each eighth of the way. So there are three paces: of all the
way, of its last part, and of the last moments. The middle one is the estimate; the fastest and the slowest bound
it.
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

SHORTEST_MS = 2_000
"""A pace is known after this time: a report may bring the rows of a whole commit."""

DOUBT = 1.5
"""How much wider the interval is before anything is seen than at the end. With less, it would miss too often where
the pace halves, wherever that is (`tests/unit/model/test_progress.py`)."""

_MARKS = re.compile(rb"\d{1,16} (\d{1,16}) (\d{1,16}) (\d{1,16}) (\d{1,16}) (\d{1,16}) (\d{1,16})")
_EPOCH, _MILLISECOND = datetime(1970, 1, 1, tzinfo=UTC), timedelta(milliseconds=1)
_STATES = {"batchCancelRequested": "cancelling", "batchPaused": "paused", "batchPauseRequested": "pausing"}


@dataclass(frozen=True, slots=True)
class Progress:
    """The pace of a job's present claim, pauses left out, as of the job's last heartbeat.

    `started_at` is when the job was last claimed, None if it never was. All else is None while it is not known: in
    the first seconds of a claim and after a pause, while the job is paused or awaits a worker, once it has ended.
    `seconds_left` is None, too, while the number of rows is not known, and while no rows come; it is between
    `seconds_left_low` and `seconds_left_high`, between which the true time should be at least four times in five.
    """

    started_at: datetime | None = None
    rows_per_second: float | None = None
    seconds_left: float | None = None
    seconds_left_low: float | None = None
    seconds_left_high: float | None = None


class Noted(NamedTuple):
    """The store's fields `claimedAt` and `pace`, as stored."""

    claimed_at: bytes | None = None
    pace: bytes | None = None


@dataclass(frozen=True, slots=True)
class AtWork:
    """A running job, or the part with this number of a split one, as an operator sees it.

    `worker` is who the worker says it is, if it does. `silent_s` is the age of the last heartbeat (seconds).
    """

    org: str
    job_id: str
    part: int | None
    kind: str
    worker: str | None
    heartbeat_at: datetime
    lease_expires_at: datetime | None
    silent_s: float
    done: int
    total_items: int | None
    flags: frozenset[str]
    pace: Noted

    @property
    def state(self) -> str:
        """What is going on, in words. `silent`: more than half of the lease has passed without a heartbeat."""
        if "batchAwaitingWorker" in self.flags:
            return "waiting for a worker"
        lease = (self.lease_expires_at or self.heartbeat_at) - self.heartbeat_at
        if self.silent_s > lease.total_seconds() / 2:
            return "silent"
        return next((word for flag, word in _STATES.items() if flag in self.flags), "running")

    @property
    def rows_per_second(self) -> float | None:
        """The pace of the present claim; None while it is not known, and where no rows come or can come."""
        if self.state in ("waiting for a worker", "silent", "paused"):
            return None
        at_ms = (self.heartbeat_at - _EPOCH) // _MILLISECOND
        return estimate(self.pace, at_ms, self.done, self.total_items).rows_per_second


def estimate(noted: Noted, heartbeat_ms: int | None, done: int, total: int | None) -> Progress:
    """Returns the progress of a job whose worker is at work, with these numbers of rows at its last heartbeat.

    Without a heartbeat, `heartbeat_ms` None, only the start is known. Fields that cannot be are as none.
    """
    started_at = _time(noted.claimed_at)
    found = _MARKS.fullmatch(noted.pace or b"")
    if heartbeat_ms is None or found is None:
        return Progress(started_at)
    numbers = [int(number) for number in found.groups()]
    latest, middle, first = (
        _pace(heartbeat_ms - at_ms, done - rows) for at_ms, rows in zip(numbers[::2], numbers[1::2], strict=True)
    )
    if first is None:
        return Progress(started_at)
    pace = first if middle is None else middle
    if total is None or pace <= 0:
        return Progress(started_at, round(pace, 2))
    paces = [each for each in (latest, middle, first) if each]
    left = max(0, total - done)
    # The pace has held for this long; the longer the rest, the sooner it will change before the end.
    seen_s, left_s = (heartbeat_ms - numbers[4]) / 1000, left / pace
    doubt = 1 + DOUBT * left_s / (left_s + seen_s)
    times = left / pace, left / max(paces) / doubt, left / min(paces) * doubt
    return Progress(started_at, round(pace, 2), *(round(seconds, 1) for seconds in times))


def _pace(lasted_ms: int, rows: int) -> float | None:
    """Returns rows per second; None where the time is too short to tell, or rows have been taken back."""
    return rows * 1000 / lasted_ms if lasted_ms >= SHORTEST_MS and rows >= 0 else None


def _time(stored: bytes | None) -> datetime | None:
    known = stored is not None and stored.isdigit() and len(stored) <= 14
    return _EPOCH + timedelta(milliseconds=int(stored)) if known and stored else None
