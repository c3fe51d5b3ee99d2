"""A run while the store is away, or loses what it was told."""

import time
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from statistics import median
from typing import Any

import pytest
import redis

from batchstatus import JobStore, ReportsLost, Status, StoreUnavailable
from batchstatus.settings import StoreSettings
from tests.support.sdk import ORG, TroubledClient, counters, fields, keys_of, rejected, skipped, verb_of
from tests.support.waiting import wait_until


@pytest.fixture
def troubled(client: "redis.Redis") -> TroubledClient:
    return TroubledClient(client)


@pytest.fixture
def store(troubled: TroubledClient) -> JobStore:
    """A store that can be made to be away."""
    return JobStore(troubled, StoreSettings())


def test_counting_goes_on_while_the_store_is_away_and_arrives_when_it_is_back(
    store: JobStore, troubled: TroubledClient
) -> None:
    job = store.create(ORG, "transaction_batch")
    with store.run(ORG, job.job_id) as run:
        troubled.away = True
        run.succeeded(500)
        run.failed(rejected(1))
        tried = len(troubled.attempts)
        wait_until(lambda: len(troubled.attempts) >= tried + 3)
        run.skipped(skipped(2))
        run.check()
        troubled.away = False
        wait_until(lambda: store.get(ORG, job.job_id).done == 502)
    ended = store.get(ORG, job.job_id)
    assert (ended.status, counters(ended)) == (Status.COMPLETED, (500, 1, 1))


def test_the_store_is_tried_again_every_second_at_least_and_not_hammered(fake_client: "redis.Redis") -> None:
    troubled = TroubledClient(fake_client)
    store = JobStore(troubled)
    job = store.create(ORG, "transaction_batch")
    with store.run(ORG, job.job_id):
        troubled.away = True
        before = len(troubled.attempts)
        wait_until(lambda: len(troubled.attempts) >= before + 7)
        at = troubled.attempts[before:]
        troubled.away = False
    assert median(later - earlier for earlier, later in pairwise(at)) < 1
    assert at[6] - at[0] > 1


def test_too_many_waiting_rows_block_until_the_store_is_back(store: JobStore, troubled: TroubledClient) -> None:
    job, added = store.create(ORG, "transaction_batch"), []
    with store.run(ORG, job.job_id, max_waiting_rows=10) as run:
        troubled.away = True

        def add() -> None:
            for number in range(40):
                (run.failed if number % 2 else run.skipped)(rejected(number))
                added.append(number)

        with ThreadPoolExecutor(1) as pool:
            adding = pool.submit(add)
            wait_until(lambda: len(added) == 10)
            run.succeeded(100)  # what is only a number may always go on
            with pytest.raises(TimeoutError):
                adding.result(0.2)
            assert len(added) == 10
            troubled.away = False
            adding.result(30)
    ended = store.get(ORG, job.job_id)
    assert (ended.status, counters(ended)) == (Status.COMPLETED, (100, 20, 20))


def test_leaving_waits_for_a_store_that_comes_back_in_time(store: JobStore, troubled: TroubledClient) -> None:
    job = store.create(ORG, "transaction_batch")
    with ThreadPoolExecutor(1) as pool:

        def come_back() -> None:
            tried = len(troubled.attempts)
            wait_until(lambda: len(troubled.attempts) >= tried + 3)
            troubled.away = False

        with store.run(ORG, job.job_id) as run:
            troubled.away = True
            run.succeeded(3)
            pool.submit(come_back)
    ended = store.get(ORG, job.job_id)
    assert (ended.status, counters(ended)) == (Status.COMPLETED, (3, 0, 0))


def leave_without_store(store: JobStore, troubled: TroubledClient, job_id: str, error: Exception | None) -> None:
    with store.run(ORG, job_id, give_up_s=0.5) as run:
        run.total(9)
        troubled.away = True
        run.succeeded(3)
        run.failed(rejected(4))
        run.failed(rejected(5))
        run.skipped(skipped(6))
        if error:
            raise error


@pytest.mark.parametrize(("error", "status"), [(None, "completed"), (ValueError("row 7"), "failed")])
def test_what_could_not_be_delivered_is_said_on_leaving(
    store: JobStore, troubled: TroubledClient, error: Exception | None, status: str
) -> None:
    job = store.create(ORG, "transaction_batch")
    began = time.monotonic()
    with pytest.raises(StoreUnavailable) as raised:
        leave_without_store(store, troubled, job.job_id, error)
    assert time.monotonic() - began >= 0.4
    assert f"not delivered: 3 succeeded, 2 failed, 1 skipped, the end as {status}" in str(raised.value)
    assert error is None or raised.value.__context__ is error
    troubled.away = False
    assert store.get(ORG, job.job_id).status is Status.RUNNING


def test_an_end_that_could_not_be_delivered_is_said_too(store: JobStore, troubled: TroubledClient) -> None:
    job = store.create(ORG, "transaction_batch")
    troubled.away = False
    with pytest.raises(StoreUnavailable, match="not delivered: the end as completed"):
        with_store_away_at_the_end(store, troubled, job.job_id)
    troubled.away = False
    left = store.get(ORG, job.job_id)
    assert (left.status, counters(left)) == (Status.RUNNING, (1, 0, 0))


