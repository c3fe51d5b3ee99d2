"""What a run has counted and not yet delivered.

The importer's threads count, the reporter's thread takes. A row must cost next to nothing, so there is no
lock between them: each importing thread has a tally of its own, whose whole state is one immutable tuple,
replaced at every call. To take is to read the tuples of all tallies, in one step that the interpreter does not
interrupt; a batch is the difference to those read before. (Only failed and skipped rows, which cost more
anyway, take a lock, so that no batch has too many of them.)

So the checkpoint of a batch covers that batch and all before it, and nothing after it: whatever has been
delivered when a worker dies, its counters and its checkpoint agree.
"""

import threading
from collections import deque
from dataclasses import dataclass
from itertools import chain, count
from operator import attrgetter, itemgetter
from typing import Any, TypeAlias

from batchstatus.errors import JobCancelled
from batchstatus.scripts import Wanted

Rest: TypeAlias = tuple[int, int, int | None]
"""Failed rows, skipped rows, the job's number of rows if it was set: what seldom changes."""

Checkpoint: TypeAlias = tuple[int, Any] | None
"""A checkpoint, and before it a number that tells which of several threads' is the newest."""

State: TypeAlias = tuple[int, Checkpoint, Rest]
"""All that one thread has counted since the run began: succeeded rows, the checkpoint, and the rest."""


@dataclass(frozen=True, slots=True)
class Batch:
    """The content of one report: rows counted, failed and skipped rows as JSON, a total, a checkpoint."""

    succeeded: int = 0
    failures: tuple[str, ...] = ()
    skips: tuple[str, ...] = ()
    total_items: int | None = None
    checkpoint: Any = None

    def __bool__(self) -> bool:
        return self != Batch()


class Tally:
    """What one thread counts. Only that thread replaces `state`; only the reporter's moves `taken`."""

    def __init__(self) -> None:
        self.state: State = (0, None, (0, 0, None))
        self.taken: State = self.state
        self.failures: deque[str] = deque()
        self.skips: deque[str] = deque()

    def take(self, until: State) -> Batch:
        """What was counted from what was taken before up to `until`, but for the checkpoint."""
        succeeded, _, (failed, skipped, total_items) = until
        old_succeeded, _, (old_failed, old_skipped, old_total) = self.taken
        self.taken = until
        return Batch(
            succeeded=succeeded - old_succeeded,
            failures=tuple(self.failures.popleft() for _ in range(failed - old_failed)),
            skips=tuple(self.skips.popleft() for _ in range(skipped - old_skipped)),
            total_items=None if total_items == old_total else total_items,
        )


_STATE = attrgetter("state")


