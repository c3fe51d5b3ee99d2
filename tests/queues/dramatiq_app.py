"""Dramatiq actors that are batch tasks."""

from dramatiq.brokers.redis import RedisBroker

from batchstatus import Run
from batchstatus.integrations.dramatiq import batch_task
from tests.queues import importing, settings

broker = RedisBroker(url=settings.broker(), heartbeat_timeout=2_000, maintenance_chance=100_000)


@batch_task(
    broker, settings.store(), kind=settings.KIND, retry_for=(ConnectionError,), max_retries=2, retry_delay_s=0.2
)
def import_file(run: Run, folder: str, rows: int, **plan: object) -> str:
    return importing.import_rows(run, folder, rows, **plan)


@batch_task(broker, settings.store(), kind=settings.KIND, time_limit=1_000)
def import_timed(run: Run, folder: str, rows: int, **plan: object) -> str:
    return importing.import_rows(run, folder, rows, **plan)


@batch_task(broker, settings.store(), kind=settings.KIND, queued_at_most_s=0.5)
def import_soon(run: Run, folder: str, rows: int, **plan: object) -> str:
    return importing.import_rows(run, folder, rows, **plan)


@batch_task(
    broker, settings.store(), kind=settings.KIND, retry_for=(ConnectionError,), max_retries=2, retry_delay_s=0.2
)
def import_part(run: Run, folder: str, rows: int, part: int, plans: importing.Plans) -> int:
    return importing.import_part(run, folder, rows, part, plans)
