"""The adapter for Celery without a broker: what it refuses, and what it sets."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
from celery import Celery, Task
from celery.exceptions import Ignore
from flask import Flask, current_app

from batchstatus import InvalidValue, JobNotFound, JobStore, Run, Status
from batchstatus.integrations.celery import batch_task
from batchstatus.integrations.work import Work

ORG, KIND = "org_acme", "transaction_batch"


@pytest.fixture
def app() -> Iterator[Celery]:
    with Celery("unit", broker="memory://", set_as_current=False) as app:
        yield app


def make(app: Celery, store: JobStore, **options: Any) -> Any:
    @batch_task(app, store, kind=KIND, **options)
    def import_file(run: Run, path: str, *, sheet: int = 1) -> None:
        """Import a file."""

    return import_file


@pytest.mark.parametrize("name", ["autoretry_for", "bind", "acks_late", "reject_on_worker_lost", "expires"])
def test_an_option_that_is_the_adapters_is_refused(app: Celery, store: JobStore, name: str) -> None:
    with pytest.raises(InvalidValue, match=f"^{name} is the adapter's"):
        make(app, store, **{name: True})


@pytest.mark.parametrize(
    ("option", "wrong"),
    [
        ({"retry_for": "ConnectionError"}, "retry_for 'ConnectionError' is neither"),
        ({"retry_for": (KeyboardInterrupt,)}, "retry_for .* is neither"),
        ({"max_retries": -1}, "max_retries"),
        ({"retry_delay_s": -1}, "retry_delay_s"),
        ({"queued_at_most_s": "soon"}, "queued_at_most_s"),
    ],
)
def test_a_wrong_option_is_named(app: Celery, store: JobStore, option: dict[str, Any], wrong: str) -> None:
    with pytest.raises(InvalidValue, match=wrong):
        make(app, store, **option)


def test_no_number_of_retries_means_the_default(app: Celery, store: JobStore) -> None:
    assert make(app, store, max_retries=None).max_retries == 3


def test_the_task_is_acknowledged_late_and_has_the_functions_name_and_docstring(
    app: Celery, store: JobStore
) -> None:
    task = make(app, store, soft_time_limit=60)
    assert (task.acks_late, task.reject_on_worker_lost, task.soft_time_limit) == (True, True, 60)
    assert (task.name.rpartition(".")[2], task.__doc__) == ("import_file", "Import a file.")


@pytest.mark.parametrize(
    ("settings", "options", "wrong"),
    [
        ({}, {}, None),
        (
            {"broker_transport_options": {"visibility_timeout": 36}},
            {},
            r"visibility_timeout 36 s is not above 36 s",
        ),
        ({}, {"retry_for": OSError, "retry_delay_s": 3_600}, r"visibility_timeout 3600 s is not above 3600 s"),
        ({"task_annotations": {"*": {"acks_late": False}}}, {}, r"acks_late and reject_on_worker_lost"),
        ({}, {"takeover_s": 90 * 86_400}, r"the takeover window 7776000 s is longer"),
    ],
)
def test_settings_that_cannot_work_are_told(
    app: Celery, store: JobStore, settings: dict[str, Any], options: dict[str, Any], wrong: str | None
) -> None:
    app.conf.update(settings)
    task = make(app, store, **options)
    told = task.check()
    assert re.search(wrong, told or "") if wrong else told is None


def test_a_message_without_a_job_is_refused(app: Celery, store: JobStore) -> None:
    with pytest.raises(TypeError, match=r"call enqueue\(org, …\) instead of delay"):
        make(app, store).delay("november.csv")


def test_arguments_that_the_function_does_not_take_make_no_job(app: Celery, store: JobStore) -> None:
    with pytest.raises(TypeError, match="colour"):
        make(app, store).enqueue(ORG, "november.csv", colour="red")
    assert store.list(ORG).jobs == ()


def test_the_job_has_what_was_given_and_the_messages_id(
    app: Celery, store: JobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = make(app, store)
    sent = {}
    monkeypatch.setattr(type(task._get_current_object()), "apply_async", lambda *args, **kw: sent.update(kw))
    job = task.enqueue(ORG, "november.csv", sheet=2, metadata={"fileName": "november.csv"}, total_items=5)
    assert sent == {"task_id": job.job_id}
    assert (job.status, job.total_items, job.metadata["fileName"]) == (Status.QUEUED, 5, "november.csv")


@pytest.mark.parametrize(("made_before", "status"), [(False, Status.CANCELLED), (True, Status.QUEUED)])
def test_only_a_job_that_was_made_here_is_cancelled_when_its_message_cannot_be_sent(
    app: Celery, store: JobStore, monkeypatch: pytest.MonkeyPatch, made_before: bool, status: Status
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise OSError("no broker")

    task = make(app, store)
    sending = type(task._get_current_object())
    if made_before:
        monkeypatch.setattr(sending, "apply_async", lambda *_, **__: None)
        task.enqueue(ORG, "november.csv", job_id="november")
    else:
        with pytest.raises(JobNotFound):
            store.get(ORG, "november")
    monkeypatch.setattr(sending, "apply_async", refuse)
    with pytest.raises(OSError, match="no broker"):
        task.enqueue(ORG, "november.csv", job_id="november")
    assert store.get(ORG, "november").status is status


def test_a_retry_waits_twice_as_long_as_the_one_before(app: Celery, store: JobStore) -> None:
    batch = make(app, store, retry_delay_s=10).batch
    assert [batch.retry_delay(retries) for retries in (0, 1, 2, 9)] == [10, 20, 40, 600]


def test_overdue_jobs_need_a_limit(app: Celery, store: JobStore) -> None:
    with pytest.raises(InvalidValue, match="queued_at_most_s"):
        make(app, store).batch.cancel_overdue(ORG)


@pytest.fixture
def in_chord(store: JobStore) -> Iterator[Any]:
    """A task that gets the message of part 1 of the job `november`, in the header of a chord."""
    with Celery("unit", broker="memory://", backend="cache+memory://", set_as_current=False) as app:

        @batch_task(app, store, kind=KIND)
        def import_part(run: Run, part: int) -> int:
            raise ValueError(part)

        task: Any = import_part
        task.backend.client.cache.clear()
        store.create(ORG, KIND, job_id="november", parts=2)
        task.push_request(id="november-part-1", chord={"task": "tell"}, args=(), kwargs={})
        yield task
        task.pop_request()


@pytest.mark.parametrize(("known", "result"), [(True, 7), (False, None)], ids=["with a result", "without"])
def test_a_part_of_a_chord_that_comes_after_its_end_has_the_result_that_celery_has(
    in_chord: Any, store: JobStore, known: bool, result: int | None
) -> None:
    with store.run(ORG, "november", part=1):
        pass
    if known:
        in_chord.backend.store_result("november-part-1", 7, "SUCCESS")
    assert in_chord.start(Work(ORG, "november", 1), (), {}) == result


def test_a_part_of_a_chord_that_has_failed_stays_failed_when_its_message_comes_again(
    in_chord: Any, store: JobStore
) -> None:
    with pytest.raises(ValueError, match="1"):
        in_chord.start(Work(ORG, "november", 1), (), {})
    in_chord.backend.store_result("november-part-1", ValueError(1), "FAILURE")
    with pytest.raises(Ignore):
        in_chord.start(Work(ORG, "november", 1), (), {})
    assert in_chord.AsyncResult("november-part-1").state == "FAILURE"


class FlaskTask(Task):
    """As Flask's documentation has it: a call within the application's context."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        with Flask("host").app_context():
            return self.run(*args, **kwargs)


