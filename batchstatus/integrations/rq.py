"""The adapter for RQ: a function whose message is a job. docs/queues.md tells what becomes of what."""

import functools
import logging
import math
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

from rq import Callback, Queue, Retry, get_current_job
from rq.job import Job as Message
from rq.scheduler import RQScheduler

from batchstatus.integrations.enqueued import EnqueuedTask
from batchstatus.integrations.enqueuer import Enqueuer
from batchstatus.integrations.task import QUEUE_BUSY_S, Batch, NotNow
from batchstatus.integrations.work import Work, sending
from batchstatus.model import values
from batchstatus.model.errors import InvalidValue, JobCancelled, JobEnded
from batchstatus.model.job import Kind, Status
from batchstatus.store import JobStore
from batchstatus.worker.run import Run

_log = logging.getLogger(__name__)

REDELIVERED_S = 90.0 + 600.0
"""When RQ's defaults give a dead worker's message to another: after silence, and maintenance (seconds)."""
NO_SCHEDULER_S = 1.0
"""How long a message is put off where no scheduler runs: the worker waits (seconds)."""
_RETRIES = "batchstatus_retries"
_WITHOUT_END = 2**31


def batch_task(
    queue: Queue,
    store: JobStore,
    *,
    kind: Kind | str,
    retry_for: type[Exception] | tuple[type[Exception], ...] = (),
    max_retries: int | None = None,
    retry_delay_s: float = 10.0,
    max_crashes: int = 10,
    queued_at_most_s: float | None = None,
    takeover_s: float | None = None,
    **options: Any,
) -> Callable[[Callable[..., Any]], EnqueuedTask]:
    """Returns a decorator for a function which imports, `function(run, …)`, that RQ's workers can import.

    - `kind`: the kind of the jobs.
    - `retry_for`: errors after which RQ tries again. They give the lease back; any other error, and the one after
      the last retry, ends the job as `failed`.
    - `max_retries`: how often; None means the default, 3. A redelivery after a crash is no retry.
    - `retry_delay_s`: time before the first retry (seconds); it doubles with each, up to 600 s. It needs a worker
      with a scheduler.
    - `max_crashes`: how often RQ gives the message to another worker after a death.
    - `queued_at_most_s`: a message that comes later is dropped, and its job cancelled (seconds; None: never).
    - `takeover_s`: the jobs' takeover window (seconds). None: what RQ's defaults need, and an hour.
    - `options`: of the message, as `Queue.enqueue_call` takes them, such as `timeout`, by default none.

        @batch_task(Queue(connection=Redis()), store, kind="transaction_batch", retry_for=(ConnectionError,))
        def import_file(run, path): ...
    """
    given = _options(options, max_crashes)

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
        return _made(queue, batch, takeover_s, given)

    return decorate


def _options(options: dict[str, Any], max_crashes: int) -> dict[str, Any]:
    """Returns the options of the messages."""
    for name in ("retry", "on_stopped", "job_id", "depends_on"):
        if name in options:
            raise InvalidValue(f"{name} is the adapter's: leave it out")
    return {"timeout": -1, "retry": Retry(values.count("max_crashes", max_crashes, least=1)), **options}


def _made(queue: Queue, batch: Batch, takeover_s: float | None, options: dict[str, Any]) -> EnqueuedTask:
    """Returns the function of a batch, as RQ's workers find it by its name."""
    window_s = REDELIVERED_S + batch.longest_delay_s + QUEUE_BUSY_S if takeover_s is None else takeover_s
    if window_s > batch.store.settings.retention_s:
        raise InvalidValue(f"the takeover window {window_s:.0f} s is longer than the store's retention")

    @functools.wraps(batch.function)
    def started(work_argument: Any, /, *args: Any, **kwargs: Any) -> Any:
        message = get_current_job()
        if message is None:
            raise TypeError(f"{batch.function.__name__} runs jobs: call enqueue(org, …)")
        work = Work.of_message(work_argument, message.id)
        return _start(batch, message, work, batch.calling(work, args, kwargs))

    def send(works: Sequence[Work], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        given = {"on_stopped": Callback(_stopped), **options}
        for work in works:
            with sending(work.message_id):
                queue.enqueue_call(started, (work.argument, *args), dict(kwargs), job_id=work.message_id, **given)

    made, enqueuer = cast(Any, started), Enqueuer(batch, window_s, send)
    made.batch, made.enqueue, made.enqueue_parts = batch, enqueuer.enqueue, enqueuer.enqueue_parts
    return cast(EnqueuedTask, made)


def _start(batch: Batch, message: Message, work: Work, call: Callable[[Run], Any]) -> Any:
    """Run the job or part of a message, in a worker. Returns what RQ is to do: a result, or a Retry."""
    retries = message.meta.get(_RETRIES, 0)

    def is_retried(error: Exception) -> bool:
        return batch.is_worth_a_retry(error) and retries < batch.max_retries

    try:
        result = batch.attempt(work, call, is_retried)
    except NotNow as reason:
        _log.info("message %s comes again in %.1f s: %s", message.id, reason.delay_s, reason)
        return _again(message, reason.delay_s)
    except JobEnded as ended:
        return str(ended.status)
    except JobCancelled:
        return str(Status.CANCELLED)
    except Exception as error:
        if not is_retried(error):
            message.retries_left = 0  # those are for crashes
            raise
        _log.info("message %s is tried again: %s: %s", message.id, type(error).__name__, error)
        message.meta[_RETRIES] = retries + 1
        message.save_meta()  # type: ignore[no-untyped-call]
        return _again(message, batch.retry_delay(retries))
    return result


def _again(message: Message, delay_s: float) -> Retry:
    """Returns what makes RQ give this message out again. Only a scheduler can put it off for long."""
    if message.connection.exists(RQScheduler.get_locking_key(message.origin)):
        return Retry(_WITHOUT_END, max(1, math.ceil(delay_s)))
    _log.warning("no scheduler for queue %s: start a worker with --with-scheduler", message.origin)
    time.sleep(min(delay_s, NO_SCHEDULER_S))
    return Retry(_WITHOUT_END)


def _stopped(message: Message, _connection: Any) -> None:
    """A message that was stopped runs no more: its job is cancelled. Called by RQ."""
    work = Work.of_message(message.args[0], message.id)
    message.func.batch.cancel(work.org, work.job_id)
