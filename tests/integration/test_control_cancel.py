"""Cancel: the worker hears of it with its next report, and a job that is to be cancelled never completes."""

import threading
import time
from collections import Counter
from contextlib import suppress
from functools import partial
from statistics import median

import pytest
import redis

from batchstatus import InvalidTransition, Job, JobAborted, JobCancelled, JobEnded, JobStore, Status
from batchstatus.settings import StoreSettings
from tests.support.headstart import HeadStart
from tests.support.imports import (
    CANCEL,
    KIND,
    ORG,
    PAUSE,
    PAUSED,
    aside,
    flags,
    importing,
    stop_in_the_middle,
)
from tests.support.sdk import TroubledClient, claim_and_vanish
from tests.support.waiting import wait_until


@pytest.fixture
def swift(client: "redis.Redis") -> JobStore:
    """A store whose workers are heard several times a second."""
    return JobStore(client, StoreSettings(lease_s=0.6))


def test_a_queued_job_is_cancelled_at_once_and_cannot_be_claimed(store: JobStore) -> None:
    job = store.create(ORG, KIND, takeover_s=60)
    store.control(ORG, job.job_id, "pause")
    ended = store.control(ORG, job.job_id, "cancel")
    assert (ended.status, ended.metadata, ended.heartbeat_at) == (Status.CANCELLED, {}, None)
    assert ended.completed_at is not None
    assert ended.completed_at >= job.created_at
    assert store.get(ORG, job.job_id) == ended
    with pytest.raises(InvalidTransition, match="cancelled"), store.run(ORG, job.job_id, wait_s=30):
        pass
    assert store.get(ORG, job.job_id) == ended


def test_a_cancel_reaches_a_worker_whose_rows_flow_with_its_next_report(store: JobStore) -> None:
    took_s = []
    for _ in range(5):
        job = store.create(ORG, KIND)
        working = aside(partial(importing, store, job, flush_s=0.05))
        wait_until(lambda job=job: store.get(ORG, job.job_id).succeeded > 0)
        asked_at = time.monotonic()
        asked = store.control(ORG, job.job_id, "cancel")
        assert (asked.status, asked.metadata) == (Status.RUNNING, {CANCEL: True})
        working.result(60)
        took_s.append(time.monotonic() - asked_at)
        ended = store.get(ORG, job.job_id)
        assert (ended.status, ended.metadata, ended.completed_at is None) == (Status.CANCELLED, {}, False)
    assert min(took_s) < 0.5  # of itself a worker is heard once a second


@pytest.mark.slow
@pytest.mark.parametrize("flush_s", [0.2, 0.5])
def test_the_next_report_brings_the_cancel_which_is_one_flush_interval_later_at_most(
    real_store: JobStore, redis_client: "redis.Redis", flush_s: float
) -> None:
    troubled, took_s = TroubledClient(redis_client), []
    working = JobStore(troubled)  # type: ignore[arg-type]
    for number in range(10):
        job = real_store.create(ORG, KIND)
        with working.run(ORG, job.job_id, flush_s=flush_s) as run:
            # Given rows that flow, and a cancel somewhere between two reports
            sent = len(troubled.reports)
            wait_until(lambda run=run, sent=sent: run.succeeded() or len(troubled.reports) > sent)  # type: ignore[misc]
            moment = time.monotonic() + flush_s * number / 10
            wait_until(lambda run=run, moment=moment: run.succeeded() or time.monotonic() > moment)  # type: ignore[misc]
            real_store.control(ORG, job.job_id, "cancel")
            asked_at, sent = time.monotonic(), len(troubled.reports)
            # When it goes on, then it hears of it with the next report, if none is under way just now
            with pytest.raises(JobCancelled):
                wait_until(lambda run=run: run.succeeded() or run.check())  # type: ignore[misc]
            took_s.append(time.monotonic() - asked_at)
            assert len(troubled.reports) - sent <= 2
        assert real_store.get(ORG, job.job_id).status is Status.CANCELLED
    assert min(took_s) < flush_s
    # The reports bound each, the slowest too; how long two of them take says something of the machine.
    assert median(took_s) < 2 * flush_s


def test_a_cancel_reaches_a_worker_without_rows_within_about_a_second(client: "redis.Redis") -> None:
    store = JobStore(client, StoreSettings(lease_s=600))
    job = store.create(ORG, KIND)
    working = aside(partial(importing, store, job, rows=False))
    wait_until(lambda: store.get(ORG, job.job_id).status is Status.RUNNING)
    store.control(ORG, job.job_id, "cancel")
    working.result(60)  # a third of the lease would be 200 s
    assert store.get(ORG, job.job_id).status is Status.CANCELLED


def test_a_cancel_ends_the_waiting_of_a_paused_worker(swift: JobStore) -> None:
    job = swift.create(ORG, KIND)
    swift.control(ORG, job.job_id, "pause")
    with swift.run(ORG, job.job_id) as run:
        checking = [aside(run.check) for _ in range(2)]
        wait_until(lambda: PAUSED in flags(swift, job))
        assert swift.control(ORG, job.job_id, "cancel").metadata == {PAUSE: True, PAUSED: True, CANCEL: True}
        assert [type(each.exception(60)) for each in checking] == [JobCancelled] * 2
        run.check()
    ended = swift.get(ORG, job.job_id)
    assert (ended.status, ended.metadata) == (Status.CANCELLED, {})


