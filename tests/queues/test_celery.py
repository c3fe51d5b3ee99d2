"""Celery on the Redis transport, with real workers: what each event of the queue becomes of the job."""

import os
import signal
import time
from types import ModuleType
from typing import Any

import pytest

import batchstatus
from batchstatus import Job, Status
from batchstatus.embedded import EmbeddedServer
from batchstatus.jobs import transitions
from batchstatus.reaper import Reaper
from tests.queues.conftest import Import, counted
from tests.queues.settings import ORG
from tests.support.sdk import plain_client
from tests.support.waiting import wait_until

pytest.importorskip("celery", reason="needs the extra celery")
pytestmark = pytest.mark.slow

ROWS = 100


def enqueue(app: ModuleType, imported: Import, rows: int = ROWS, task: str = "import_file", **plan: Any) -> Job:
    return getattr(app, task).enqueue(ORG, str(imported.folder), rows, **plan)


def drop_messages(broker: EmbeddedServer) -> None:
    """Drop all messages, those that were delivered and not acknowledged too."""
    with plain_client(broker.url) as client:
        client.flushall()


@pytest.mark.parametrize("pool", ["prefork", "threads", "gevent", "solo"])
def test_an_import_completes_and_its_failed_row_counts(app, worker, imported, ended, pool):
    worker(pool)
    job = enqueue(app, imported, bad=7)
    assert counted(ended(job)) == (Status.COMPLETED, ROWS - 1, 1, ROWS)
    result = app.app.AsyncResult(job.job_id)
    wait_until(lambda: result.state == "SUCCESS")
    assert result.result == "imported"


def test_an_error_ends_the_job_as_failed(app, worker, imported, ended):
    worker()
    job = enqueue(app, imported, error="Odd", times=1)
    found = ended(job)
    assert (found.status, found.worker_error) == (Status.FAILED, "Odd: in the middle of start 1")
    wait_until(lambda: app.app.AsyncResult(job.job_id).state == "FAILURE")


@pytest.mark.parametrize(("task", "error"), [("import_file", "ConnectionError"), ("import_with_own_retry", "Odd")])
def test_a_retry_goes_on_from_the_checkpoint_with_exact_counters(app, worker, imported, ended, task, error):
    worker()
    job = enqueue(app, imported, task=task, error=error, times=2)
    assert counted(ended(job)) == (Status.COMPLETED, ROWS, 0, ROWS)
    assert len(imported.starts) == 3
    assert imported.rows == [*range(1, ROWS + 1)]


def test_the_last_retry_ends_the_job_as_failed(app, worker, imported, ended):
    worker()
    job = enqueue(app, imported, error="ConnectionError", times=9)
    found = ended(job)
    assert (found.status, found.worker_error) == (Status.FAILED, "ConnectionError: in the middle of start 3")
    assert len(imported.starts) == 3


def test_a_killed_child_is_taken_over_with_exact_counters(app, worker, imported, ended):
    worker()
    job = enqueue(app, imported, hold_at=55)
    imported.wait_holding()
    imported.go_on()
    os.kill(imported.starts[0], signal.SIGKILL)
    assert counted(ended(job)) == (Status.COMPLETED, ROWS, 0, ROWS)
    assert len(imported.starts) == 2
    assert imported.rows == [*range(1, ROWS + 1)]


@pytest.mark.parametrize("pool", ["prefork", "threads"])
def test_a_killed_worker_is_taken_over_when_the_message_is_visible_again(app, worker, imported, ended, pool):
    first = worker(pool)
    job = enqueue(app, imported, hold_at=55)
    imported.wait_holding()
    first.kill()
    imported.go_on()
    worker(pool)
    assert counted(ended(job)) == (Status.COMPLETED, ROWS, 0, ROWS)
    assert len(imported.starts) == 2
    assert imported.rows == [*range(1, ROWS + 1)]


def test_a_task_longer_than_the_visibility_timeout_runs_once(app, worker, imported, ended):
    first, second = worker(), worker()
    job = enqueue(app, imported, hold_at=55)
    imported.wait_holding()
    wait_until(lambda: "comes again in" in first.output.text() + second.output.text())
    imported.go_on()
    assert counted(ended(job)) == (Status.COMPLETED, ROWS, 0, ROWS)
    result = app.app.AsyncResult(job.job_id)
    wait_until(lambda: result.state == "SUCCESS")
    assert len(imported.starts) == 1


def test_a_cancel_over_the_store_stops_the_task_and_marks_it_revoked(app, worker, imported, queue_store, ended):
    worker()
    job = enqueue(app, imported, hold_at=55)
    imported.wait_holding()
    queue_store.control(ORG, job.job_id, "cancel")
    assert ended(job).status is Status.CANCELLED
    wait_until(lambda: app.app.AsyncResult(job.job_id).state == "REVOKED")


def test_a_job_that_was_cancelled_while_queued_is_never_run(app, worker, imported, queue_store):
    job = enqueue(app, imported)
    queue_store.control(ORG, job.job_id, "cancel")
    worker()
    wait_until(lambda: app.app.AsyncResult(job.job_id).state == "REVOKED")
    assert imported.starts == []