def with_store_away_at_the_end(store: JobStore, troubled: TroubledClient, job_id: str) -> None:
    with store.run(ORG, job_id, give_up_s=0.3) as run:
        run.succeeded()
        wait_until(lambda: store.get(ORG, job_id).succeeded == 1)
        troubled.away = True


def test_no_end_is_written_over_rows_that_did_not_arrive(store: JobStore, troubled: TroubledClient) -> None:
    job = store.create(ORG, "transaction_batch")
    troubled.refuses = lambda words: verb_of(words) == "REPORT"
    expected = "not delivered: 3 succeeded, the end as completed"
    with pytest.raises(StoreUnavailable, match=expected), store.run(ORG, job.job_id, give_up_s=0.2) as run:
        run.succeeded(3)
    assert store.get(ORG, job.job_id).status is Status.RUNNING


def test_a_store_that_is_there_gets_everything_however_little_leaving_would_wait(store: JobStore) -> None:
    job = store.create(ORG, "transaction_batch")
    with store.run(ORG, job.job_id, give_up_s=0, flush_s=1, flush_rows=10) as run:
        for number in range(95):
            run.failed(rejected(number))
    ended = store.get(ORG, job.job_id)
    assert (ended.status, counters(ended)) == (Status.COMPLETED, (0, 95, 0))


def test_a_report_whose_answer_was_lost_is_sent_again_and_counts_once(
    store: JobStore, troubled: TroubledClient
) -> None:
    job, sent = store.create(ORG, "transaction_batch"), []

    def every_other_report(words: tuple[Any, ...]) -> bool:
        if verb_of(words) == "REPORT":
            sent.append(words)
        return verb_of(words) == "REPORT" and len(sent) % 2 == 1

    troubled.loses_answer_to = every_other_report
    with store.run(ORG, job.job_id, flush_s=0.01) as run:
        for number in range(1, 6):
            run.succeeded(2)
            run.failed(rejected(number), checkpoint=number)
            wait_until(lambda number=number: store.get(ORG, job.job_id).failed == number)  # type: ignore[misc]
    now = store.outcome(ORG, job.job_id)
    assert (now.job.status, counters(now.job)) == (Status.COMPLETED, (10, 5, 0))
    assert [row["externalId"] for row in now.failures] == [f"T-{number}" for number in range(1, 6)]
    assert len(sent) >= 10


def test_an_end_whose_answer_was_lost_is_written_again(store: JobStore, troubled: TroubledClient) -> None:
    job, sent = store.create(ORG, "transaction_batch"), []

    def first_end(words: tuple[Any, ...]) -> bool:
        status = fields(troubled.client, job)["status"]
        if verb_of(words) == "FINISH" and status != "running":
            sent.append(status)
        return len(sent) == 1

    troubled.loses_answer_to = first_end
    with store.run(ORG, job.job_id) as run:
        run.succeeded()
    assert sent == ["completed", "completed"]


def test_a_job_whose_end_cannot_be_written_yet_keeps_its_lease(client: "redis.Redis") -> None:
    """As in a Cluster, where the server that an end needs beside the job's own may be the one that is away."""
    troubled = TroubledClient(client)
    store = JobStore(troubled, StoreSettings(lease_s=0.5, grace_s=0.1))
    job, began, looks = store.create(ORG, "transaction_batch"), time.monotonic(), []

    def too_early(words: tuple[Any, ...]) -> bool:
        if verb_of(words) != "FINISH" or (time.monotonic() - began > 2 and len(looks) > 5):
            return False
        looks.append(JobStore(client, store.settings).get(ORG, job.job_id).status)
        return True

    troubled.refuses = too_early
    with store.run(ORG, job.job_id) as run:
        run.succeeded(3)
    assert {*looks} == {Status.RUNNING}
    ended = store.get(ORG, job.job_id)
    assert (ended.status, counters(ended)) == (Status.COMPLETED, (3, 0, 0))


def lose_the_last_report(client: "redis.Redis", store: JobStore, job_id: str, then: str) -> None:
    """Let the store fall back to what it was before a report that it had acknowledged, as a failover may."""
    with store.run(ORG, job_id, flush_s=0.01) as run:
        job = run.job
        run.succeeded(checkpoint=1)
        wait_until(lambda: store.get(ORG, job_id).succeeded == 1)
        before = fields(client, job)
        run.succeeded(checkpoint=2)
        wait_until(lambda: store.get(ORG, job_id).succeeded == 2)
        client.hset(keys_of(job).job, mapping=before)
        if then == "a heartbeat":
            wait_until(run.check)  # nothing is counted: it is a heartbeat that finds out, and check that tells
        if then == "the next row":
            run.succeeded(checkpoint=3)


@pytest.mark.parametrize("then", ["the next row", "a heartbeat", "the end"])
def test_an_acknowledged_report_that_the_store_has_lost_is_not_lost_silently(
    store: JobStore, client: "redis.Redis", then: str
) -> None:
    job = store.create(ORG, "transaction_batch")
    with pytest.raises(ReportsLost):
        lose_the_last_report(client, store, job.job_id, then)
    ended = store.get(ORG, job.job_id)
    assert (ended.status, "were lost" in (ended.worker_error or "")) == (Status.FAILED, True)
