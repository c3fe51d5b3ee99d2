"""The parts of one job as messages of Celery, with real workers, alone and as the header of a chord."""

import os
import signal
from types import ModuleType
from typing import Any

import pytest

from batchstatus import Job, Status
from batchstatus.web import create_app
from tests.queues.conftest import Import, counted
from tests.queues.settings import ORG
from tests.support.controls import Controls
from tests.support.sdk import plain_client
from tests.support.waiting import wait_until

pytest.importorskip("celery", reason="needs the extra celery")
pytestmark = pytest.mark.slow

PARTS, ROWS = 8, 40
NUMBERS = range(1, PARTS + 1)
ALL_DONE = (Status.COMPLETED, PARTS * ROWS, 0, PARTS * ROWS)


def enqueue(app: ModuleType, imported: Import, plans: dict[str, Any] | None = None, **options: Any) -> Job:
    """Enqueue the parts; `plans` says what a part does beside importing its rows."""
    return app.import_part.enqueue_parts(
        ORG, str(imported.folder), ROWS, parts=PARTS, plans=plans or {}, **options
    )


def callback(app: ModuleType, imported: Import) -> Any:
    """What a chord calls back: it writes a line to the file `results`, after an error to `errors`."""
    folder = str(imported.folder)
    return app.note_results.s(folder).on_error(app.note_error.s(folder))


def noted(imported: Import, name: str) -> list[str]:
    """Waits for what a chord called back, and returns its lines."""
    file = imported.folder / name
    wait_until(lambda: file.exists() and file.read_text(), what=f"{name} of the chord")
    return file.read_text().splitlines()


def states(app: ModuleType, job: Job) -> list[str]:
    """Waits until all messages are done, and returns their states."""
    results = [app.app.AsyncResult(f"{job.job_id}-part-{part}") for part in NUMBERS]
    wait_until(lambda: all(result.ready() for result in results), what="all messages done")
    return [result.state for result in results]


def assert_each_row_is_there_once(imported: Import) -> None:
    assert [imported.part(part).rows for part in NUMBERS] == [[*range(1, ROWS + 1)]] * PARTS


def test_each_message_runs_its_part_and_the_last_one_completes_the_job(app, worker, imported, ended):
    worker()
    job = enqueue(app, imported, {"5": {"bad": 7}})
    assert counted(ended(job)) == (Status.COMPLETED, PARTS * ROWS - 1, 1, PARTS * ROWS)
    assert states(app, job) == ["SUCCESS"] * PARTS
    assert_each_row_is_there_once(imported)


@pytest.mark.parametrize("pool", ["prefork", "threads", "gevent"])
def test_a_chord_gets_what_each_part_returned_and_is_called_once(app, worker, imported, ended, pool):
    worker(pool)
    job = enqueue(app, imported, callback=callback(app, imported))
    assert noted(imported, "results") == [str([*NUMBERS])]
    assert counted(ended(job)) == ALL_DONE


def test_a_retry_gives_the_part_back_and_the_chord_waits_for_it(app, worker, imported, ended):
    worker()
    error = {"error": "ConnectionError", "times": 2}
    job = enqueue(app, imported, {"3": error}, callback=callback(app, imported))
    assert counted(ended(job)) == ALL_DONE
    assert noted(imported, "results") == [str([*NUMBERS])]
    assert [len(imported.part(part).starts) for part in (2, 3)] == [1, 3]
    assert_each_row_is_there_once(imported)


def test_a_killed_child_has_its_part_taken_over_while_the_others_go_on(app, worker, imported, ended):
    worker()
    job = enqueue(app, imported, {"3": {"hold_at": 25}}, callback=callback(app, imported))
    held = imported.part(3)
    held.wait_holding()
    os.kill(held.starts[0], signal.SIGKILL)
    held.go_on()
    assert counted(ended(job)) == ALL_DONE
    assert noted(imported, "results") == [str([*NUMBERS])]
    assert len(held.starts) == 2
    assert_each_row_is_there_once(imported)