def test_a_queued_task_that_is_revoked_cancels_its_job(app, worker, imported, ended):
    worker()
    holding = [enqueue(app, imported, hold_at=1) for _ in range(2)]
    wait_until(lambda: len(imported.starts) == 2)
    job = enqueue(app, imported)
    app.app.control.revoke(job.job_id, reply=True, timeout=2)
    imported.go_on()
    assert ended(job).status is Status.CANCELLED
    assert {ended(each).status for each in holding} == {Status.COMPLETED}
    assert len(imported.starts) == 2


def test_a_running_task_that_is_terminated_cancels_its_job(app, worker, imported, ended):
    worker()
    job = enqueue(app, imported, hold_at=55)
    imported.wait_holding()
    app.app.control.revoke(job.job_id, terminate=True)
    assert ended(job).status is Status.CANCELLED


def test_a_soft_time_limit_fails_the_job(app, worker, imported, ended):
    worker()
    job = enqueue(app, imported, task="import_softly", hold_at=55)
    found = ended(job)
    assert found.status is Status.FAILED
    assert "SoftTimeLimitExceeded" in found.worker_error


def test_a_hard_time_limit_cancels_the_job(app, worker, imported, ended):
    worker()
    job = enqueue(app, imported, task="import_hard", hold_at=55)
    assert ended(job).status is Status.CANCELLED


def test_a_message_that_comes_too_late_cancels_its_job(app, worker, imported, ended):
    job = enqueue(app, imported, task="import_soon")
    wait_until(lambda: time.time() - job.created_at.timestamp() > 0.6)
    worker()
    assert ended(job).status is Status.CANCELLED
    assert imported.starts == []


def test_a_message_that_the_broker_lost_leaves_an_overdue_job_to_cancel(app, imported, broker, queue_store):
    job = enqueue(app, imported, task="import_soon")
    drop_messages(broker)
    wait_until(lambda: app.import_soon.batch.cancel_overdue(ORG))
    assert queue_store.get(ORG, job.job_id).status is Status.CANCELLED


def test_a_message_that_was_dropped_before_its_start_has_its_job_cancelled_by_the_reaper(
    app, imported, broker, redis_url, monkeypatch, queue_store
):
    monkeypatch.setattr(transitions, "DANGLING_MS", 300)  # when the reaper looks first; ten minutes otherwise
    job = enqueue(app, imported)
    drop_messages(broker)
    store = batchstatus.connect(redis_url, queued_at_most_s=1, timeout_s=30)
    reaper = Reaper(store)
    wait_until(lambda: reaper.sweep() or queue_store.get(ORG, job.job_id).terminal)
    found = queue_store.get(ORG, job.job_id)
    assert found.status is Status.CANCELLED
    assert (found.completed_at - found.created_at).total_seconds() >= 1
    store.close()


def test_a_message_that_was_dropped_after_its_worker_died_has_its_job_interrupted_by_the_reaper(
    app, worker, imported, broker, queue_store
):
    running = worker()
    job = enqueue(app, imported, task="import_once", hold_at=55)
    imported.wait_holding()
    running.kill()
    drop_messages(broker)
    reaper = Reaper(queue_store)
    wait_until(lambda: reaper.reap())
    assert queue_store.get(ORG, job.job_id).status is Status.INTERRUPTED


def test_a_message_that_cannot_be_sent_cancels_its_job(app, imported, queue_store, monkeypatch):
    def refuse(*_: Any, **__: Any) -> None:
        raise OSError("no broker")

    monkeypatch.setattr(app.app.amqp, "send_task_message", refuse)
    with pytest.raises(Exception, match="no broker") as raised:
        enqueue(app, imported)
    (job,) = queue_store.list(ORG).jobs
    assert job.status is Status.CANCELLED
    assert raised.value.__notes__ == [f"message {job.job_id} was not sent"]


def test_a_restart_of_the_broker_loses_no_import(app, worker, imported, broker, ended):
    worker()
    job = enqueue(app, imported, hold_at=55)
    imported.wait_holding()
    broker.kill()
    broker.start()
    imported.go_on()
    worker()  # as a supervisor does: some releases of Celery end when they lose the broker
    assert counted(ended(job)) == (Status.COMPLETED, ROWS, 0, ROWS)
    second = enqueue(app, imported)
    assert counted(ended(second)) == (Status.COMPLETED, ROWS, 0, ROWS)


def test_a_store_that_is_away_puts_the_message_off(app, worker, imported, valkey, ended):
    job = enqueue(app, imported)
    valkey.pause()
    try:
        worker().wait_for("comes again in 10.0 s")
    finally:
        valkey.resume()
    assert counted(ended(job)) == (Status.COMPLETED, ROWS, 0, ROWS)


def test_a_worker_whose_settings_cannot_work_does_not_start(start_worker, monkeypatch):
    monkeypatch.setenv("QUEUES_VISIBILITY_S", "10")
    found = start_worker("-m", "celery", "--app", "tests.queues.celery_app", "worker", "--pool", "solo")
    assert found.process.wait(60) == 1
    assert "\nbatchstatus: task tests.queues.celery_app.import_" in found.output.text()
    assert "visibility_timeout 10 s is not above 10 s" in found.output.text()
