"""What the adapters have in common: a job for each message, and what a delivery of the message does to the job."""

import functools
import inspect
import logging
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from batchstatus.integrations.work import Work
from batchstatus.model import values
from batchstatus.model.errors import (
    InvalidValue,
    JobCancelled,
    JobEnded,
    JobNotFound,
    LeaseHeld,
    LeaseLost,
    ReportsLost,
    StoreUnavailable,
)
from batchstatus.model.job import MAX_PAGE, Job, Kind, Status
from batchstatus.model.keys import Keys
from batchstatus.store import JobStore
from batchstatus.worker.endings import errors_in, is_every, states_the_end
from batchstatus.worker.run import Run

_log = logging.getLogger(__name__)

MAX_RETRIES = 3
LONGEST_DELAY_S = 600.0
"""A retry waits twice as long as the one before, and this long at most (seconds)."""
QUEUE_BUSY_S = 3_600.0
"""How long a redelivered message may wait for a worker that is free (seconds)."""
STORE_AWAY_S = 10.0
"""How long a message waits for a store that is away (seconds)."""
_COMES_AGAIN = (LeaseHeld, LeaseLost, ReportsLost, StoreUnavailable)


class NotNow(Exception):
    """The message is to come again in `delay_s` seconds; this delivery does not count as a retry."""

    def __init__(self, reason: Exception, delay_s: float) -> None:
        super().__init__(str(reason))
        self.delay_s = delay_s


class _GivenBack(Exception):
    """Leaves the run with the lease given back; the queue then gets `error`."""

    def __init__(self, error: Exception) -> None:
        super().__init__(f"{type(error).__name__}: {error}")
        self.error = error


