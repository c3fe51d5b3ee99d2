"""Delivers a run's batches, keeps its lease alive and ends it, in a thread of its own, one report at a time.

In that thread, since there no signal interrupts what is being said to the store: see batchstatus.worker.outbox.
"""

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from queue import Empty, SimpleQueue

from batchstatus import rows, values
from batchstatus.errors import (
    BatchStatusError,
    JobCancelled,
    JobNotFound,
    LeaseLost,
    ReportsLost,
    StoreRefused,
    StoreUnavailable,
)
from batchstatus.keys import JobKeys
from batchstatus.model import Claim, Status
from batchstatus.protocol import verbs
from batchstatus.settings import StoreSettings
from batchstatus.transport.connection import Connection
from batchstatus.worker.endings import ending
from batchstatus.worker.outbox import Batch, Outbox

MAX_HEARTBEAT_S = 1.0
_FIRST_PAUSE_S, _LONGEST_PAUSE_S, SOON_S = 0.05, 0.5, 2.0
LONGEST_CALLS = 10  # more than it takes calls to the store to write an end


class Reporter(threading.Thread):
    """The thread behind a run.

    A report that timed out is sent again under the same sequence number until the store has answered, so
    it counts once. Without rows, a heartbeat goes out every second, or three to a lease where that is
    shorter; while the store is away, the next try is never more than a second off.
    """

    def __init__(
        self,
        connection: Connection,
        keys: JobKeys,
        settings: StoreSettings,
        claim: Claim,
        outbox: Outbox,
        finish_job: Callable[..., None],
        *,
        give_up_s: float,
        flush_s: float,
        stall_s: float | None,
    ) -> None:
        super().__init__(name=f"batchstatus {keys.job}", daemon=True)
        self._connection = connection
        self._keys = keys
        self._settings = settings
        self._claim = claim
        self._seq = claim.seq
        self._outbox = outbox
        self._finish_job = finish_job
        self._give_up_s = give_up_s
        self._heartbeat_s = min(MAX_HEARTBEAT_S, settings.lease_s / 3)
        self._flush_s = min(flush_s, self._heartbeat_s)
        self._stall_s = stall_s
        self._seen = outbox.activity()
        self._active_at = self._heard_at = time.monotonic()
        self._tried_at = self._heard_at
        self._deadline: float | None = None
        self._hurried = False
        self._refused: BaseException | None = None
        self._said_paused = False
        self._left: SimpleQueue[BaseException | None] = SimpleQueue()
        self._outcomes: SimpleQueue[tuple[bool, BaseException | None]] = SimpleQueue()

    def finish(self, error: BaseException | None) -> bool:
        """Deliver what is left, and end the job for what the run was left with; whether that goes no further.

        Raises instead what is worse: what the store refused, or what could not be delivered.
        """
        self._leave_with(error, self._give_up_s)
        looks, tried_at = 0, self._tried_at
        while looks < LONGEST_CALLS * (1 + self._settings.timeout_s):
            with suppress(Empty):
                swallowed, worse = self._outcomes.get(timeout=1)
                if worse is not None:
                    raise worse
                return swallowed
            looks = looks + 1 if self._tried_at == tried_at and self._time_is_up() else 0
            tried_at = self._tried_at
        # An importer that was interrupted in a call to the store may have left a lock there behind.
        raise StoreUnavailable(f"the thread {self.name!r} hangs, and what it has delivered is not known")

    def hurry(self, error: BaseException) -> None:
        """As `finish`, or go on with that; but give up at the first trouble, and do not wait long for it."""
        self._hurried = True
        self._leave_with(error, 0)
        with suppress(Empty):
            self._outcomes.get(timeout=SOON_S)

    def _leave_with(self, error: BaseException | None, give_up_s: float) -> None:
        self._left.put(error)
        self._deadline = time.monotonic() + give_up_s
        self._outbox.wake()

    def run(self) -> None:
        """Report until the run is over; whatever goes wrong for good reaches the run through its outbox."""
        try:
            while self._deadline is None:
                self._outbox.wait(self._flush_s)
                self._report_once()
            # A store that answers gets everything, however little time there is; the time is for one that is away.
            while self._report_once():
                continue
        except BaseException as error:  # an error in a thread is seen by nobody else
            self._refuse(error)
        try:
            self._outcomes.put((self._leave(self._left.get()), None))
        except BaseException as error:
            self._outcomes.put((False, error))

    def _time_is_up(self, in_s: float = 0) -> bool:
        """Whether a store that is away then is not tried any more."""
        return self._deadline is not None and time.monotonic() + in_s >= self._deadline

    def _refuse(self, error: BaseException) -> None:
        """Report no more rows; the importer is told with its next call."""
        self._refused = error
        self._outbox.fail(error)

    def _report_once(self) -> bool:
        """Send what there is, or a heartbeat if one is due; whether rows were sent and have arrived."""
        batch = self._outbox.take() if self._refused is None else None
        return (batch is not None or self._heartbeat_is_due()) and self._send(batch)

    def _heartbeat_is_due(self) -> bool:
        now, paused = time.monotonic(), self._outbox.paused > 0
        seen = self._outbox.activity()
        if seen != self._seen or paused:
            self._seen, self._active_at = seen, now
        stalled = self._stall_s is not None and now - self._active_at > self._stall_s
        due = now - self._heard_at >= self._heartbeat_s or (self._outbox.at_rest() and not self._said_paused)
        return due and not stalled and not isinstance(self._refused, LeaseLost | JobNotFound)

    def _send(self, batch: Batch | None) -> bool:
        """Send a batch, or a heartbeat if there is none, until the store has answered or time is up.

        Gives whether rows have arrived.
        """
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
                return batch is not None

    def _keep_alive(self) -> None:
        """What is refused now may be taken later. Nothing of it was counted, so the last `seq` is the last one."""
        if time.monotonic() - self._heard_at >= self._heartbeat_s:
            with suppress(BatchStatusError):
                self._report(None)

    def _report(self, batch: Batch | None) -> None:
        seq = self._seq if batch is None else self._seq + 1
        content, paused = batch or Batch(), self._outbox.at_rest()
        wanted = verbs.report(
            self._connection,
            self._keys,
            fence=self._claim.fence,
            token=self._claim.token,
            seq=seq,
            lease_ms=self._settings.lease_ms,
            retention_ms=self._settings.retention_ms,
            max_rows=self._settings.max_rows,
            succeeded=content.succeeded,
            total_items=content.total_items,
            checkpoint=None if content.checkpoint is None else values.checkpoint(content.checkpoint),
            paused=paused,
            failures=[*map(rows.encode, content.failures)],
            skips=[*map(rows.encode, content.skips)],
        )
        self._seq, self._said_paused, self._heard_at = seq, paused, time.monotonic()
        self._outbox.obey(wanted)

    def _leave(self, error: BaseException | None) -> bool:
        """End the job for what the run was left with, or for what the store has refused before."""
        refused, cancelled = self._refused, isinstance(error, JobCancelled)
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
        """Write the job's end, until time is up; nothing is written over what did not arrive."""
        status, worker_error, failure = ending(error)
        last_error: StoreUnavailable | None = None
        while not (undelivered := self._undelivered()):
            try:
                return self._write_end(status, worker_error, failure)
            except StoreUnavailable as unavailable:
                last_error = unavailable
                if self._time_is_up():
                    break
                self._keep_alive()  # of a Cluster, the server that has the lease may well answer
                time.sleep(0.1)
        if self._hurried:
            with suppress(BatchStatusError):
                self._write_end(Status.INTERRUPTED)
        raise StoreUnavailable(
            f"the store was away for {self._give_up_s:g} s; not delivered: {undelivered}the end as {status}"
        ) from last_error

    def _write_end(self, status: Status, worker_error: str | None = None, job_failure: str | None = None) -> None:
        claim_and_failure = {"fence": self._claim.fence, "token": self._claim.token, "worker_error": worker_error}
        seq = self._seq if status in (Status.COMPLETED, Status.CANCELLED) else None  # only these must be exact
        try:
            self._finish_job(status=status, seq=seq, job_failure=job_failure, **claim_and_failure)
        except LeaseLost:  # given back or taken: both are what giving it back is for
            if status is not Status.INTERRUPTED:
                raise

    def _undelivered(self) -> str:
        if self._refused is not None:
            return ""
        return "".join(f"{n:,} {name}, " for name, n in self._outbox.undelivered().items() if n)
