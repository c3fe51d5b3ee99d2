"""RQ with real workers: what each event of the queue becomes of the job."""

import importlib
import os
import signal
import time
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import pytest

from batchstatus import Job, JobStore, Status
from batchstatus.embedded import EmbeddedServer
from tests.queues.conftest import Import, Worker, counted
from tests.queues.settings import ORG
from tests.support.sdk import plain_client
from tests.support.waiting import wait_until

rq_command = pytest.importorskip("rq.command", reason="needs the extra rq")
pytestmark = pytest.mark.slow

ROWS = 100
ALL_ROWS = [*range(1, ROWS + 1)]


@pytest.fixture
def app(queue_store: JobStore) -> Iterator[ModuleType]:
    """The functions, with the store and the broker of this test."""
    found = importlib.reload(importlib.import_module("tests.queues.rq_app"))
    yield found
    found.queue.connection.close()


@pytest.fixture
def worker(start_worker: Callable[..., Worker], broker: EmbeddedServer) -> Callable[..., Worker]:
    """Starts a worker, and waits until it listens."""

    def start(*options: str) -> Worker:
        found = start_worker("-m", "rq.cli", "worker", "imports", "--url", broker.url, "--path", ".", *options)
        found.wait_for("Listening on imports")
        return found

    return start


def enqueue(app: ModuleType, imported: Import, rows: int = ROWS, task: str = "import_file", **plan: Any) -> Job:
    return getattr(app, task).enqueue(ORG, str(imported.folder), rows, **plan)


def message_of(app: ModuleType, job: Job) -> Any:
    return app.queue.fetch_job(job.job_id)


def wait_status(app: ModuleType, job: Job, status: str) -> None:
    wait_until(lambda: message_of(app, job).get_status() == status, what=f"message {status}")


def test_an_import_completes_and_its_failed_row_counts(app, worker, imported, ended):
    worker()
    job = enqueue(app, imported, bad=7)
    assert counted(ended(job)) == (Status.COMPLETED, ROWS - 1, 1, ROWS)
    wait_status(app, job, "finished")
    assert message_of(app, job).return_value() == "imported"


def test_an_error_ends_the_job_as_failed_and_is_not_retried(app, worker, imported, ended):
    worker()
    job = enqueue(app, imported, error="Odd", times=1)
    found = ended(job)
    assert (found.status, found.worker_error) == (Status.FAILED, "Odd: in the middle of start 1")
    wait_status(app, job, "failed")
    assert len(imported.starts) == 1


@pytest.mark.parametrize("options", [(), ("--with-scheduler",)], ids=["no scheduler", "scheduler"])
def test_a_retry_goes_on_from_the_checkpoint_with_exact_counters(app, worker, imported, ended, options):
    worker(*options)
    job = enqueue(app, imported, error="ConnectionError", times=2)
    assert counted(ended(job)) == (Status.COMPLETED, ROWS, 0, ROWS)
    assert len(imported.starts) == 3
    assert imported.rows == ALL_ROWS


def test_the_last_retry_ends_the_job_as_failed(app, worker, imported, ended):
    worker()
    job = enqueue(app, imported, error="ConnectionError", times=9)
    found = ended(job)
    assert (found.status, found.worker_error) == (Status.FAILED, "ConnectionError: in the middle of start 3")
    wait_status(app, job, "failed")
    assert len(imported.starts) == 3


def test_a_killed_work_horse_is_taken_over_with_exact_counters(app, worker, imported, ended):
    worker()
    job = enqueue(app, imported, hold_at=55)
    imported.wait_holding()
    imported.go_on()
    os.kill(imported.starts[0], signal.SIGKILL)
    assert counted(ended(job)) == (Status.COMPLETED, ROWS, 0, ROWS)
    assert len(imported.starts) == 2
    assert imported.rows == ALL_ROWS


def test_a_killed_worker_is_taken_over_once_rq_misses_it(app, worker, imported, ended):
    first = worker()
    job = enqueue(app, imported, hold_at=55)
    imported.wait_holding()
    os.killpg(imported.starts[0], signal.SIGKILL)  # a work horse has a process group of its own
    first.kill()
    imported.go_on()
    worker()
    app.queue.started_job_registry.cleanup(time.time() + 3_600)  # as if the silence had been long enough
    assert counted(ended(job)) == (Status.COMPLETED, ROWS, 0, ROWS)
    assert len(imported.starts) == 2
    assert imported.rows == ALL_ROWS


def test_the_parts_of_one_job_complete_it_and_a_killed_one_is_taken_over(app, worker, imported, ended):
    worker()
    worker()
    plans = {"2": {"hold_at": 55}}
    job = app.import_part.enqueue_parts(ORG, str(imported.folder), ROWS, parts=3, plans=plans)
    held = imported.part(2)
    held.wait_holding()
    os.kill(held.starts[0], signal.SIGKILL)
    held.go_on()
    assert counted(ended(job)) == (Status.COMPLETED, 3 * ROWS, 0, 3 * ROWS)
    assert [len(imported.part(part).starts) for part in (1, 2, 3)] == [1, 2, 1]
    assert [imported.part(part).rows for part in (1, 2, 3)] == [ALL_ROWS] * 3
    wait_until(lambda: app.queue.fetch_job(f"{job.job_id}-part-2").get_status() == "finished")