def test_a_job_that_a_worker_gave_back_is_cancelled_at_once(swift: JobStore) -> None:
    job = swift.create(ORG, KIND, takeover_s=60)
    stop_in_the_middle(swift, job)
    assert swift.control(ORG, job.job_id, "cancel").status is Status.CANCELLED
    with pytest.raises(JobEnded), swift.run(ORG, job.job_id):
        pass


def test_whoever_takes_a_job_over_that_is_to_be_cancelled_hears_so_with_its_first_check(
    client: "redis.Redis",
) -> None:
    hasty = JobStore(client, StoreSettings(grace_s=0))
    job = hasty.create(ORG, KIND, takeover_s=60)
    claim_and_vanish(client, job)
    assert hasty.control(ORG, job.job_id, "cancel").status is Status.RUNNING  # having taken the first look
    went_on = []
    with hasty.run(ORG, job.job_id) as run:
        run.check()
        went_on.append(run)
    assert (hasty.get(ORG, job.job_id).status, went_on) == (Status.CANCELLED, [])


@pytest.mark.parametrize(
    ("leaving", "status", "code"),
    [
        (None, Status.CANCELLED, None),
        (JobCancelled(), Status.CANCELLED, None),
        (JobAborted("BAD_REFERENCES", "unknown entities"), Status.FAILED, "BAD_REFERENCES"),
        (ValueError("boom"), Status.FAILED, "WORKER_ERROR"),
        (KeyboardInterrupt(), Status.INTERRUPTED, None),
    ],
    ids=repr,
)
def test_a_job_that_is_to_be_cancelled_never_completes_and_what_failed_has_failed(
    store: JobStore, leaving: BaseException | None, status: Status, code: str | None
) -> None:
    job = store.create(ORG, KIND, metadata={"fileName": "november.csv"})
    with suppress(JobAborted, ValueError, KeyboardInterrupt), store.run(ORG, job.job_id) as run:
        run.succeeded()
        store.control(ORG, job.job_id, "cancel")  # the importer never checks
        if leaving:
            raise leaving
    ended = store.get(ORG, job.job_id)
    assert (ended.status, ended.job_failure and ended.job_failure.code) == (status, code)
    assert (ended.succeeded, ended.metadata) == (1, {"fileName": "november.csv"})


@pytest.mark.slow
def test_of_a_cancel_and_an_end_at_the_same_time_the_first_wins(real_store: JobStore) -> None:
    cancelled, completed = (Status.CANCELLED, False), (Status.COMPLETED, True)
    head_start, ends = HeadStart(), Counter[tuple[Status, bool]]()
    for _ in range(1_000):
        end = _race(real_store, head_start)
        ends[end] += 1
        head_start.give_to_the_loser(first_won=end == cancelled)
    assert ends.keys() == {cancelled, completed}


def _race(store: JobStore, head_start: HeadStart) -> tuple[Status, bool]:
    """How a job ends that is cancelled as it completes, and whether the cancel was refused as too late."""
    job, ready = store.create(ORG, KIND), threading.Barrier(2)

    def ask() -> None:
        ready.wait()
        time.sleep(head_start.of_the_second_s)
        store.control(ORG, job.job_id, "cancel")

    asked = aside(ask)
    with store.run(ORG, job.job_id) as run:
        run.succeeded()
        ready.wait()
        time.sleep(head_start.of_the_first_s)
    refused = isinstance(asked.exception(60), InvalidTransition)
    assert refused or not asked.exception()
    return store.get(ORG, job.job_id).status, refused


@pytest.mark.slow
def test_of_a_cancel_and_a_claim_at_the_same_time_each_knows_of_the_other(real_store: JobStore) -> None:
    head_start, claimed = HeadStart(), 0
    for _ in range(500):
        job = real_store.create(ORG, KIND)
        asked = aside(partial(_cancel_after, real_store, job, head_start.of_the_second_s))
        time.sleep(head_start.of_the_first_s)
        try:
            with real_store.run(ORG, job.job_id) as run:
                run.succeeded()
                answer = asked.result(60)
        except InvalidTransition:
            assert (asked.result(60).status, real_store.get(ORG, job.job_id).done) == (Status.CANCELLED, 0)
            head_start.give_to_the_loser(first_won=True)
        else:
            claimed += 1
            assert (answer.status, answer.metadata) == (Status.RUNNING, {CANCEL: True})
            head_start.give_to_the_loser(first_won=False)
        ended = real_store.get(ORG, job.job_id)
        assert (ended.status, ended.metadata) == (Status.CANCELLED, {})
    assert 50 < claimed < 450, "one of the two was nearly always late: that was no race"


def _cancel_after(store: JobStore, job: Job, pause_s: float) -> Job:
    time.sleep(pause_s)
    return store.control(ORG, job.job_id, "cancel")
