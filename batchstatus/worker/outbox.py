"""The rows that a run has counted and not yet delivered.

The importer's threads count, the reporter's thread takes. A row must cost next to nothing, so there is no lock
between them: each importing thread has a tally of its own, whose whole state is one immutable tuple, replaced at
every call. To take is to make a cut: to read the tuples of all tallies in one step that the interpreter does not
interrupt. A batch is the difference between two cuts. A Python without the GIL has no such step, and is refused.

A checkpoint covers what its call counts and what all threads had counted before: it is kept with their counts at
that moment. A batch says how much of it its newest checkpoint covers, so that whoever takes over a dead worker's
job can return to exactly those counts.

Signals forbid locks too: a handler may raise between any two steps of an importer (Ctrl-C), and locks that are
written in Python, such as Condition and Event, may then stay locked for ever. So a thread that has to wait checks
again and again, and an operation of several steps may stop after each of them.
"""

import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from itertools import count
from operator import attrgetter
from queue import Empty, SimpleQueue
from types import TracebackType
from typing import Any

from batchstatus.model.errors import JobCancelled
from batchstatus.model.messages import Batch, Wanted
from batchstatus.model.rows import Shaped
from batchstatus.worker.tally import Checkpoint, Rest, State, Tally, batch_between, counts_between, rows_in

_STATE = attrgetter("state")
_RECHECK_S = 0.02
"""How often a blocked call checks again."""