def test_a_part_that_fails_fails_the_job_and_the_messages_of_others_finish(app, worker, imported, ended):
    worker()
    plans = {"1": {"error": "Odd", "times": 1}}
    job = app.import_part.enqueue_parts(ORG, str(imported.folder), ROWS, parts=3, plans=plans)
    assert ended(job).status is Status.FAILED
    messages = [app.queue.fetch_job(f"{job.job_id}-part-{part}") for part in (1, 2, 3)]
    wait_until(lambda: [each.get_status() for each in messages] == ["failed", "finished", "finished"])
    assert messages[2].return_value() == "failed"


def test_a_retry_gives_the_part_back_and_it_goes_on_from_its_checkpoint(app, worker, imported, ended):
    worker()
    plans = {"2": {"error": "ConnectionError", "times": 2}}
    job = app.import_part.enqueue_parts(ORG, str(imported.folder), ROWS, parts=3, plans=plans)
    assert counted(ended(job)) == (Status.COMPLETED, 3 * ROWS, 0, 3 * ROWS)
    assert [len(imported.part(part).starts) for part in (1, 2, 3)] == [1, 3, 1]
    assert [imported.part(part).rows for part in (1, 2, 3)] == [ALL_ROWS] * 3


def test_a_cancel_stops_all_parts(app, worker, imported, queue_store, ended):
    worker()
    job = app.import_part.enqueue_parts(ORG, str(imported.folder), ROWS, parts=3, plans={"1": {"hold_at": 55}})
    imported.part(1).wait_holding()
    queue_store.control(ORG, job.job_id, "cancel")
    assert ended(job).status is Status.CANCELLED
    wait_until(lambda: app.queue.fetch_job(f"{job.job_id}-part-3").get_status() == "finished")
    assert [imported.part(part).starts for part in (2, 3)] == [[], []]


def test_a_broker_that_goes_away_after_two_messages_cancels_the_job_and_the_error_names_the_third(
    app, imported, queue_store, monkeypatch
):
    send, sent = app.queue.enqueue_job, []

    def away_after_two(*message: Any, **options: Any) -> Any:
        if len(sent) == 2:
            raise OSError("no broker")
        sent.append(message)
        return send(*message, **options)

    monkeypatch.setattr(app.queue, "enqueue_job", away_after_two)
    with pytest.raises(OSError, match="no broker") as caught:
        app.import_part.enqueue_parts(ORG, str(imported.folder), ROWS, parts=3, plans={})
    (job,) = queue_store.list(ORG).jobs
    assert job.status is Status.CANCELLED
    assert any(f"{job.job_id}-part-3" in note for note in caught.value.__notes__)


def test_a_message_that_comes_again_while_it_runs_is_put_off(app, worker, imported, ended):
    worker()
    worker()
    job = enqueue(app, imported, hold_at=55)
    imported.wait_holding()
    app.queue.started_job_registry.cleanup(time.time() + 3_600)
    wait_until(lambda: message_of(app, job).number_of_retries)
    imported.go_on()
    assert counted(ended(job)) == (Status.COMPLETED, ROWS, 0, ROWS)
    assert len(imported.starts) == 1


def test_a_cancel_over_the_store_stops_the_function(app, worker, imported, queue_store, ended):
    worker()
    job = enqueue(app, imported, hold_at=55)
    imported.wait_holding()
    queue_store.control(ORG, job.job_id, "cancel")
    assert ended(job).status is Status.CANCELLED
    wait_status(app, job, "finished")
    assert message_of(app, job).return_value() == "cancelled"


def test_a_job_that_was_cancelled_while_queued_is_never_run(app, worker, imported, queue_store):
    job = enqueue(app, imported)
    queue_store.control(ORG, job.job_id, "cancel")
    worker()
    wait_status(app, job, "finished")
    assert imported.starts == []


def test_a_message_that_is_stopped_cancels_its_job(app, worker, imported, ended):
    worker()
    job = enqueue(app, imported, hold_at=55)
    imported.wait_holding()
    rq_command.send_stop_job_command(app.queue.connection, job.job_id)
    assert ended(job).status is Status.CANCELLED


def test_a_time_limit_fails_the_job(app, worker, imported, ended):
    worker()
    job = enqueue(app, imported, task="import_timed", hold_at=55)
    found = ended(job)
    assert found.status is Status.FAILED
    assert "JobTimeoutException" in found.worker_error


def test_a_message_that_comes_too_late_cancels_its_job(app, worker, imported, ended):
    job = enqueue(app, imported, task="import_soon")
    wait_until(lambda: time.time() - job.created_at.timestamp() > 0.6)
    worker()
    assert ended(job).status is Status.CANCELLED
    assert imported.starts == []


def test_a_message_that_the_broker_lost_leaves_an_overdue_job_to_cancel(app, imported, broker, queue_store):
    job = enqueue(app, imported, task="import_soon")
    with plain_client(broker.url) as client:
        client.flushall()
    wait_until(lambda: app.import_soon.batch.cancel_overdue(ORG))
    assert queue_store.get(ORG, job.job_id).status is Status.CANCELLED


def test_a_message_that_cannot_be_sent_cancels_its_job(app, imported, queue_store, monkeypatch):
    def refuse(*_: Any, **__: Any) -> None:
        raise OSError("no broker")

    monkeypatch.setattr(app.queue, "enqueue_call", refuse)
    with pytest.raises(OSError, match="no broker"):
        enqueue(app, imported)
    (job,) = queue_store.list(ORG).jobs
    assert job.status is Status.CANCELLED
