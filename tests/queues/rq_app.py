"""RQ functions that are batch tasks."""

from redis import Redis
from rq import Queue

from batchstatus import Run
from batchstatus.integrations.rq import batch_task
from tests.queues import importing, settings

queue = Queue("imports", connection=Redis.from_url(settings.broker()))


@batch_task(
    queue, settings.store(), kind=settings.KIND, retry_for=(ConnectionError,), max_retries=2, retry_delay_s=0.2
)
def import_file(run: Run, folder: str, rows: int, **plan: object) -> str:
    return importing.import_rows(run, folder, rows, **plan)


@batch_task(queue, settings.store(), kind=settings.KIND, timeout=1)
def import_timed(run: Run, folder: str, rows: int, **plan: object) -> str:
    return importing.import_rows(run, folder, rows, **plan)


@batch_task(queue, settings.store(), kind=settings.KIND, queued_at_most_s=0.5)
def import_soon(run: Run, folder: str, rows: int, **plan: object) -> str:
    return importing.import_rows(run, folder, rows, **plan)


@batch_task(
    queue, settings.store(), kind=settings.KIND, retry_for=(ConnectionError,), max_retries=2, retry_delay_s=0.2
)
def import_part(run: Run, folder: str, rows: int, part: int, plans: importing.Plans) -> int:
    return importing.import_part(run, folder, rows, part, plans)
