"""The worker's side: run a job under a lease, count its rows, end the job truthfully whatever happens."""

import logging
import os
import secrets
import time
from types import TracebackType
from typing import Any, Self
from weakref import WeakSet

from batchstatus.model import rows, values
from batchstatus.model.errors import (
    InvalidTransition,
    LeaseHeld,
    StoreRefused,
    StoreUnavailable,
)
from batchstatus.model.ids import worker_name
from batchstatus.model.job import Job, Row
from batchstatus.model.kinds import JobKind
from batchstatus.model.messages import Claim, Verdict, Wanted
from batchstatus.worker.greenlets import threads_are_greenlets
from batchstatus.worker.options import RunOptions
from batchstatus.worker.outbox import Outbox
from batchstatus.worker.reporter import Reporter
from batchstatus.worker.steps import Steps
from batchstatus.worker.tally import frozen, require_gil

_log = logging.getLogger(__name__)
_LONGEST_PAUSE_S = 0.5
CLAIM_AGAIN_S = 5.0
"""Minimum time to retry an unanswered claim. The token makes the retry safe."""

_entered: "WeakSet[Run]" = WeakSet()


class Run:
    """One worker's run of a job: `store.run(org, job_id)`, entered with `with`.

    Entering claims the job (LeaseHeld, JobEnded, JobNotFound). Inside, rows are counted in memory
    and reported every `flush_s`, or as soon as `flush_rows` failed and skipped ones wait. Leaving ends the
    job: normally as `completed`, on JobCancelled as `cancelled` (the exception is suppressed), on any
    other exception as `failed`; on KeyboardInterrupt and SystemExit the lease is given back. If one of these
    two comes while the end is being written, it is raised after 2 s at most, and without an end the lease is given
    back. A process that is forked inside cannot use the run (InvalidTransition), and does not end it by leaving.

    `JobStore.run` explains the options.

        with store.run("org_acme", job.job_id) as run:
            run.total(len(rows))
            for number, row in enumerate(rows[run.checkpoint or 0 :], (run.checkpoint or 0) + 1):
                run.check()
                run.succeeded(checkpoint=number)
    """

    def __init__(self, steps: Steps, options: RunOptions) -> None:
        require_gil()
        self._steps = steps
        self._options = options
        self._outbox = Outbox(options.flush_rows, options.max_waiting_rows)
        # Until it is entered, and after it was left, a run refuses to count.
        self._outbox.fail(InvalidTransition("this run has not been entered yet: use it in a with statement"))
        self._claim: Claim | None = None
        self._inherited = self._said_bad_code = False
        self._gives_up = False  # set by AsyncRun: the thread that is entering waits no longer

    @property
    def job(self) -> Job:
        """The job as it was when this run claimed it."""
        return self._claimed().job

    @property
    def checkpoint(self) -> Any:
        """Where to go on: the last checkpoint that was delivered; None on a job that nobody ran before."""
        return self._claimed().checkpoint

    @property
    def attempt(self) -> int:
        """How often the job has been claimed, this run included: 1 for the first.

        With `hand_back`, a queue's last try ends the job by raising another error:

            hand_back = (ConnectionError,)
            with store.run(org, job_id, hand_back=hand_back) as run:
                try:
                    import_file(run)
                except hand_back as error:
                    if run.attempt >= 3:
                        raise JobAborted("GAVE_UP", str(error)) from error
                    raise
        """
        return self._claimed().attempt

    def total(self, total_items: int) -> None:
        """Set how many rows the job has; not fewer than are counted already."""
        self._outbox.total(values.count("total_items", total_items))

    def succeeded(self, n: int = 1, *, checkpoint: Any = None) -> None:
        """Count `n` rows that succeeded. `checkpoint` covers these rows and all before them.

        `n` may be 0, for a commit whose rows have all failed.
        """
        if n.__class__ is not int or n < 0:
            n = values.count("n", n)
        if checkpoint is not None and checkpoint.__class__ is not int:
            checkpoint = frozen(checkpoint)
        # The hot path: one tuple replaced, and no lock; see batchstatus.worker.outbox.
        tally = self._outbox.tally()
        succeeded, before, rest = tally.state
        succeeded += n
        given = before if checkpoint is None else self._outbox.given(checkpoint, tally, succeeded, rest)
        tally.state = (succeeded, given, rest)
        if self._outbox.closed:
            self._outbox.refuse()

    def failed(self, row: Row, *, checkpoint: Any = None) -> None:
        """Count a row that failed, such as `{"externalId": "T-7", "code": "VALIDATION_ERROR", "message": "…"}`.

        A `code` that is missing or malformed ends no import: `PROCESSING_ERROR` takes its place, and a warning is
        logged, once a run. InvalidValue for other members than the kind's rows have.
        """
        try:
            shaped = rows.failure(self._kind(), row)
        except rows.BadCode as error:
            self._note_bad_code(error)
            shaped = rows.failure(self._kind(), rows.without_code(row))
        self._outbox.failed(shaped, frozen(checkpoint))

    def skipped(self, row: Row, *, checkpoint: Any = None) -> None:
        """Count a row that was skipped, such as `{"taxId": "30111222333", "type": "person"}`; no failure."""
        try:
            shaped = rows.skip(self._kind(), row)
        except rows.BadCode as error:
            self._note_bad_code(error)
            shaped = rows.skip(self._kind(), {name: row[name] for name in row if name != "code"})
        self._outbox.skipped(shaped, frozen(checkpoint))

    def check(self) -> None:
        """Obey control: raise JobCancelled on a cancel; while a pause is wanted wait, with the lease alive.

        Raises LeaseLost if the job is no longer this run's, or the error with which its last report was refused.
        """
        self._outbox.check()

    def wanted(self) -> Wanted:
        """Returns what control asks of the worker, and waits for nothing: `run`, `pause` or `cancel`.

        For a worker that must not be held up where it asks. Raises LeaseLost as `check` does.

            if run.wanted() == "pause":
                stop_reading()
        """
        return self._outbox.wanted()

    def __enter__(self) -> Self:
        if self._claim is not None:
            raise InvalidTransition("this run has been entered before")
        self._claim = self._wait_for_claim(secrets.token_hex(8))
        self._reporter = Reporter(self._steps, self._claim, self._outbox, self._options)
        self._outbox.open(self._reporter.giving_way.now_and_then if threads_are_greenlets() else None)
        self._outbox.obey(self._claim.wanted)
        if self._options.hands_back and not self._claim.takeover_ms:
            _log.warning("%s has no takeover window: an error of hand_back ends it as failed", self._steps.name)
        try:
            _entered.add(self)
            self._reporter.start()
        except BaseException as error:
            self._let_go(error)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        try:
            # From here on other threads count no more: the end would miss their rows, or wait for them for ever.
            say_late = self._reporter.say_late if error is None else None
            self._outbox.close(InvalidTransition("this run has ended"), say_late)
            return not self._inherited and self._reporter.finish(error)
        except BaseException as another:
            if not isinstance(another, Exception):
                self._let_go(another)
            raise
        finally:
            self._outbox.fail(InvalidTransition("this run has ended"))
            _entered.discard(self)

    def _note_bad_code(self, error: rows.BadCode) -> None:
        if not self._said_bad_code:
            self._said_bad_code = True
            _log.warning("%s: a row's %s; such rows are counted without it", self._steps.name, error)

    def _let_go(self, interruption: BaseException) -> None:
        """After an interruption on the way in or out: give the lease back soon, unless the job has ended."""
        try:
            self._reporter.hurry(interruption)
        finally:
            self._outbox.fail(InvalidTransition("this run has ended"))

    def _kind(self) -> JobKind:
        """Returns the declaration of the job's kind."""
        return self._steps.settings.kinds[self._claimed().job.kind]

    def _claimed(self) -> Claim:
        if self._claim is None:
            raise InvalidTransition("this run has not been entered yet: use it in a with statement")
        return self._claim

    def _wait_for_claim(self, token: str) -> Claim:
        """Claim, trying for `wait_s`; past another worker's lease, look whether that worker is dead."""
        began, wait_s = time.monotonic(), self._options.wait_s
        unheard_s = wait_s
        while True:
            try:
                return self._claim_once(token)
            except LeaseHeld as held:
                until, pause_s = began + wait_s, min(max(held.left_s, 0.05), _LONGEST_PAUSE_S)
                if time.monotonic() >= until or self._gives_up:
                    raise
            except StoreUnavailable as unavailable:
                if not isinstance(
                    unavailable, StoreRefused
                ):  # the claim may have been granted, and the answer lost
                    unheard_s = max(wait_s, CLAIM_AGAIN_S)
                wait_no_longer_s = min(unheard_s, CLAIM_AGAIN_S) if self._gives_up else unheard_s
                until, pause_s = began + wait_no_longer_s, _LONGEST_PAUSE_S
                if time.monotonic() >= until:
                    raise
            time.sleep(min(pause_s, max(0.0, until - time.monotonic())))

    def _claim_once(self, token: str) -> Claim:
        try:
            return self._steps.claim(token, worker=worker_name())
        except LeaseHeld as held:
            if held.left_s > 0 or self._steps.settle().verdict is Verdict.SUSPECT:
                raise
        return self._steps.claim(token, worker=worker_name())


def _disown() -> None:
    """In a forked child, disable the runs that its parent has entered."""
    for run in _entered:
        run._inherited = True
        owner = "this run belongs to the process that entered it; enter one of its own here"
        run._outbox.disown(InvalidTransition(owner))


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_disown)
