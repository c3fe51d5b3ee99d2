"""A Celery application with batch tasks, and what a chord calls back."""

from pathlib import Path

from celery import Celery, current_task

from batchstatus import Run
from batchstatus.integrations.celery import batch_task
from tests.queues import importing, settings

app = Celery("queues", broker=settings.broker(), backend=settings.broker())
app.conf.update(
    broker_transport_options={
        "visibility_timeout": settings.VISIBILITY_S,
        "unacked_restore_interval": 1,
        "unacked_restore_throttle": 1,
    },
    broker_connection_retry_on_startup=True,
    worker_prefetch_multiplier=1,
    task_publish_retry_policy={"max_retries": 1, "interval_start": 0.1},
    redis_socket_connect_timeout=1,
)


@batch_task(
    app, settings.store(), kind=settings.KIND, retry_for=(ConnectionError,), max_retries=2, retry_delay_s=0.2
)
def import_file(run: Run, folder: str, rows: int, **plan: object) -> str:
    return importing.import_rows(run, folder, rows, **plan)


@batch_task(app, settings.store(), kind=settings.KIND, soft_time_limit=1)
def import_softly(run: Run, folder: str, rows: int, **plan: object) -> str:
    return importing.import_rows(run, folder, rows, **plan)


@batch_task(app, settings.store(), kind=settings.KIND, time_limit=1)
def import_hard(run: Run, folder: str, rows: int, **plan: object) -> str:
    return importing.import_rows(run, folder, rows, **plan)


@batch_task(app, settings.store(), kind=settings.KIND, queued_at_most_s=0.5)
def import_soon(run: Run, folder: str, rows: int, **plan: object) -> str:
    return importing.import_rows(run, folder, rows, **plan)


@batch_task(app, settings.store(), kind=settings.KIND)
def import_with_own_retry(run: Run, folder: str, rows: int, **plan: object) -> str:
    try:
        return importing.import_rows(run, folder, rows, **plan)
    except importing.Odd as error:
        raise current_task.retry(exc=error, countdown=0.1) from error


@batch_task(
    app, settings.store(), kind=settings.KIND, retry_for=(ConnectionError,), max_retries=2, retry_delay_s=0.2
)
def import_part(run: Run, folder: str, rows: int, part: int, plans: importing.Plans) -> int:
    return importing.import_part(run, folder, rows, part, plans)


@batch_task(app, settings.store(), kind=settings.KIND, takeover_s=1)
def import_once(run: Run, folder: str, rows: int, **plan: object) -> str:
    return importing.import_rows(run, folder, rows, **plan)


@app.task
def note_results(results: list[object], folder: str) -> None:
    with (Path(folder) / "results").open("a") as file:
        file.write(f"{results}\n")


@app.task
def note_error(_request: object, error: Exception, _traceback: object, folder: str) -> None:
    with (Path(folder) / "errors").open("a") as file:
        file.write(f"{error}\n")
