"""Delivers a run's batches and keeps its lease alive, in a thread of its own, one report at a time."""

import threading
import time
from contextlib import suppress

from batchstatus import scripts, values
from batchstatus.connection import Connection
from batchstatus.errors import BatchStatusError, JobNotFound, LeaseLost, StoreRefused, StoreUnavailable
from batchstatus.keys import JobKeys
from batchstatus.outbox import Batch, Outbox
from batchstatus.settings import StoreSettings

MAX_HEARTBEAT_S = 1.0
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.05, 0.5


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
        claim: scripts.Claim,
        outbox: Outbox,
        *,
        flush_s: float,
        stall_s: float | None,
    ) -> None:
        super().__init__(name=f"batchstatus {keys.job}", daemon=True)
        self._connection = connection
        self._keys = keys
        self._settings = settings
        self._claim = claim
        self.seq = claim.seq
        self._outbox = outbox
        self._heartbeat_s = min(MAX_HEARTBEAT_S, settings.lease_s / 3)
        self._flush_s = min(flush_s, self._heartbeat_s)
        self._stall_s = stall_s
        self._seen = outbox.activity()
        self._active_at = self._heard_at = time.monotonic()
        self._deliver_until: float | None = None
        self._lost = False
        self._said_paused = False

    def finish(self, deadline: float) -> None:
        """Deliver what is left, trying until `deadline` (monotonic seconds), and end the thread."""
        self._deliver_until = deadline
        self._outbox.wake()
        self.join()

    def run(self) -> None:
        """Report until the run is over; whatever goes wrong for good reaches the run through its outbox."""
        try:
            while self._deliver_until is None:
                self._outbox.wait(self._flush_s)
                self._report_once()
            # A store that answers gets everything, however little time there is; the time is for one that is away.
            while self._report_once():
                continue
        except BaseException as error:  # an error in a thread is seen by nobody else
            self._outbox.fail(error)

    def _report_once(self) -> bool:
        """Send what there is, or a heartbeat if one is due; whether rows were sent and have arrived."""
        batch = self._outbox.take() if self._outbox.error is None else None
        return (batch is not None or self._heartbeat_is_due()) and self._send(batch)

    def _heartbeat_is_due(self) -> bool:
        now, paused = time.monotonic(), self._outbox.paused > 0
        seen = self._outbox.activity()
        if seen != self._seen or paused:
            self._seen, self._active_at = seen, now
        stalled = self._stall_s is not None and now - self._active_at > self._stall_s
        due = now - self._heard_at >= self._heartbeat_s or (self._outbox.at_rest() and not self._said_paused)
        return due and not stalled and not self._lost

    def _send(self, batch: Batch | None) -> bool:
        """Send a batch, or a heartbeat if there is none, until the store has answered or time is up.

        Gives whether rows have arrived.
        """
        pause_s = _FIRST_PAUSE_S
        while True:
            try:
                self._report(batch)
            except StoreUnavailable as error:
                if batch and isinstance(error, StoreRefused):
                    self._keep_alive()
                if self._deliver_until is not None and time.monotonic() + pause_s >= self._deliver_until:
                    return False
                time.sleep(pause_s)
                pause_s = min(pause_s * 2, _LONGEST_PAUSE_S)
            except BatchStatusError as error:
                # Refused for good. The batch is dropped as a whole, and the importer is told with its next call.
                self._lost = isinstance(error, LeaseLost | JobNotFound)
                self._outbox.fail(error)
                self._outbox.sent()
                return False
            else:
                if batch:
                    self._outbox.sent()
                return batch is not None

    def _keep_alive(self) -> None:
        """A full store still takes heartbeats. It has not counted the batch, so the last `seq` is the last one."""
        with suppress(BatchStatusError):
            self._report(None)

    def _report(self, batch: Batch | None) -> None:
        seq = self.seq if batch is None else self.seq + 1
        content, paused = batch or Batch(), self._outbox.at_rest()
        wanted = scripts.report(
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
            failures=content.failures,
            skips=content.skips,
        )
        self.seq, self._said_paused, self._heard_at = seq, paused, time.monotonic()
        self._outbox.obey(wanted)
