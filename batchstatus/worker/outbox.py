"""What a run has counted and not yet delivered.

The importer's threads count, the reporter's thread takes. A row must cost next to nothing, so there is no
lock between them: each importing thread has a tally of its own, whose whole state is one immutable tuple,
replaced at every call. To take is to make a cut, to read the tuples of all tallies in one step that the
interpreter does not interrupt; a batch is the difference between two cuts.

So the checkpoint of a batch covers that batch and all before it, and nothing after it: whatever has been
delivered when a worker dies, its counters and its checkpoint agree.

Nor may there be a lock for the sake of signals: a handler may raise between any two steps of an importer (Ctrl-C),
and locks that are written in Python, as Condition and Event are, may then stay locked for ever. So who has to
wait looks again and again, and what takes several steps may stop after each of them.
"""

import threading
import time
from collections import deque
from contextlib import suppress
from itertools import chain, count, repeat
from operator import attrgetter
from queue import Empty, SimpleQueue
from types import TracebackType
from typing import Any

from batchstatus.errors import JobCancelled
from batchstatus.messages import Batch, Wanted
from batchstatus.rows import Shaped
from batchstatus.worker.tally import NOTHING, Rest, State, Tally, checkpoint_in, rows_in, take_until

_STATE = attrgetter("state")
_RETRY_S = 0.02


