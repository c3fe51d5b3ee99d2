"""The adapter for Dramatiq: an actor whose message is a job. docs/queues.md tells what becomes of what."""

import functools
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

import dramatiq
from dramatiq.middleware import CurrentMessage, Shutdown, TimeLimitExceeded

from batchstatus.integrations.enqueued import EnqueuedTask
from batchstatus.integrations.enqueuer import Enqueuer
from batchstatus.integrations.task import QUEUE_BUSY_S, Batch, NotNow
from batchstatus.integrations.work import Work, sending
from batchstatus.model.errors import InvalidValue, JobAborted, JobCancelled, JobEnded
from batchstatus.model.job import Kind, Status
from batchstatus.store import JobStore
from batchstatus.worker.run import Run

_log = logging.getLogger(__name__)

HEARTBEAT_TIMEOUT_MS = 60_000
"""When the Redis broker, as it is set by default, misses a worker (ms)."""
_RETRIES = "batchstatus_retries"


def batch_task(
    broker: dramatiq.Broker,
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
    """Returns a decorator that makes an actor of a function which imports: `function(run, …)`.

    - `kind`: the kind of the jobs.
    - `retry_for`: errors after which Dramatiq tries again. They give the lease back; any other error, and the one
      after the last retry, ends the job as `failed`.
    - `max_retries`: how often; None means the default, 3. A redelivery after a crash is no retry.
    - `retry_delay_s`: time before the first retry (seconds); it doubles with each, up to 600 s.
    - `queued_at_most_s`: a message that comes later is dropped, and its job cancelled (seconds; None: never).
    - `takeover_s`: the jobs' takeover window (seconds). None: heartbeat timeout, longest delay and an hour.
    - `options`: of the actor, as `dramatiq.actor` takes them, such as `time_limit` (ms), by default none.

        @batch_task(broker, store, kind="transaction_batch", retry_for=(ConnectionError,))
        def import_file(run, path): ...
    """

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
        return _made(broker, batch, takeover_s, options)

    return decorate


def _made(
    broker: dramatiq.Broker, batch: Batch, takeover_s: float | None, options: dict[str, Any]
) -> EnqueuedTask:
    """Returns the actor of a batch."""
    for name in ("retry_when", "throws", "min_backoff", "max_backoff", "max_age"):
        if name in options:
            raise InvalidValue(f"{name} is the adapter's: leave it out")
    missed_s = getattr(broker, "heartbeat_timeout", HEARTBEAT_TIMEOUT_MS) / 1000
    window_s = missed_s + batch.longest_delay_s + QUEUE_BUSY_S if takeover_s is None else takeover_s
    if window_s > batch.store.settings.retention_s:
        raise InvalidValue(f"the takeover window {window_s:.0f} s is longer than the store's retention")
    if not any(isinstance(each, CurrentMessage) for each in broker.middleware):
        broker.add_middleware(CurrentMessage())

    @functools.wraps(batch.function)
    def started(work_argument: Any, /, *args: Any, **kwargs: Any) -> Any:
        message = CurrentMessage.get_current_message()
        if message is None:
            raise TypeError(f"{batch.function.__name__} runs jobs: call enqueue(org, …)")
        work = Work.of_message(work_argument, message.message_id)
        return _start(batch, message, work, batch.calling(work, args, kwargs))

    given = {"time_limit": float("inf"), **options, "retry_when": _comes_again}
    actor = cast(Any, dramatiq.actor(broker=broker, **given)(started))

    def send(works: Sequence[Work], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        for work in works:
            message = actor.message_with_options(args=(work.argument, *args), kwargs=dict(kwargs))
            with sending(work.message_id):
                broker.enqueue(message.copy(message_id=work.message_id))

    enqueuer = Enqueuer(batch, window_s, send)
    actor.batch, actor.enqueue, actor.enqueue_parts = batch, enqueuer.enqueue, enqueuer.enqueue_parts
    return cast(EnqueuedTask, actor)


def _start(batch: Batch, message: Any, work: Work, call: Callable[[Run], Any]) -> Any:
    """Run the job or part of a message, in a worker."""
    retries = message.options.get(_RETRIES, 0)

    def is_retried(error: Exception) -> bool:
        if isinstance(error, dramatiq.Retry):
            return True
        return batch.is_worth_a_retry(error) and retries < batch.max_retries

    def limited(run: Run) -> Any:
        try:
            return call(run)
        except TimeLimitExceeded as error:
            raise JobAborted("TIME_LIMIT_EXCEEDED", "the actor's time_limit is over") from error

    try:
        result = batch.attempt(work, limited, is_retried)
    except NotNow as reason:
        _log.info("message %s comes again in %.1f s: %s", work.message_id, reason.delay_s, reason)
        raise dramatiq.Retry(str(reason), _ms(reason.delay_s)) from reason
    except JobEnded as ended:
        return str(ended.status)
    except JobCancelled:
        return str(Status.CANCELLED)
    except dramatiq.Retry:
        raise
    except Exception as error:
        if not is_retried(error):
            raise
        message.options[_RETRIES] = retries + 1
        raise dramatiq.Retry(f"{type(error).__name__}: {error}", _ms(batch.retry_delay(retries))) from error
    return result


def _comes_again(_retries: int, error: BaseException) -> bool:
    """Returns True if Dramatiq is to send the message again; the adapter has counted the retries."""
    return isinstance(error, dramatiq.Retry | Shutdown)


def _ms(seconds: float) -> int:
    return max(1, round(seconds * 1000))
