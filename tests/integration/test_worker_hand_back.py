"""A retry is no end: errors after which a queue tries again give the lease back."""

import re
from contextlib import suppress
from typing import Any

import pytest
import redis

from batchstatus import InvalidValue, Job, JobAborted, JobEnded, JobStore, ReportsLost, Status
from tests.support.sdk import ORG, counters, fields, keys_of, raises, rejected
from tests.support.waiting import wait_until

RETRIED = (ConnectionError, TimeoutError)


class Retry(ConnectionError):
    """What a queue raises for a retry."""


@pytest.fixture
def job(store: JobStore) -> Job:
    return store.create(ORG, "transaction_batch", takeover_s=60)


def leave_with(store: JobStore, job: Job, error: Exception, **options: Any) -> None:
    """Count a row with a checkpoint and one without, and leave the block with `error`."""
    with pytest.raises(type(error), match=re.escape(str(error))):
        count_and_leave(store, job, error, **options)


def count_and_leave(store: JobStore, job: Job, error: Exception, **options: Any) -> None:
    with store.run(ORG, job.job_id, **options) as run:
        run.succeeded(checkpoint=1)
        run.failed(rejected(2))
        raise error


@pytest.mark.parametrize("hand_back", [RETRIED, ConnectionError])
def test_an_error_to_be_retried_gives_the_lease_back_and_goes_on(
    store: JobStore, job: Job, hand_back: Any
) -> None:
    leave_with(store, job, Retry("Retry in 1s"), hand_back=hand_back)
    waiting = store.get(ORG, job.job_id)
    assert (waiting.status, waiting.worker_error, counters(waiting)) == (Status.RUNNING, None, (1, 1, 0))
    assert waiting.metadata["batchAwaitingWorker"] is True
    with store.run(ORG, job.job_id) as run:
        assert (run.attempt, run.checkpoint, counters(run.job)) == (2, 1, (1, 0, 0))
        assert "batchAwaitingWorker" not in store.get(ORG, job.job_id).metadata
        run.failed(rejected(2), checkpoint=2)
    assert counters(store.get(ORG, job.job_id)) == (1, 1, 0)


def test_any_other_error_ends_the_job(store: JobStore, job: Job) -> None:
    leave_with(store, job, KeyError("amount"), hand_back=RETRIED)
    assert store.get(ORG, job.job_id).status is Status.FAILED


def test_a_group_is_handed_back_if_all_its_errors_are(store: JobStore, job: Job) -> None:
    with pytest.raises(ExceptionGroup):
        count_and_leave(store, job, ExceptionGroup("tasks", [Retry("1"), TimeoutError("2")]), hand_back=RETRIED)
    assert store.get(ORG, job.job_id).metadata["batchAwaitingWorker"] is True
    with pytest.raises(ExceptionGroup):
        count_and_leave(store, job, ExceptionGroup("tasks", [Retry("1"), ValueError("2")]), hand_back=RETRIED)
    assert store.get(ORG, job.job_id).status is Status.FAILED


def test_an_error_that_states_the_jobs_end_ends_it_whatever_is_handed_back(store: JobStore, job: Job) -> None:
    leave_with(store, job, JobAborted("GAVE_UP", "3 tries"), hand_back=Exception)
    assert store.get(ORG, job.job_id).job_failure.code == "GAVE_UP"


def test_each_claim_is_an_attempt(store: JobStore, job: Job) -> None:
    for attempt in (1, 2, 3):
        with suppress(Retry), store.run(ORG, job.job_id, hand_back=Retry) as run:
            assert run.attempt == attempt
            raise Retry


def test_the_last_attempt_may_end_the_job(store: JobStore, job: Job) -> None:
    """The example of `Run.attempt`."""
    for _ in range(3):
        with suppress(Retry, JobAborted), store.run(ORG, job.job_id, hand_back=Retry) as run:
            try:
                raise Retry("again")
            except Retry as error:
                if run.attempt >= 3:
                    raise JobAborted("GAVE_UP", str(error)) from error
                raise
    ended = store.get(ORG, job.job_id)
    assert (ended.status, ended.job_failure.code) == (Status.FAILED, "GAVE_UP")


def test_without_a_takeover_window_the_error_ends_the_job_and_the_log_says_why(
    store: JobStore, caplog: pytest.LogCaptureFixture
) -> None:
    job = store.create(ORG, "transaction_batch")
    leave_with(store, job, Retry("Retry in 1s"), hand_back=Retry)
    ended = store.get(ORG, job.job_id)
    assert (ended.status, ended.worker_error) == (Status.FAILED, "Retry: Retry in 1s")
    assert "has no takeover window" in caplog.text


def test_handing_back_a_job_that_is_to_be_cancelled_cancels_it(store: JobStore, job: Job) -> None:
    with suppress(Retry), store.run(ORG, job.job_id, hand_back=Retry):
        store.control(ORG, job.job_id, "cancel")
        raise Retry
    assert store.get(ORG, job.job_id).status is Status.CANCELLED


@pytest.mark.parametrize("hand_back", ["ConnectionError", [ConnectionError], (KeyError, 3), KeyboardInterrupt])
def test_only_exception_classes_can_be_handed_back(store: JobStore, job: Job, hand_back: Any) -> None:
    with pytest.raises(InvalidValue, match="hand_back"):
        store.run(ORG, job.job_id, hand_back=hand_back)


def test_a_job_that_has_ended_is_told_from_one_that_is_held(store: JobStore, job: Job) -> None:
    with store.run(ORG, job.job_id):
        pass
    with pytest.raises(JobEnded, match="completed") as ended, store.run(ORG, job.job_id):
        pass
    assert ended.value.status is Status.COMPLETED
    with pytest.raises(JobEnded):
        store.control(ORG, job.job_id, "pause")


def test_after_lost_reports_another_run_goes_on_from_the_last_checkpoint(
    store: JobStore, client: "redis.Redis", job: Job
) -> None:
    with suppress(ReportsLost), store.run(ORG, job.job_id) as run:
        run.succeeded(5, checkpoint=5)
        wait_until(lambda: store.get(ORG, job.job_id).succeeded == 5)
        kept = fields(client, job)
        run.succeeded(5, checkpoint=10)
        wait_until(lambda: store.get(ORG, job.job_id).succeeded == 10)
        client.hset(keys_of(job).job, mapping=kept)  # a failover to a replica that lacks the last report
        wait_until(lambda: raises(ReportsLost, run.check))
        run.check()
    with store.run(ORG, job.job_id) as run:
        assert (run.checkpoint, counters(run.job)) == (5, (5, 0, 0))
        run.succeeded(5, checkpoint=10)
    ended = store.get(ORG, job.job_id)
    assert (ended.status, counters(ended)) == (Status.COMPLETED, (10, 0, 0))
