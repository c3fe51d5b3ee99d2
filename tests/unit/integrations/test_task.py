"""What a delivery of a message does to its job or part, without a queue."""

from collections.abc import Callable
from typing import Any

import pytest

from batchstatus import JobEnded, JobStore, Run, Status
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