class Outbox:
    """The tallies of a run, and the batch that is on its way.

    A batch is full with `flush_rows` failed and skipped rows, or one more for each further thread; while
    `max_waiting_rows` of them wait, adding blocks. After `fail`, every call raises the error that it was given.
    """

    def __init__(self, flush_rows: int, max_waiting_rows: int) -> None:
        self._flush_rows, self._max_waiting_rows = flush_rows, max_waiting_rows
        self._tallies: dict[int, Tally] = {}
        self._taken: list[State] = []
        self._arrived: list[State] = []
        self.sending: Batch | None = None
        # The cuts of full batches wait here, so that a report never carries more rows than a full batch.
        self._full: deque[list[State]] = deque()
        self._rows_arrived = self._rows_cut = 0  # failed and skipped rows; cut: in the newest cut
        self._stamps = count(1)
        self._work: SimpleQueue[None] = SimpleQueue()
        self._error: BaseException | None = None
        # What every call does first: nothing, give way to the reporter, or raise the error.
        self._first: Callable[[], None] | None = None
        self._trace: TracebackType | None = None
        self._say_late: Callable[[], None] | None = None
        self.closed = False
        self.checks = 0
        self._pausing: set[int] = set()
        self._wanted = Wanted.RUN

    @property
    def paused(self) -> int:
        """The number of threads that wait because a pause is wanted."""
        return len(self._pausing)

    def tally(self) -> Tally:
        """Returns the calling thread's tally."""
        if self._first is not None:
            self._first()
        # A dict's get and setdefault are atomic, and no other thread asks for this thread's tally.
        thread = threading.get_ident()
        return self._tallies.get(thread) or self._tallies.setdefault(thread, Tally())

    def given(self, checkpoint: Any, tally: Tally, succeeded: int, rest: Rest) -> Checkpoint:
        """Returns a checkpoint that covers these counts of the tally, and what the other threads have counted."""
        stamp = next(self._stamps)
        if len(self._tallies) == 1:
            return stamp, checkpoint, ((succeeded, rest),)
        covered = [(state[0], state[2]) for state in self._cut()]
        covered[list(self._tallies.values()).index(tally)] = (succeeded, rest)
        return stamp, checkpoint, tuple(covered)

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
        """Raise the error that the run has failed with, or JobCancelled; wait while a pause is wanted."""
        self.checks += 1
        if self._first is not None:
            self._first()
        if self._wanted is Wanted.PAUSE:
            self._pause()
            self._raise()
        if self._wanted is Wanted.CANCEL:
            raise JobCancelled("the job is to be cancelled")

    def wanted(self) -> Wanted:
        """Returns what is asked of the worker, or raises the error that the run has failed with."""
        self.checks += 1
        if self._first is not None:
            self._first()
        return self._wanted

    def obey(self, wanted: Wanted) -> None:
        """Note what is asked of the worker."""
        self._wanted = wanted

    def activity(self) -> tuple[Any, ...]:
        """Returns a value that differs after every call of the importer's."""
        return self.checks, self._cut()

    def at_rest(self) -> bool:
        """Returns True if the run obeys a pause, and all rows that it counted before have arrived."""
        # The pause is read first: a thread that pauses has counted its rows before.
        return self.paused > 0 and self.sending is None and self._cut() == self._taken

    def wait(self, timeout_s: float) -> None:
        """Wait until a batch is full, `wake` is called, or the time is up."""
        with suppress(Empty):
            self._work.get(timeout=timeout_s)
            while True:  # a `wake` after this ends the next wait
                self._work.get_nowait()

    def wake(self) -> None:
        """End the current `wait`, or else the next one."""
        self._work.put(None)

    def take(self) -> Batch | None:
        """Returns the next batch, or None if there is none; the same batch until `sent` is called."""
        if self.sending is None:
            before, self._taken = self._taken, self._next_cut()
            self.sending = batch_between(before, self._taken, list(self._tallies.values())) or None
            if self._full:
                self.wake()
        return self.sending

    def sent(self) -> None:
        """Note that the batch that was taken has arrived, or never will."""
        self._arrived, self._rows_arrived = self._taken, rows_in(self._taken)
        self.sending = None

    def fail(self, error: BaseException) -> None:
        """Make every later and every blocked call raise `error`; the first error stays."""
        if self._error is None:
            self.disown(error)

    def disown(self, error: BaseException) -> None:
        """Make every later call raise `error`, whatever came before."""
        # Without its first trace the error's trace would grow each time that the error is raised.
        self._trace, self._error, self._first = error.__traceback__, error, self._raise

    def close(self, error: BaseException, say_late: Callable[[], None] | None) -> None:
        """Make later calls, and those under way, raise `error` or an earlier one; the first calls `say_late`."""
        self._say_late = say_late
        if self._error is None:
            self.disown(error)
            self._first = self.refuse
        self.closed = True

    def refuse(self) -> None:
        """Raise what a closed box raises."""
        say_late, self._say_late = self._say_late, None
        if say_late is not None:
            say_late()
        self._raise()

    def open(self, first: Callable[[], None] | None = None) -> None:
        """Let calls count from now on; each calls `first` before that, if there is one."""
        self._error, self._first = None, first

    def undelivered(self) -> dict[str, int]:
        """Returns how many rows have not arrived, by outcome."""
        return counts_between(self._arrived, self._cut())

    def _raise(self) -> None:
        if self._error is not None:
            raise self._error.with_traceback(self._trace)

    def _cut(self) -> list[State]:
        """Returns the states of all tallies at one moment; otherwise a checkpoint might lack rows."""
        while True:
            # The list is made first: making a map may collect garbage, which may let other threads run.
            tallies = list(self._tallies.values())
            cut = list(map(_STATE, tallies))
            if len(tallies) == len(self._tallies):
                return cut

    def _next_cut(self) -> list[State]:
        cut = self._cut()  # first: if no batch was full until after this, the cut has not too many rows
        while self._full:
            full = self._full.popleft()
            if rows_in(full) > rows_in(self._taken):  # a cut may have been taken before it was put there
                return full
        self._rows_cut = rows_in(cut)
        return cut

    def _pause(self) -> None:
        thread = threading.get_ident()
        try:
            self._pausing.add(thread)
            self.wake()  # so that the store is told at once that the pause is obeyed
            while self._wanted is Wanted.PAUSE and self._error is None:
                time.sleep(_RECHECK_S)
        finally:
            self._pausing.discard(thread)

    def _with_room(self) -> tuple[Tally, int]:
        """Returns the calling thread's tally, once not too many rows wait, and how many rows were added so far."""
        while True:
            tally = self.tally()
            rows = rows_in([tally.state]) if len(self._tallies) == 1 else rows_in(self._cut())
            if rows - self._rows_arrived < self._max_waiting_rows:
                return tally, rows
            time.sleep(_RECHECK_S)

    def _added(self, tally: Tally, checkpoint: Any, rest: Rest, rows: int) -> None:
        """Count a row that was added to a tally; `rows` is the number of rows including this one."""
        succeeded, before, _ = tally.state
        given = before if checkpoint is None else self.given(checkpoint, tally, succeeded, rest)
        tally.state = (succeeded, given, rest)
        if self.closed:
            self.refuse()
        if rows - self._rows_cut >= self._flush_rows:
            cut = self._cut()
            self._full.append(cut)
            self._rows_cut = rows_in(cut)
            self.wake()