@pytest.mark.parametrize("way", ["of the application", "of the task"])
def test_the_task_does_around_a_call_what_the_applications_tasks_do(store: JobStore, way: str) -> None:
    of_app = way == "of the application"
    theirs = {"task_cls": FlaskTask} if of_app else {}
    with Celery("unit", broker="memory://", set_as_current=False, **theirs) as app:

        @batch_task(app, store, kind=KIND, **({} if of_app else {"base": FlaskTask}))
        def import_file(run: Run) -> str:
            run.succeeded()
            return current_app.name

        store.create(ORG, KIND, job_id="november")
        assert import_file.apply(args=(Work(ORG, "november").argument,), task_id="november").get() == "host"
    assert store.get(ORG, "november").status is Status.COMPLETED
    assert isinstance(import_file._get_current_object(), FlaskTask)


class Retrying(Task):
    """A base with options that the adapter refuses."""

    autoretry_for = (ValueError,)
    expires = 60
    acks_late = False
    rate_limit = "9/s"


def test_what_the_adapter_refuses_is_not_inherited_either(app: Celery, store: JobStore) -> None:
    task = make(app, store, base=Retrying)
    assert (task.autoretry_for, task.expires, task.acks_late, task.rate_limit) == ((), None, True, "9/s")
    assert not hasattr(task, "_orig_run")  # as Celery wraps the function for autoretry_for