class Outbox:
    """The tallies of a run, and the batch that is on its way.

    A batch is full with `flush_rows` failed and skipped rows; while `max_waiting_rows` of them wait, adding
    one blocks. Once `fail` was called, every call raises what it was called with.
    """

    def __init__(self, flush_rows: int, max_waiting_rows: int) -> None:
        self._flush_rows = flush_rows
        self._max_waiting_rows = max_waiting_rows
        self._tallies: dict[int, Tally] = {}
        self._sending: Batch | None = None
        self._cutting = threading.Lock()
        # A full batch's states wait here, so that a report never carries more rows than that.
        self._full: deque[list[State]] = deque()
        self._rows_since_cut = 0
        self._checkpoint: Checkpoint = None
        self.stamps = count(1)
        self._work = threading.Event()
        self._room = threading.Condition()
        self.error: BaseException | None = None
        self.checks = 0
        self.paused = 0  # how many threads wait because a pause is wanted
        self._wanted = Wanted.RUN

    def tally(self) -> Tally:
        """The tally of the thread that calls."""
        if self.error is not None:
            raise self.error
        # A dict's get and setdefault are atomic, and no other thread asks for this one's tally.
        thread = threading.get_ident()
        return self._tallies.get(thread) or self._tallies.setdefault(thread, Tally())

    def failed(self, row: str, checkpoint: Any) -> None:
        """Add a failed row (JSON); blocks while too many wait."""
        tally = self._tally_with_room()
        tally.failures.append(row)
        failed, skipped, total_items = tally.state[2]
        self._added(tally, checkpoint, (failed + 1, skipped, total_items))

    def skipped(self, row: str, checkpoint: Any) -> None:
        """Add a skipped row (JSON); blocks while too many wait."""
        tally = self._tally_with_room()
        tally.skips.append(row)
        failed, skipped, total_items = tally.state[2]
        self._added(tally, checkpoint, (failed, skipped + 1, total_items))

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
            raise self.error
        if self._wanted is Wanted.CANCEL:
            raise JobCancelled("the job is to be cancelled")

    def obey(self, wanted: Wanted) -> None:
        """Take notice of what is asked of the worker."""
        if wanted is not self._wanted:
            self._wanted = wanted
            with self._room:
                self._room.notify_all()

    def activity(self) -> tuple[Any, ...]:
        """Something that differs after every call."""
        return self.checks, *(tally.state for tally in self._all())

    def at_rest(self) -> bool:
        """Whether the run obeys a pause, and all that it counted before has arrived."""
        # The pause is read first: what its thread counts, it counts before.
        return self.paused > 0 and self._sending is None and all(t.state is t.taken for t in self._all())

    def wait(self, timeout_s: float) -> None:
        """Wait until a batch is full, `wake` is called, or the time is up."""
        self._work.wait(timeout_s)
        # Here and not in `take`, which is not called any more once something went wrong; what comes after this
        # sets it anew.
        self._work.clear()

    def wake(self) -> None:
        """End the `wait` that is under way, or else the next one."""
        self._work.set()

    def take(self) -> Batch | None:
        """The next batch, or None; the same one until `sent` is called."""
        if self._sending is None:
            with self._cutting:
                cut = self._full.popleft() if self._full else self._cut()
            self._sending = self._batch(cut) or None
            if self._full:
                self._work.set()
        return self._sending

    def sent(self) -> None:
        """The batch that was taken has arrived, or never will."""
        self._sending = None
        with self._room:
            self._room.notify_all()

    def fail(self, error: BaseException) -> None:
        """Make every later call, and every one that is blocked, raise `error`; the first one stays."""
        self.error = self.error or error
        with self._room:
            self._room.notify_all()

    def undelivered(self) -> dict[str, int]:
        """How many rows have not arrived, by outcome."""
        sending, tallies = self._sending or Batch(), self._all()
        return {
            "succeeded": sending.succeeded + sum(tally.state[0] - tally.taken[0] for tally in tallies),
            "failed": len(sending.failures) + sum(len(tally.failures) for tally in tallies),
            "skipped": len(sending.skips) + sum(len(tally.skips) for tally in tallies),
        }

    def _cut(self) -> list[State]:
        """The states of all tallies at one moment: between two of them no other thread has a turn.

        Otherwise a checkpoint could be in it, and not a row before it that another thread has counted.
        """
        self._rows_since_cut = 0
        return list(map(_STATE, self._tallies.values()))

    def _batch(self, cut: list[State]) -> Batch:
        # A tally that is newer than the cut comes after all that are in it.
        parts = [tally.take(until) for tally, until in zip(self._all(), cut, strict=False)]
        newest = max((until[1] for until in cut if until[1]), key=itemgetter(0), default=None)
        before, self._checkpoint = self._checkpoint, newest
        totals = [part.total_items for part in parts if part.total_items is not None]
        return Batch(
            succeeded=sum(part.succeeded for part in parts),
            failures=tuple(chain.from_iterable(part.failures for part in parts)),
            skips=tuple(chain.from_iterable(part.skips for part in parts)),
            total_items=totals[-1] if totals else None,
            checkpoint=newest[1] if newest and (before is None or newest[1] != before[1]) else None,
        )

    def _pause(self) -> None:
        with self._room:
            self.paused += 1
            self._work.set()  # so that the store hears at once that the pause is obeyed
            while self._wanted is Wanted.PAUSE and self.error is None:
                self._room.wait(1.0)
            self.paused -= 1

    def _all(self) -> list[Tally]:
        return list(self._tallies.values())

    def _tally_with_room(self) -> Tally:
        with self._room:
            while self.error is None and self._waiting_rows() >= self._max_waiting_rows:
                self._room.wait(1.0)
        return self.tally()

    def _waiting_rows(self) -> int:
        sending = self._sending or Batch()
        waiting = sum(len(tally.failures) + len(tally.skips) for tally in self._all())
        return len(sending.failures) + len(sending.skips) + waiting

    def _added(self, tally: Tally, checkpoint: Any, rest: Rest) -> None:
        with self._cutting:
            succeeded, before, _ = tally.state
            tally.state = (succeeded, before if checkpoint is None else (next(self.stamps), checkpoint), rest)
            self._rows_since_cut += 1
            if self._rows_since_cut >= self._flush_rows:
                self._full.append(self._cut())
                self._work.set()