class Outbox:
    """The tallies of a run, and the batch that is on its way.

    A batch is full with `flush_rows` failed and skipped rows, or one more for each further thread; while
    `max_waiting_rows` of them wait, adding blocks. Once `fail` was called, every call raises what that was given.
    """

    def __init__(self, flush_rows: int, max_waiting_rows: int) -> None:
        self._flush_rows, self._max_waiting_rows = flush_rows, max_waiting_rows
        self._tallies: dict[int, Tally] = {}
        self._taken: list[State] = []
        self._arrived: list[State] = []
        self._sending: Batch | None = None
        # A full batch's cut waits here, so that a report never carries more rows than that.
        self._full: deque[list[State]] = deque()
        self._rows_arrived = self._rows_cut = 0  # failed and skipped rows; cut: in the newest that may be taken
        self.stamps = count(1)
        self._work: SimpleQueue[None] = SimpleQueue()
        self.error: BaseException | None = None
        self._trace: TracebackType | None = None
        self.checks = 0
        self._pausing: set[int] = set()
        self._wanted = Wanted.RUN

    @property
    def paused(self) -> int:
        """How many threads wait because a pause is wanted."""
        return len(self._pausing)

    def tally(self) -> Tally:
        """The tally of the thread that calls."""
        if self.error is not None:
            raise self.error.with_traceback(self._trace)
        # A dict's get and setdefault are atomic, and no other thread asks for this one's tally.
        thread = threading.get_ident()
        return self._tallies.get(thread) or self._tallies.setdefault(thread, Tally())

    def failed(self, row: Shaped, checkpoint: Any) -> None:
        """Add a failed row; blocks while too many wait."""
        tally, rows = self._with_room()
        failed, skipped, total_items = tally.state[2]
        tally.failures.append((failed + 1, row))
        self._added(tally, checkpoint, (failed + 1, skipped, total_items), rows + 1)

    def skipped(self, row: Shaped, checkpoint: Any) -> None:
        """Add a skipped row; blocks while too many wait."""
        tally, rows = self._with_room()
        failed, skipped, total_items = tally.state[2]
        tally.skips.append((skipped + 1, row))
        self._added(tally, checkpoint, (failed, skipped + 1, total_items), rows + 1)

    def total(self, total_items: int) -> None:
        """Set the job's number of rows."""
        tally = self.tally()
        succeeded, checkpoint, (failed, skipped, _) = tally.state
        tally.state = (succeeded, checkpoint, (failed, skipped, total_items))

    def check(self) -> None:
        """Raise what the run has failed with, or JobCancelled; wait while a pause is wanted."""
        self.checks += 1
        if self.error is None and self._wanted is Wanted.PAUSE:
            self._pause()
        if self.error is not None:
            raise self.error.with_traceback(self._trace)
        if self._wanted is Wanted.CANCEL:
            raise JobCancelled("the job is to be cancelled")

    def obey(self, wanted: Wanted) -> None:
        """Take notice of what is asked of the worker."""
        self._wanted = wanted

    def activity(self) -> tuple[Any, ...]:
        """Something that differs after every call."""
        return self.checks, self._cut()

    def at_rest(self) -> bool:
        """Whether the run obeys a pause, and all that it counted before has arrived."""
        # The pause is read first: what its thread counts, it counts before.
        return self.paused > 0 and self._sending is None and self._cut() == self._taken

    def wait(self, timeout_s: float) -> None:
        """Wait until a batch is full, `wake` is called, or the time is up."""
        with suppress(Empty):
            self._work.get(timeout=timeout_s)
            while True:  # what comes after this wakes anew
                self._work.get_nowait()

    def wake(self) -> None:
        """End the `wait` that is under way, or else the next one."""
        self._work.put(None)

    def take(self) -> Batch | None:
        """The next batch, or None; the same one until `sent` is called."""
        if self._sending is None:
            before, self._taken = self._taken, self._next_cut()
            self._sending = self._batch(before, self._taken) or None
            if self._full:
                self.wake()
        return self._sending

    def sent(self) -> None:
        """The batch that was taken has arrived, or never will."""
        self._arrived, self._rows_arrived = self._taken, rows_in(self._taken)
        self._sending = None

    def fail(self, error: BaseException) -> None:
        """Make every later call, and every one that is blocked, raise `error`; the first one stays."""
        if self.error is None:
            # Raised as often as is called, its trace would grow each time.
            self._trace, self.error = error.__traceback__, error

    def undelivered(self) -> dict[str, int]:
        """How many rows have not arrived, by outcome."""
        now, arrived = self._cut(), self._arrived
        return {
            "succeeded": sum(state[0] for state in now) - sum(state[0] for state in arrived),
            "failed": sum(state[2][0] for state in now) - sum(state[2][0] for state in arrived),
            "skipped": sum(state[2][1] for state in now) - sum(state[2][1] for state in arrived),
        }

    def _cut(self) -> list[State]:
        """The states of all tallies, with no thread's turn in between, or a checkpoint might lack rows."""
        while True:
            # The list is made first: making a map may collect garbage, and that may give other threads a turn.
            tallies = list(self._tallies.values())
            cut = list(map(_STATE, tallies))
            if len(tallies) == len(self._tallies):
                return cut

    def _next_cut(self) -> list[State]:
        cut = self._cut()  # first: if nothing was full until after this, it has not too many rows
        while self._full:
            full = self._full.popleft()
            if rows_in(full) > rows_in(self._taken):  # which may have been taken before it was put there
                return full
        self._rows_cut = rows_in(cut)
        return cut

    def _batch(self, before: list[State], cut: list[State]) -> Batch:
        """What was counted between two cuts."""
        tallies = list(zip(list(self._tallies.values()), cut, chain(before, repeat(NOTHING)), strict=False))
        totals = [new[2][2] for _, new, old in tallies if new[2][2] != old[2][2]]
        newest, last = map(checkpoint_in, (cut, before))
        return Batch(
            succeeded=sum(new[0] - old[0] for _, new, old in tallies),
            failures=tuple(row for tally, new, _ in tallies for row in take_until(new[2][0], tally.failures)),
            skips=tuple(row for tally, new, _ in tallies for row in take_until(new[2][1], tally.skips)),
            total_items=totals[-1] if totals else None,
            checkpoint=newest[1] if newest and (last is None or newest[1] != last[1]) else None,
        )

    def _pause(self) -> None:
        thread = threading.get_ident()
        try:
            self._pausing.add(thread)
            self.wake()  # so that the store hears at once that the pause is obeyed
            while self._wanted is Wanted.PAUSE and self.error is None:
                time.sleep(_RETRY_S)
        finally:
            self._pausing.discard(thread)

    def _with_room(self) -> tuple[Tally, int]:
        """The tally of the thread that calls, once not too many rows wait, and how many were added so far."""
        while True:
            tally = self.tally()
            rows = rows_in([tally.state]) if len(self._tallies) == 1 else rows_in(self._cut())
            if rows - self._rows_arrived < self._max_waiting_rows:
                return tally, rows
            time.sleep(_RETRY_S)

    def _added(self, tally: Tally, checkpoint: Any, rest: Rest, rows: int) -> None:
        """Count a row that was added to a tally; `rows` is how many there are with it."""
        succeeded, before, _ = tally.state
        tally.state = (succeeded, before if checkpoint is None else (next(self.stamps), checkpoint), rest)
        if rows - self._rows_cut >= self._flush_rows:
            cut = self._cut()
            self._full.append(cut)
            self._rows_cut = rows_in(cut)
            self.wake()
