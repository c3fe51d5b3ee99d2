"""What a delivery of a message does to its job or part, without a queue."""

import functools
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any

import pytest

from batchstatus import (
    InvalidValue,
    JobAborted,
    JobCancelled,
    JobEnded,
    JobStore,
    LeaseLost,
    ReportsLost,
    Run,
    Status,
    StoreUnavailable,
)
from batchstatus.integrations.task import Batch, NotNow
from batchstatus.integrations.work import Work
from tests.support.waiting import wait_until

ORG, KIND = "org_acme", "transaction_batch"


@pytest.fixture
def attempt(batch_of: Callable[..., Batch]) -> Callable[..., Any]:
    """Runs a work once, with a function and its arguments."""

    def run_once(work: Work, function: Callable[..., Any], *args: Any) -> Any:
        batch = batch_of(function)
        return batch.attempt(work, batch.calling(work, args, {}), lambda _: False)

    return run_once


def fail(run: Run, part: int) -> None:
    raise ValueError("broken")


def test_a_part_gets_its_number_and_a_job_gets_none(attempt: Callable[..., Any], store: JobStore) -> None:
    store.create(ORG, KIND, job_id="whole")
    store.create(ORG, KIND, job_id="split", parts=2)
    assert attempt(Work(ORG, "whole"), lambda run, *args, **named: (args, named), "a.csv") == (
        ("a.csv",),
        {},
    )
    assert attempt(Work(ORG, "split", 2), lambda run, path, part: (path, part), "a.csv") == ("a.csv", 2)


def test_a_part_whose_job_another_part_has_failed_comes_again_soon_and_finds_it_ended(
    attempt: Callable[..., Any], store: JobStore
) -> None:
    store.create(ORG, KIND, job_id="november", parts=2)

    def overtaken(run: Run, part: int) -> None:
        with pytest.raises(ValueError, match="broken"):
            attempt(Work(ORG, "november", 2), fail)
        run.succeeded()
        wait_until(lambda: run.check())

    with pytest.raises(NotNow) as put_off:
        attempt(Work(ORG, "november", 1), overtaken)
    assert put_off.value.delay_s < 2 * store.settings.grace_s
    with pytest.raises(JobEnded) as ended:
        attempt(Work(ORG, "november", 1), overtaken)
    assert ended.value.status is Status.FAILED


async def import_later(run: Run) -> None:
    run.succeeded()


async def rows_later(run: Run) -> AsyncIterator[int]:
    yield 1


def rows(run: Run) -> Iterator[int]:
    yield 1


@pytest.mark.parametrize("function", [import_later, rows_later, rows, functools.partial(import_later)])
def test_a_function_that_a_call_alone_does_not_run_is_refused(
    batch_of: Callable[..., Batch], function: Callable[..., Any]
) -> None:
    with pytest.raises(InvalidValue, match="is async or a generator"):
        batch_of(function)


@pytest.mark.parametrize(
    ("function", "result"), [(import_later, "coroutine"), (rows_later, "async_generator"), (rows, "generator")]
)
def test_a_result_that_is_yet_to_be_run_fails_the_job(
    attempt: Callable[..., Any], store: JobStore, function: Callable[..., Any], result: str
) -> None:
    store.create(ORG, KIND, job_id="later")
    with pytest.raises(TypeError, match=f"returned a {result}, and nobody runs it"):
        attempt(Work(ORG, "later"), lambda run: function(run))
    assert store.get(ORG, "later").status is Status.FAILED


@pytest.mark.parametrize(
    ("error", "status"),
    [(JobAborted("BAD_FILE", "no header"), Status.FAILED), (JobCancelled(), Status.CANCELLED)],
)
def test_a_group_that_states_the_jobs_end_is_not_retried(
    store: JobStore, error: Exception, status: Status, batch_of: Callable[..., Batch]
) -> None:
    def grouped(run: Run) -> None:
        raise ExceptionGroup("tasks", [error])

    store.create(ORG, KIND, job_id="stated", takeover_s=60)
    batch, work = batch_of(grouped), Work(ORG, "stated")
    with pytest.raises((ExceptionGroup, JobCancelled)):
        batch.attempt(work, batch.calling(work, (), {}), lambda _: True)
    assert store.get(ORG, "stated").status is status


@pytest.mark.parametrize("error", [LeaseLost("taken over"), ReportsLost("lost"), StoreUnavailable("away")])
def test_a_group_of_errors_after_which_a_message_comes_again_puts_it_off(
    attempt: Callable[..., Any], store: JobStore, error: Exception
) -> None:
    def grouped(run: Run) -> None:
        raise ExceptionGroup("tasks", [ExceptionGroup("more", [error])])

    store.create(ORG, KIND, job_id="again", takeover_s=60)
    with pytest.raises(NotNow) as put_off:
        attempt(Work(ORG, "again"), grouped)
    assert put_off.value.delay_s > 0


def test_a_group_is_retried_if_all_its_errors_are_to_be(store: JobStore) -> None:
    options = {"max_retries": None, "retry_delay_s": 1.0, "queued_at_most_s": None}
    batch = Batch.checked(store=store, kind=KIND, function=fail, retry_for=(OSError, KeyError), **options)
    assert batch.is_worth_a_retry(ExceptionGroup("", [OSError(), ExceptionGroup("", [KeyError()])]))
    assert not batch.is_worth_a_retry(ExceptionGroup("", [OSError(), ValueError()]))
    groups = Batch.checked(store=store, kind=KIND, function=fail, retry_for=ExceptionGroup, **options)
    assert groups.is_worth_a_retry(ExceptionGroup("", [ValueError()]))


def test_the_stores_clock_says_what_is_overdue_whatever_the_workers_says(
    store: JobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = {"retry_for": (), "max_retries": None, "retry_delay_s": 1.0, "queued_at_most_s": 60.0}
    batch = Batch.checked(store=store, kind=KIND, function=lambda run: "done", **options)
    store.create(ORG, KIND, job_id="new")
    ahead = datetime.now(UTC) + timedelta(days=1)

    class Fast(datetime):
        @classmethod
        def now(cls, zone: tzinfo | None = None) -> datetime:
            return ahead

    monkeypatch.setattr("batchstatus.integrations.task.datetime", Fast)
    assert batch.cancel_overdue(ORG) == []
    work = Work(ORG, "new")
    assert batch.attempt(work, batch.calling(work, (), {}), lambda _: False) == "done"