def test_a_killed_worker_has_its_parts_taken_over_when_their_messages_are_visible_again(
    app, worker, imported, ended
):
    first = worker()
    held = [imported.part(1), imported.part(2)]
    job = enqueue(app, imported, {"1": {"hold_at": 25}, "2": {"hold_at": 25}}, callback=callback(app, imported))
    for each in held:
        each.wait_holding()
    first.kill()
    for each in held:
        each.go_on()
    worker()
    assert counted(ended(job)) == ALL_DONE
    assert noted(imported, "results") == [str([*NUMBERS])]
    assert [len(each.starts) for each in held] == [2, 2]
    assert_each_row_is_there_once(imported)


def test_a_part_that_fails_for_good_fails_the_job_and_the_others_end_quietly(
    app, worker, imported, queue_store, ended
):
    running = worker()
    plans = {"1": {"hold_at": 25}, "3": {"error": "Odd", "times": 1}}
    job = enqueue(app, imported, plans, callback=callback(app, imported))
    found = ended(job)
    assert (found.status, found.worker_error) == (Status.FAILED, "Odd: in the middle of start 1")
    assert [part.part for part in queue_store.parts(ORG, job.job_id) if part.status is Status.FAILED] == [3]
    assert states(app, job) == ["REVOKED", "SUCCESS", "FAILURE", *["REVOKED"] * 5]
    (error,) = noted(imported, "errors")
    assert error == f"Dependency {job.job_id}-part-1 raised TaskRevokedError('the job is failed')"
    assert not (imported.folder / "results").exists()
    assert running.output.text().count("raised unexpected") == 1


def test_a_cancel_over_http_stops_all_parts(app, worker, imported, queue_store, ended):
    worker()
    held = {"hold_at": 25}
    job = enqueue(app, imported, {"1": held, "2": held}, callback=callback(app, imported))
    for part in (1, 2):
        imported.part(part).wait_holding()
    answer = Controls(create_app(queue_store).test_client(), queue_store)(job, "cancel")
    assert answer.status_code == 200
    assert ended(job).status is Status.CANCELLED
    assert states(app, job) == ["REVOKED"] * PARTS
    assert len(noted(imported, "errors")) == 1


def test_a_message_that_is_revoked_cancels_the_job_of_all_parts(app, worker, imported, ended):
    worker()
    held = {"hold_at": 25}
    job = enqueue(app, imported, {"1": held, "2": held})
    for part in (1, 2):
        imported.part(part).wait_holding()
    app.app.control.revoke(f"{job.job_id}-part-5", reply=True, timeout=2)
    imported.part(1).go_on()
    assert ended(job).status is Status.CANCELLED
    assert states(app, job)[4] == "REVOKED"


@pytest.mark.parametrize("with_callback", [False, True], ids=["alone", "chord"])
def test_a_broker_that_goes_away_after_three_messages_cancels_the_job_and_the_error_names_the_fourth(
    app, worker, imported, queue_store, monkeypatch, with_callback
):
    send, sent = app.app.amqp.send_task_message, []

    def three_times(*args: Any, **kwargs: Any) -> Any:
        if len(sent) == 3:
            raise OSError("no broker")
        sent.append(send(*args, **kwargs))

    monkeypatch.setattr(app.app.amqp, "send_task_message", three_times)
    with pytest.raises(Exception, match="no broker") as raised:
        enqueue(app, imported, callback=callback(app, imported) if with_callback else None)
    (job,) = queue_store.list(ORG).jobs
    assert raised.value.__notes__ == [f"message {job.job_id}-part-4 was not sent"]
    assert job.status is Status.CANCELLED
    worker()
    results = [app.app.AsyncResult(f"{job.job_id}-part-{part}") for part in (1, 2, 3)]
    wait_until(lambda: [result.state for result in results] == ["REVOKED"] * 3)
    assert [*imported.folder.iterdir()] == []


def test_messages_that_were_lost_are_sent_again_and_a_part_that_has_completed_is_not_run_again(
    app, worker, imported, broker, queue_store, ended
):
    job = enqueue(app, imported, job_id="november")
    with queue_store.run(ORG, job.job_id, part=1) as run:
        run.total(ROWS)
        run.succeeded(ROWS)
    with plain_client(broker.url) as client:
        client.flushall()
    worker()
    enqueue(app, imported, job_id="november", callback=callback(app, imported))
    assert counted(ended(job)) == ALL_DONE
    assert noted(imported, "results") == [str([None, *NUMBERS[1:]])]
    assert imported.part(1).starts == []
