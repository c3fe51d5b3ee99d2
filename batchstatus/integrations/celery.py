"""The adapter for Celery: a task whose message is a job. docs/queues.md tells what becomes of what."""

import functools
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

from celery import Celery, Signature, Task, chord, signals
from celery.exceptions import Ignore, Reject, Retry, TimeLimitExceeded, WorkerLostError

from batchstatus.integrations.enqueued import EnqueuedTask
from batchstatus.integrations.enqueuer import Enqueuer
from batchstatus.integrations.task import QUEUE_BUSY_S, Batch, NotNow
from batchstatus.integrations.work import Work, sending
from batchstatus.model.errors import InvalidValue, JobCancelled, JobEnded
from batchstatus.model.job import Job, Kind, Status
from batchstatus.store import JobStore

_log = logging.getLogger(__name__)

VISIBILITY_TIMEOUT_S = 3_600.0
"""Kombu's default for the Redis transport (seconds)."""


class BatchTask(Task):
    """A task that runs jobs; made by `batch_task`."""

    abstract = True
    typing = False
    autoretry_for = ()  # the application's tasks may have these two, and ours must not
    expires = None
    acks_late = True
    reject_on_worker_lost = True
    batch: Batch
    takeover_s: float | None

    @property
    def enqueue(self) -> Callable[..., Job]:
        """Create the job, then send its message; see EnqueuedTask."""
        return self._enqueuer(None).enqueue

    def enqueue_parts(self, org: str, /, *args: Any, callback: Signature | None = None, **kwargs: Any) -> Job:
        """Create a split job, then send a message for each part; see EnqueuedTask.

        With `callback` the messages are the header of a chord: the callback is called with the list of what the
        function returned for each part, once all parts have completed. Its errbacks are called if the job ends
        otherwise.

            import_file.enqueue_parts("org_acme", "november.csv", parts=8, callback=send_mail.si("november.csv"))
        """
        return self._enqueuer(callback).enqueue_parts(org, *args, **kwargs)

    def apply_async(self, args: Any = None, kwargs: Any = None, task_id: str | None = None, **options: Any) -> Any:
        """Send a message as Celery does; an error gets a note that says which message was not sent."""
        with sending(task_id):
            return super().apply_async(args, kwargs, task_id=task_id, **options)

    def delay(self, *args: Any, **kwargs: Any) -> Any:
        """Refuse: a message without a job has nothing to run."""
        raise TypeError(f"{self.name} runs jobs: call enqueue(org, …) instead of delay(…)")

    def start(self, work: Work, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Run the job or part of this message, in a worker."""
        request, batch = self.request, self.batch

        def is_retried(error: Exception) -> bool:
            if isinstance(error, Retry) or (isinstance(error, Reject) and error.requeue):
                return True
            return batch.is_worth_a_retry(error) and request.retries < batch.max_retries

        try:
            return batch.attempt(work, batch.calling(work, args, kwargs), is_retried)
        except NotNow as reason:
            _log.info("message %s comes again in %.1f s: %s", request.id, reason.delay_s, reason)
            self._again(reason.delay_s)
        except JobEnded as ended:
            return self._after_the_end(ended.status)
        except JobCancelled:
            self._revoked(Status.CANCELLED)
        except (Retry, Reject, Ignore):
            raise
        except Exception as error:
            if not is_retried(error):
                raise
            countdown = batch.retry_delay(request.retries)
            self.retry(exc=error, countdown=countdown, max_retries=batch.max_retries)
        raise Ignore

    def check(self) -> str | None:
        """Returns what is wrong with the settings of the application or this task, None if nothing is."""
        timeout_s = _visibility_timeout_s(self.app)
        if not self.acks_late or not self.reject_on_worker_lost:
            return "acks_late and reject_on_worker_lost must be True: else a dead worker's message is lost"
        if timeout_s <= self.batch.longest_delay_s:
            return (
                f"visibility_timeout {timeout_s:.0f} s is not above {self.batch.longest_delay_s:.0f} s, for which"
                " a message may be put off: the broker would deliver it twice"
            )
        window_s = self._window_s()
        if window_s > self.batch.store.settings.retention_s:
            return f"the takeover window {window_s:.0f} s is longer than the store's retention"
        return None

    def _window_s(self) -> float:
        """Returns how long after a worker's death its message may take to come to another worker (seconds)."""
        if self.takeover_s is not None:
            return self.takeover_s
        return _visibility_timeout_s(self.app) + self.batch.longest_delay_s + QUEUE_BUSY_S

    def _enqueuer(self, callback: Signature | None) -> Enqueuer:
        """Returns what creates jobs and sends their messages, as the header of a chord if there is a callback."""

        def send(works: Sequence[Work], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
            named = dict(kwargs)
            messages = [self.signature((each.argument, *args), named, task_id=each.message_id) for each in works]
            if callback is not None:
                chord(messages, app=self.app)(callback)
                return
            for message in messages:
                message.apply_async()

        return Enqueuer(self.batch, self._window_s(), send)

    def _after_the_end(self, status: Status) -> Any:
        """Returns the result of a message that comes after the end of its job or part; else raises Ignore.

        A chord waits for each message of its header: one that Celery has not counted yet is counted now.
        """
        if status is Status.CANCELLED:
            self._revoked(status)
        elif self.request.chord:
            known = self.AsyncResult(self.request.id)
            if status is Status.COMPLETED:
                return known.result if known.successful() else None
            if not known.ready():
                self._revoked(status)
        raise Ignore

    def _again(self, delay_s: float) -> None:
        """Send this message again, before it is acknowledged; not as a retry."""
        request = self.request
        try:
            self.signature_from_request(request, countdown=delay_s, retries=request.retries).apply_async()
        except Exception as error:
            raise Reject(str(error), requeue=True) from error

    def _revoked(self, status: Status) -> None:
        """Give the task the state REVOKED, as after a revoke of Celery's, since its job has ended so."""
        self.backend.mark_as_revoked(self.request.id, f"the job is {status}", request=self.request)


def batch_task(
    app: Celery,
    store: JobStore,
    *,
    kind: Kind | str,
    retry_for: type[Exception] | tuple[type[Exception], ...] = (),
    max_retries: int | None = None,
    retry_delay_s: float = 10.0,
    queued_at_most_s: float | None = None,
    takeover_s: float | None = None,
    **options: Any,
) -> Callable[[Callable[..., Any]], EnqueuedTask]:
    """Returns a decorator that makes a Celery task of a function which imports: `function(run, …)`.

    - `kind`: the kind of the jobs.
    - `retry_for`: errors after which Celery tries again. They give the lease back; any other error, and the one
      after the last retry, ends the job as `failed`.
    - `max_retries`: how often; None means the default, 3. A redelivery after a crash is no retry.
    - `retry_delay_s`: time before the first retry (seconds); it doubles with each, up to 600 s.
    - `queued_at_most_s`: a message that comes later is dropped, and its job cancelled (seconds; None: never).
    - `takeover_s`: the jobs' takeover window (seconds). None: visibility timeout, longest delay and an hour.
    - `options`: of the task, as `app.task` takes them, such as `soft_time_limit`. `base` is a class
      of tasks whose methods the task has as well; without it those of the application's, `app.Task`.

        @batch_task(app, store, kind="transaction_batch", retry_for=(ConnectionError,))
        def import_file(run, path): ...
    """
    for name in ("autoretry_for", "bind", "acks_late", "reject_on_worker_lost", "expires"):
        if name in options:
            raise InvalidValue(f"{name} is the adapter's: leave it out" + _INSTEAD.get(name, ""))

    def decorate(function: Callable[..., Any]) -> EnqueuedTask:
        batch = Batch.checked(
            store=store,
            kind=kind,
            function=function,
            retry_for=retry_for,
            max_retries=max_retries,
            retry_delay_s=retry_delay_s,
            queued_at_most_s=queued_at_most_s,
        )

        return _made(app, batch, takeover_s, options)

    return decorate


def _made(app: Celery, batch: Batch, takeover_s: float | None, options: dict[str, Any]) -> EnqueuedTask:
    """Returns the task of a batch."""

    @functools.wraps(batch.function)
    def started(task: BatchTask, work_argument: Any, /, *args: Any, **kwargs: Any) -> Any:
        return task.start(Work.of_message(work_argument, task.request.id), args, kwargs)

    given = {"batch": batch, "takeover_s": takeover_s, "max_retries": batch.max_retries, **options}
    # What the application's tasks do around a call, ours do too: Flask's, for one, push the application context.
    theirs = given.pop("base", None) or app.Task
    base = type("BatchTask", (BatchTask, theirs), {"abstract": True, "__module__": __name__})
    return cast(EnqueuedTask, app.task(bind=True, base=base, **given)(started))


_INSTEAD = {
    "autoretry_for": ", and give the errors in retry_for",
    "bind": ", and use celery.current_task",
    "expires": ", and use queued_at_most_s, which drops no redelivery",
}


def _visibility_timeout_s(app: Celery) -> float:
    return float((app.conf.broker_transport_options or {}).get("visibility_timeout", VISIBILITY_TIMEOUT_S))


def _cancel_job(task: BatchTask, work_argument: Any, message_id: str) -> None:
    work = Work.of_message(work_argument, message_id)
    task.batch.cancel(work.org, work.job_id)


@signals.task_revoked.connect(weak=False)
def _cancel_what_was_revoked(sender: Any = None, request: Any = None, **_: Any) -> None:
    """A message that was revoked, or that expired, is gone: so its job is cancelled."""
    if isinstance(sender, BatchTask) and request.args:
        _cancel_job(sender, request.args[0], request.id)


@signals.task_failure.connect(weak=False)
def _cancel_what_was_killed(
    sender: Any = None, task_id: str = "", exception: Any = None, args: Any = (), **_: Any
) -> None:
    """A task that Celery killed, and whose message it drops, runs no more: its job is cancelled."""
    if isinstance(sender, BatchTask) and isinstance(exception, TimeLimitExceeded | WorkerLostError) and args:
        _cancel_job(sender, args[0], task_id)


@signals.celeryd_after_setup.connect(weak=False)
def _refuse(instance: Any = None, **_: Any) -> None:
    """Stop a worker whose settings cannot work, with one line."""
    for task in instance.app.tasks.values():
        if isinstance(task, BatchTask) and (wrong := task.check()):
            raise SystemExit(f"batchstatus: task {task.name}: {wrong}")