@dataclass(frozen=True, kw_only=True)
class Batch:
    """A function that runs jobs of one kind; `batch_task` of each adapter explains the fields."""

    store: JobStore
    kind: Kind | str
    function: Callable[..., Any]
    retry_for: tuple[type[Exception], ...]
    max_retries: int
    retry_delay_s: float
    queued_at_most_s: float | None

    @classmethod
    def checked(cls, *, max_retries: int | None, retry_for: Any, **fields: Any) -> "Batch":
        """Returns a batch; InvalidValue names a wrong field. `max_retries` None means the default, 3."""
        most = MAX_RETRIES if max_retries is None else values.count("max_retries", max_retries)
        errors = tuple(retry_for) if isinstance(retry_for, tuple | list) else (retry_for,)
        if not all(isinstance(each, type) and issubclass(each, Exception) for each in errors):
            raise InvalidValue(f"retry_for {retry_for!r} is neither an exception class nor a tuple of them")
        _check_function(fields["function"])
        made = cls(max_retries=most, retry_for=errors, **fields)
        made.store.settings.kinds.named(made.kind)
        values.seconds_as_ms("retry_delay_s", made.retry_delay_s)
        values.seconds_as_ms("queued_at_most_s", made.queued_at_most_s or 0)
        return made

    @property
    def longest_lease_s(self) -> float:
        """Maximum time from a worker's death until another may claim its job (seconds)."""
        return self.store.settings.lease_s + 2 * self.store.settings.grace_s

    @property
    def longest_delay_s(self) -> float:
        """Maximum time for which a message is put off (seconds)."""
        last = self.retry_delay(max(self.max_retries - 1, 0))
        return max(self.longest_lease_s, STORE_AWAY_S, last if self.retry_for else 0.0)

    def is_worth_a_retry(self, error: Exception) -> bool:
        """Returns True for an error of `retry_for`, and for a group of such errors."""
        return is_every(error, self.retry_for)

    def retry_delay(self, retries: int) -> float:
        """Returns how long to wait before the next try, after so many retries (seconds)."""
        longest = max(self.retry_delay_s, LONGEST_DELAY_S)
        return float(min(self.retry_delay_s * 2.0 ** min(retries, 64), longest))

    def calling(self, work: Work, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Callable[[Run], Any]:
        """Returns the call of the function for a run of this work; the number of a part goes with it as `part`."""
        named = kwargs if work.part is None else {**kwargs, "part": work.part}
        return lambda run: self.function(run, *args, **named)

    def attempt(self, work: Work, call: Callable[[Run], Any], is_retried: Callable[[Exception], bool]) -> Any:
        """Run a job or a part once, and return what `call` returns.

        An error for which `is_retried` returns True gives the lease back, and goes on. Raises NotNow if the
        message is to come again, JobEnded if there is nothing to do, JobCancelled if the job was cancelled.
        """
        self._drop_if_overdue(work.org, work.job_id)
        try:
            with self.store.run(work.org, work.job_id, part=work.part, hand_back=_GivenBack) as run:
                try:
                    return _done(call(run))
                except Exception as error:
                    if not states_the_end(error) and is_retried(error):
                        raise _GivenBack(error) from error
                    raise
        except _GivenBack as given_back:
            raise given_back.error from None
        except Exception as reason:
            if not is_every(reason, _COMES_AGAIN):
                raise
            raise NotNow(reason, self._delay(next(errors_in(reason)))) from reason
        raise JobCancelled("the job was cancelled")

    def cancel(self, org: str, job_id: str) -> None:
        """Cancel the job, if it is there and has not ended. Logs a store that is away."""
        try:
            with suppress(JobEnded, JobNotFound):
                self.store.control(org, job_id, "cancel")
        except StoreUnavailable as error:
            _log.warning("job %s could not be cancelled: %s", job_id, error)

    def cancel_overdue(self, org: str) -> list[Job]:
        """Cancel the organization's jobs of this kind that were queued for longer than `queued_at_most_s`.

        Returns them as they stand afterwards. A message that the broker lost says nothing, so call this now and
        then, from Celery's beat for example, for a kind whose jobs all come through this task.

            import_file.batch.cancel_overdue("org_acme")
        """
        if self.queued_at_most_s is None:
            raise InvalidValue("cancel_overdue needs the option queued_at_most_s")
        before = self._now(self._keys.index(org, self.kind, Status.QUEUED)) - timedelta(
            seconds=self.queued_at_most_s
        )
        list_overdue = functools.partial(
            self.store.list,
            org,
            kinds=[self.kind],
            statuses=[Status.QUEUED],
            created_before=before,
            limit=MAX_PAGE,
        )
        page = list_overdue()
        overdue = list(page.jobs)
        while page.next_cursor:
            page = list_overdue(cursor=page.next_cursor)
            overdue += page.jobs
        for job in overdue:
            self.cancel(org, job.job_id)
        return [self.store.get(org, job.job_id) for job in overdue]

    def _drop_if_overdue(self, org: str, job_id: str) -> None:
        """Cancel the job if it was queued for too long; the claim that follows then finds it ended."""
        if self.queued_at_most_s is None:
            return
        try:
            job = self.store.get(org, job_id)
            if job.status is not Status.QUEUED:
                return
            overdue = self._now(self._keys.job(org, job_id).job) - job.created_at
        except StoreUnavailable as reason:
            raise NotNow(reason, STORE_AWAY_S) from reason
        if overdue > timedelta(seconds=self.queued_at_most_s):
            self.cancel(org, job_id)

    @property
    def _keys(self) -> Keys:
        return self.store.connection.keys

    def _now(self, key: str) -> datetime:
        """Returns the time by the clock of the server that has `key`: jobs are created by it."""
        return datetime.fromtimestamp(self.store.connection.clock_ms(key) / 1000, UTC)

    def _delay(self, reason: BaseException) -> float:
        """Returns when to look at the job again: past the lease, and the grace after a first look (seconds)."""
        settings = self.store.settings
        if isinstance(reason, LeaseHeld):
            return max(reason.left_s, 0.0) + settings.grace_s + 0.1
        if isinstance(reason, LeaseLost):  # the next claim tells whether the job has ended, or who has it
            return settings.grace_s + 0.1
        return STORE_AWAY_S if isinstance(reason, StoreUnavailable) else settings.lease_s + settings.grace_s


def _check_function(function: Callable[..., Any]) -> None:
    """Raise InvalidValue for a function that does its work only when somebody awaits or iterates its result."""
    is_of = (inspect.iscoroutinefunction, inspect.isasyncgenfunction, inspect.isgeneratorfunction)
    if any(is_that(function) for is_that in is_of):
        name = getattr(function, "__name__", function)
        raise InvalidValue(
            f"{name} is async or a generator, and a call alone does not run it:"
            " give a plain function, which may call asyncio.run"
        )


def _done(result: Any) -> Any:
    """Returns the result; TypeError for one that is yet to be awaited or iterated, since nothing has been done."""
    if inspect.isawaitable(result) or inspect.isasyncgen(result) or inspect.isgenerator(result):
        if inspect.iscoroutine(result):
            result.close()
        raise TypeError(f"the function returned a {type(result).__name__}, and nobody runs it")
    return result
