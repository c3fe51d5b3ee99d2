"""The worker's side: run a job under a lease, count its rows, end it truthfully whatever happens."""

import json
import secrets
import time
from types import TracebackType
from typing import Any, Self

from batchstatus import rows, scripts, values
from batchstatus.connection import Connection
from batchstatus.endings import ending
from batchstatus.errors import (
    InvalidTransition,
    InvalidValue,
    JobCancelled,
    JobNotFound,
    LeaseHeld,
    LeaseLost,
    ReportsLost,
    StoreUnavailable,
)
from batchstatus.keys import JobKeys
from batchstatus.model import Job, Row, Status
from batchstatus.outbox import Outbox
from batchstatus.reporter import Reporter
from batchstatus.scripts import Verdict
from batchstatus.settings import StoreSettings
from batchstatus.transitions import Transitions

_LONGEST_LOOK_S = 0.5


class Run:
    """One worker's run of a job: `store.run(org, job_id)`, entered with `with`.

    Entering claims the job (LeaseHeld, InvalidTransition, JobNotFound). Inside, rows are counted in memory
    and reported every `flush_s`, or as soon as `flush_rows` failed and skipped ones wait. Leaving ends the
    job: normally as `completed`, on JobCancelled as `cancelled` (the exception goes no further), on any
    other exception as `failed`; on KeyboardInterrupt and SystemExit the lease is given back.

    - `wait_s`: how long claiming waits for another worker's lease to run out (seconds).
    - `stall_s`: without any call for so long the lease is no longer renewed (seconds; None: it always is).
    - `give_up_s`: how long leaving waits for a store that is away, before StoreUnavailable says what was
      not delivered (seconds).

        with store.run("org_acme", job.job_id) as run:
            run.total(len(rows))
            for number, row in enumerate(rows[run.checkpoint or 0 :], (run.checkpoint or 0) + 1):
                run.check()
                run.succeeded(checkpoint=number)
    """

    def __init__(
        self,
        connection: Connection,
        transitions: Transitions,
        keys: JobKeys,
        org_and_id: tuple[str, str],
        settings: StoreSettings,
        *,
        wait_s: float,
        stall_s: float | None,
        give_up_s: float,
        flush_s: float,
        flush_rows: int,
        max_waiting_rows: int,
    ) -> None:
        for name, seconds in {"wait_s": wait_s, "give_up_s": give_up_s, "stall_s": stall_s or 0}.items():
            values.seconds_as_ms(name, seconds)
        if values.seconds_as_ms("flush_s", flush_s) == 0:
            raise InvalidValue(f"flush_s {flush_s!r} is too short")
        self._connection = connection
        self._keys = keys
        self._transitions = transitions
        self._org_and_id = org_and_id
        self._settings = settings
        self._wait_s = wait_s
        self._stall_s = stall_s
        self._give_up_s = give_up_s
        self._flush_s = flush_s
        self._outbox = Outbox(
            values.count("flush_rows", flush_rows, least=1),
            values.count("max_waiting_rows", max_waiting_rows, least=1),
        )
        # Until it is entered, and after it was left, a run refuses to count.
        self._outbox.fail(InvalidTransition("this run has not been entered yet: use it in a with statement"))
        self._claim: scripts.Claim | None = None

    @property
    def job(self) -> Job:
        """The job as it was when this run claimed it."""
        return self._claimed().job

    @property
    def checkpoint(self) -> Any:
        """Where to go on: the last checkpoint that was delivered, or None on a job that nobody ran before."""
        return self._claimed().checkpoint

    def total(self, total_items: int) -> None:
        """Set how many rows the job has; not fewer than are counted already."""
        self._outbox.total(values.count("total_items", total_items))

    def succeeded(self, n: int = 1, *, checkpoint: Any = None) -> None:
        """Count `n` rows that succeeded. `checkpoint` covers these rows and all before them."""
        if n.__class__ is not int or n < 1:
            raise InvalidValue(f"n {n!r} is not a positive integer")
        if checkpoint.__class__ is not int and checkpoint is not None:
            checkpoint = _frozen(checkpoint)
        # The hot path: one tuple replaced, and no lock; see batchstatus.outbox.
        tally = self._outbox.tally()
        succeeded, before, rest = tally.state
        stamped = before if checkpoint is None else (next(self._outbox.stamps), checkpoint)
        tally.state = (succeeded + n, stamped, rest)

    def failed(self, row: Row, *, checkpoint: Any = None) -> None:
        """Count a row that failed, such as `{"externalId": "T-7", "code": "VALIDATION_ERROR", "message": "…"}`."""
        self._outbox.failed(rows.failure(self.job.kind, row), _frozen(checkpoint))

    def skipped(self, row: Row, *, checkpoint: Any = None) -> None:
        """Count a row that was skipped, such as `{"taxId": "30111222333", "type": "person"}`; no failure."""
        self._outbox.skipped(rows.skip(self.job.kind, row), _frozen(checkpoint))

    def check(self) -> None:
        """Obey control: raise JobCancelled on a cancel; while a pause is wanted wait, with the lease alive.

        Raises LeaseLost if the job is no longer this run's, or what its last report was refused for.
        """
        self._outbox.check()

    def __enter__(self) -> Self:
        if self._claim is not None:
            raise InvalidTransition("this run has been entered before")
        self._claim = self._wait_for_claim(secrets.token_hex(8))
        self._outbox.error = None
        self._outbox.obey(self._claim.wanted)
        self._reporter = Reporter(
            self._connection,
            self._keys,
            self._settings,
            self._claim,
            self._outbox,
            flush_s=self._flush_s,
            stall_s=self._stall_s,
        )
        self._reporter.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        deadline = time.monotonic() + self._give_up_s
        self._reporter.finish(deadline)
        refused = self._outbox.error
        try:
            return self._leave(error, refused, deadline)
        finally:
            self._outbox.fail(InvalidTransition("this run has ended"))

    def _leave(self, error: BaseException | None, refused: BaseException | None, deadline: float) -> bool:
        """End the job for what the block was left with, or for what the store has refused before."""
        cancelled = isinstance(error, JobCancelled)
        if isinstance(refused, LeaseLost | JobNotFound):
            if error is None or cancelled:
                raise refused
            return False
        try:
            self._end(refused if cancelled and refused else error or refused, deadline)
        except ReportsLost as lost:
            self._end(lost, deadline)
            raise
        if refused is not None and (error is None or cancelled):
            raise refused
        return cancelled

    def _claimed(self) -> scripts.Claim:
        if self._claim is None:
            raise InvalidTransition("this run has not been entered yet: use it in a with statement")
        return self._claim

    def _wait_for_claim(self, token: str) -> scripts.Claim:
        """Claim, trying for `wait_s`; past another's lease, look whether its worker is dead."""
        deadline = time.monotonic() + self._wait_s
        while True:
            pause_s = _LONGEST_LOOK_S
            try:
                return self._claim_once(token)
            except LeaseHeld as held:
                if time.monotonic() >= deadline:
                    raise
                pause_s = min(max(held.left_s, 0.05), _LONGEST_LOOK_S)
            except StoreUnavailable:
                if time.monotonic() >= deadline:
                    raise
            time.sleep(min(pause_s, max(0.0, deadline - time.monotonic())))

    def _claim_once(self, token: str) -> scripts.Claim:
        try:
            return self._transitions.claim(*self._org_and_id, token)
        except LeaseHeld as held:
            if held.left_s > 0 or self._transitions.settle(*self._org_and_id)[0] is Verdict.SUSPECT:
                raise
        return self._transitions.claim(*self._org_and_id, token)

    def _end(self, error: BaseException | None, deadline: float) -> None:
        """Write the job's end, trying until `deadline`; nothing is written over what did not arrive."""
        status, worker_error, failure = ending(error)
        exact = status in (Status.COMPLETED, Status.CANCELLED)
        last_error: StoreUnavailable | None = None
        while not (undelivered := self._undelivered()):
            try:
                self._transitions.finish(
                    *self._org_and_id,
                    fence=self._claimed().fence,
                    token=self._claimed().token,
                    status=status,
                    worker_error=worker_error,
                    job_failure=failure,
                    seq=self._reporter.seq if exact else None,
                )
            except StoreUnavailable as unavailable:
                last_error = unavailable
                if time.monotonic() >= deadline:
                    break
                time.sleep(0.1)
            except LeaseLost:
                # Given back or taken: both are what giving it back is for.
                if status is not Status.INTERRUPTED:
                    raise
                return
            else:
                return
        raise StoreUnavailable(
            f"the store was away for {self._give_up_s:g} s; not delivered: {undelivered}the end as {status}"
        ) from last_error

    def _undelivered(self) -> str:
        if self._outbox.error is not None:
            return ""
        return "".join(f"{n:,} {name}, " for name, n in self._outbox.undelivered().items() if n)


def _frozen(checkpoint: Any) -> Any:
    """The checkpoint as it is now, whatever the importer does to it later; InvalidValue if it cannot be JSON."""
    return None if checkpoint is None else json.loads(values.checkpoint(checkpoint))
