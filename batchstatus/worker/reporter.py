"""Delivers a run's batches, keeps its lease alive and ends its job, in a separate thread, one report at a time.

No signal interrupts that thread while it sends to the store: see batchstatus.worker.outbox.
"""

import logging
import threading
import time
from contextlib import suppress
from queue import Empty, SimpleQueue

from batchstatus.model.errors import (
    BatchStatusError,
    InvalidValue,
    JobCancelled,
    JobNotFound,
    LeaseLost,
    ReportsLost,
    StoreRefused,
    StoreUnavailable,
)
from batchstatus.model.job import MAX_COUNT, Status
from batchstatus.model.messages import HEARTBEAT, Batch, Claim, Ending, Wanted
from batchstatus.worker.endings import ending, is_every
from batchstatus.worker.greenlets import GivingWay
from batchstatus.worker.options import RunOptions
from batchstatus.worker.outbox import Outbox
from batchstatus.worker.steps import Steps
from batchstatus.worker.tally import listed

MAX_HEARTBEAT_S = 1.0
_FIRST_PAUSE_S, _LONGEST_PAUSE_S, SOON_S = 0.05, 0.5, 2.0
_log = logging.getLogger(__name__)
LONGEST_CALLS = 10  # more calls to the store than an end takes


class Reporter(threading.Thread):
    """The thread behind a run.

    A report that timed out is sent again under the same sequence number until the store has answered, so that
    it counts once. Without rows, a heartbeat is sent every second, or three in a lease of less than 3 s; while the
    store is away, the next try is never more than a second off.
    """

    def __init__(self, steps: Steps, claim: Claim, outbox: Outbox, options: RunOptions) -> None:
        super().__init__(name=f"batchstatus {steps.name}", daemon=True)
        self._steps = steps
        self._claim = claim
        # After lost reports another run can go on from the last checkpoint that the store has.
        self._hand_back = (*options.hands_back, ReportsLost) if claim.takeover_ms else ()
        self._seq = claim.seq
        self._outbox = outbox
        self._options = options
        self._heartbeat_s = min(MAX_HEARTBEAT_S, steps.settings.lease_s / 3)
        self._flush_s = min(options.flush_s, self._heartbeat_s)
        self.giving_way = GivingWay(self._flush_s, self._heartbeat_s)
        self._seen = outbox.activity()
        self._active_at = self._heard_at = time.monotonic()
        self._tried_at = self._heard_at
        self._deadline: float | None = None
        self._hurried = False
        self._refused: BaseException | None = None
        self._said_paused = False
        self._rows, self._total_items = claim.job.done, claim.job.total_items
        self._said_raised = False
        self._left: SimpleQueue[BaseException | None] = SimpleQueue()
        self._outcomes: SimpleQueue[tuple[bool, BaseException | None]] = SimpleQueue()

    def finish(self, error: BaseException | None) -> bool:
        """Flush, then finish the job. Returns True if `error`, the block's exception, is to be suppressed.

        Raises an error that is worse instead: a refusal of the store, or that rows could not be delivered.
        """
        self._leave_with(error, self._options.give_up_s)
        idle_s, tried_at = 0, self._tried_at
        while idle_s < LONGEST_CALLS * (1 + self._steps.settings.timeout_s):
            with suppress(Empty):
                suppressed, worse = self._outcomes.get(timeout=1)
                if worse is not None:
                    raise worse
                return suppressed
            idle_s = idle_s + 1 if self._tried_at == tried_at and self._time_is_up() else 0
            tried_at = self._tried_at
        # An importer that was interrupted in a call to the store may have left a lock of redis-py's locked.
        raise StoreUnavailable(f"the thread {self.name!r} hangs, and what it has delivered is not known")

    def hurry(self, error: BaseException) -> None:
        """Finish, or go on finishing, but give up at the first trouble, and wait for SOON_S at most."""
        self._hurried = True
        self._leave_with(error, 0)
        with suppress(Empty):
            self._outcomes.get(timeout=SOON_S)

    def say_late(self) -> None:
        """Log that a thread goes on with a run whose block was left without an error."""
        _log.warning("%s: a call came after the block was left, and counts nothing", self._steps.name)

    def _leave_with(self, error: BaseException | None, give_up_s: float) -> None:
        self._left.put(error)
        self._deadline = time.monotonic() + give_up_s
        self._outbox.wake()

    def run(self) -> None:
        """Report until the run is over; an error for good reaches the run through its outbox."""
        try:
            while self._deadline is None:
                self._outbox.wait(self._flush_s)
                self._report_once()
                self.giving_way.reported()
            # A store that answers gets all rows, whatever the deadline; the deadline is for a store that is away.
            while self._report_once():
                continue
        except BaseException as error:  # nobody else sees an error in a thread
            self._refuse(error)
        try:
            self._outcomes.put((self._leave(self._left.get()), None))
        except BaseException as error:
            self._outcomes.put((False, error))

    def _time_is_up(self, in_s: float = 0) -> bool:
        """Returns True if a store that is away will not be tried again `in_s` from now."""
        return self._deadline is not None and time.monotonic() + in_s >= self._deadline

    def _refuse(self, error: BaseException) -> None:
        """Report no more rows; the importer's next call raises the error.

        A job that is gone can be nobody else's: its import goes on, and only the end of the block raises.
        """
        self._refused = error
        if isinstance(error, JobNotFound):
            _log.error("%s is gone from the store: the import goes on, and is no longer counted", self._steps.name)
            self._outbox.obey(Wanted.RUN)
        else:
            self._outbox.fail(error)

    def _report_once(self) -> bool:
        """Send what there is, or a heartbeat if one is due. Returns True if rows were sent and have arrived."""
        if isinstance(self._refused, JobNotFound) and self._outbox.take():
            self._outbox.sent()  # to nobody, so that counting does not block
        batch = self._outbox.take() if self._refused is None else None
        return bool(batch or self._heartbeat_is_due()) and self._send(batch or HEARTBEAT)

    def _heartbeat_is_due(self) -> bool:
        now, paused = time.monotonic(), self._outbox.paused > 0
        seen = self._outbox.activity()
        if seen != self._seen or paused:
            self._seen, self._active_at = seen, now
        stalled = self._options.stall_s is not None and now - self._active_at > self._options.stall_s
        due = now - self._heard_at >= self._heartbeat_s or (self._outbox.at_rest() and not self._said_paused)
        return due and not stalled and not isinstance(self._refused, LeaseLost | JobNotFound)

    def _send(self, batch: Batch) -> bool:
        """Send a batch until the store has answered or time is up. Returns True if rows have arrived."""
        pause_s = _FIRST_PAUSE_S
        while True:
            self._tried_at = time.monotonic()
            try:
                self._report(batch)
            except StoreUnavailable as error:
                if batch and isinstance(error, StoreRefused):
                    self._keep_alive()
                if self._time_is_up(pause_s):
                    return False
                time.sleep(pause_s)
                pause_s = min(pause_s * 2, _LONGEST_PAUSE_S)
            except BatchStatusError as error:
                # Refused for good. The batch is dropped as a whole.
                self._refuse(error)
                self._outbox.sent()
                return False
            else:
                if batch:
                    self._outbox.sent()
                return bool(batch)

    def _keep_alive(self) -> None:
        """Send a heartbeat if one is due, while the store refuses a batch that it may take later.

        Nothing of the batch was counted, so that the last `seq` is still the last one.
        """
        if time.monotonic() - self._heard_at >= self._heartbeat_s:
            with suppress(BatchStatusError):
                self._report(HEARTBEAT)

    def _report(self, batch: Batch) -> None:
        seq, paused, rows = self._seq + bool(batch), self._outbox.at_rest(), self._rows + sum(batch.counts)
        if rows > MAX_COUNT:
            raise InvalidValue(f"{rows:,} rows are more than can be counted; none of the last report count")
        answer = self._steps.report(self._claim, seq, batch, paused=paused)
        self._seq, self._rows, self._said_paused, self._heard_at = seq, rows, paused, time.monotonic()
        self._outbox.obey(answer.wanted)
        self._note_total(batch, answer.total_items)

    def _note_total(self, batch: Batch, total_items: int | None) -> None:
        """Say once that the job's total proved too low, and that the store has raised it."""
        given = self._total_items if batch.total_items is None else batch.total_items
        if given is not None and total_items is not None and total_items > given and not self._said_raised:
            self._said_raised = True
            _log.warning("%s: its total of %d rows is too low; raised to %d", self._steps.name, given, total_items)
        self._total_items = total_items

    def _leave(self, error: BaseException | None) -> bool:
        """Finish the job, for the block's exception or an earlier refusal. Returns True to suppress the former."""
        refused = self._refused
        cancelled = error is not None and is_every(error, JobCancelled)
        if isinstance(refused, LeaseLost | JobNotFound):
            if error is None or cancelled:
                raise refused
            return False
        try:
            self._end(refused if cancelled and refused else error or refused)
        except ReportsLost as lost:
            self._end(lost)
            raise
        if refused is not None and (error is None or cancelled):
            raise refused
        return cancelled

    def _end(self, error: BaseException | None) -> None:
        """Write the job's end, until time is up; nothing is written over rows that did not arrive."""
        end, last_error = ending(error, self._hand_back), None
        while not (undelivered := self._undelivered()):
            try:
                return self._finish(end)
            except StoreUnavailable as unavailable:
                last_error = unavailable
                if self._time_is_up():
                    break
                self._keep_alive()  # of a Cluster, the server that has the lease may well answer
                time.sleep(0.1)
        if self._hurried:
            with suppress(BatchStatusError):
                self._finish(Ending(Status.INTERRUPTED))
        away_s = self._options.give_up_s
        raise StoreUnavailable(
            f"the store was away for {away_s:g} s; not delivered: {undelivered}the end as {end.status}"
        ) from last_error

    def _finish(self, end: Ending) -> None:
        exact = end.status in (Status.COMPLETED, Status.CANCELLED)  # the other ends may miss reports
        try:
            self._steps.finish(self._claim, end, self._seq if exact else None)
        except LeaseLost:  # given back or taken over: both are what giving the lease back is for
            if end.status is not Status.INTERRUPTED:
                raise

    def _undelivered(self) -> str:
        """Returns what the store has not taken. All that was counted before the block was left has been taken."""
        waits = self._refused is None and self._outbox.sending
        return listed(self._outbox.undelivered()) if waits else ""
