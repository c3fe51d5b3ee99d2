"""Reading jobs and their rows: one moment each, nothing of another organization, nothing silently short."""

import re
from typing import Any

import pytest
import redis

from batchstatus import InvalidValue, Job, JobCorrupt, JobNotFound, JobStore, Outcome, StoreUnavailable
from tests.support.sdk import ORG, TroubledClient, counters, keys_of, rejected, skipped
from tests.support.waiting import wait_until


def with_rows(store: JobStore, failed: int, skips: int = 0) -> Job:
    """A job that has ended with so many failed and skipped rows."""
    job = store.create(ORG, "transaction_batch")
    with store.run(ORG, job.job_id) as run:
        for number in range(failed):
            run.failed(rejected(number))
        for number in range(skips):
            run.skipped(skipped(number))
    return store.get(ORG, job.job_id)


def ids(rows: Any) -> list[str]:
    return [row["externalId"] for row in rows]


def numbered(first: int, after: int) -> list[str]:
    return [f"T-{number}" for number in range(first, after)]


READS = {
    "get": lambda store, org, job_id: store.get(org, job_id),
    "outcome": lambda store, org, job_id: store.outcome(org, job_id),
    "failures": lambda store, org, job_id: store.failures(org, job_id),
    "failure_pages": lambda store, org, job_id: store.failure_pages(org, job_id),
    "settle": lambda store, org, job_id: store.settle(org, job_id),
}


@pytest.mark.parametrize("read", READS)
def test_a_job_is_found_in_its_own_organization_only(store: JobStore, read: str) -> None:
    job = with_rows(store, 1)
    assert READS[read](store, ORG, job.job_id)
    for org, job_id in ((ORG, "unknown"), ("org_other", job.job_id), (job.job_id, ORG)):
        with pytest.raises(JobNotFound):
            READS[read](store, org, job_id)
    for org, job_id in ((ORG, "not an id"), ("org acme", job.job_id), (f"{ORG}:{job.job_id}", ""), (ORG, "*")):
        with pytest.raises(InvalidValue):
            READS[read](store, org, job_id)


@pytest.mark.parametrize("read", READS)
def test_a_key_written_by_hand_for_another_organization_is_not_found(
    store: JobStore, client: "redis.Redis", read: str
) -> None:
    job = with_rows(store, 1)
    client.hset(keys_of(job).job, "orgId", "org_other")
    with pytest.raises(JobNotFound):
        READS[read](store, ORG, job.job_id)


def test_an_outcome_holds_the_first_rows_and_counts_them_all(store: JobStore) -> None:
    job = with_rows(store, 502, 501)
    now = store.outcome(ORG, job.job_id)
    assert now.job == job
    assert (ids(now.failures), ids(now.skips)) == (numbered(0, 500), numbered(0, 500))
    assert (now.failures_total, now.skips_total, now.truncated) == (502, 501, True)
    few = store.outcome(ORG, job.job_id, limit=2)
    assert (ids(few.failures), ids(few.skips), few.truncated) == (["T-0", "T-1"], ["T-0", "T-1"], True)
    assert not store.outcome(ORG, job.job_id, limit=502).truncated


def test_an_outcome_without_rows_is_empty(store: JobStore) -> None:
    job = store.create(ORG, "transaction_batch")
    assert store.outcome(ORG, job.job_id) == Outcome(job=job, failures=(), skips=())
    assert not store.outcome(ORG, job.job_id).truncated


def test_rows_and_counters_of_an_outcome_are_of_one_moment(store: JobStore) -> None:
    job = store.create(ORG, "transaction_batch")
    with store.run(ORG, job.job_id, flush_s=0.001, flush_rows=3) as run:
        for number in range(400):
            run.failed(rejected(number))
            if number % 10 == 0:
                now = store.outcome(ORG, job.job_id)
                assert ids(now.failures) == numbered(0, now.job.failed)
    assert store.outcome(ORG, job.job_id).job.failed == 400


def test_failures_are_read_from_any_row_on(store: JobStore) -> None:
    job = with_rows(store, 510, 3)
    assert ids(store.failures(ORG, job.job_id)) == numbered(0, 500)
    assert ids(store.failures(ORG, job.job_id, start=505)) == numbered(505, 510)
    assert ids(store.failures(ORG, job.job_id, start=2, limit=3)) == numbered(2, 5)
    assert ids(store.failures(ORG, job.job_id, start=509, limit=1)) == numbered(509, 510)
    assert store.failures(ORG, job.job_id, start=510) == []


@pytest.mark.parametrize("page", [1, 3, 7, 8, 1_000])
def test_pages_hold_every_failed_row_once(store: JobStore, page: int) -> None:
    job = with_rows(store, 7, 2)
    read, pages = store.failure_pages(ORG, job.job_id, page=page)
    found = list(pages)
    assert read == job
    assert ids(row for rows in found for row in rows) == numbered(0, 7)
    assert [len(rows) for rows in found[:-1]] == [page] * (len(found) - 1)
    assert 0 < len(found[-1]) <= page


def test_a_job_without_failed_rows_has_no_pages(store: JobStore) -> None:
    job = with_rows(store, 0, 2)
    assert list(store.failure_pages(ORG, job.job_id)[1]) == []


def test_pages_are_of_the_moment_when_they_were_asked_for(store: JobStore) -> None:
    job = store.create(ORG, "transaction_batch")
    with store.run(ORG, job.job_id, flush_rows=1) as run:
        for number in range(3):
            run.failed(rejected(number))
        wait_until(lambda: store.get(ORG, job.job_id).failed == 3)
        read, pages = store.failure_pages(ORG, job.job_id, page=2)
        for number in range(3, 6):
            run.failed(rejected(number))
        wait_until(lambda: store.get(ORG, job.job_id).failed == 6)
        assert counters(read) == (0, 3, 0)
        assert ids(row for rows in pages for row in rows) == numbered(0, 3)


@pytest.mark.parametrize("gone", ["the job", "its rows"])
def test_a_page_that_cannot_be_had_is_an_error_and_no_short_answer(
    store: JobStore, client: "redis.Redis", gone: str
) -> None:
    job = with_rows(store, 6)
    _, pages = store.failure_pages(ORG, job.job_id, page=2)
    assert ids(next(pages)) == numbered(0, 2)
    if gone == "the job":
        client.delete(*keys_of(job))
    else:
        client.ltrim(keys_of(job).failures, 0, 2)
    with pytest.raises(StoreUnavailable):
        next(pages)


@pytest.mark.parametrize(
    ("call", "name"),
    [
        (lambda store, job_id: store.outcome(ORG, job_id, limit=0), "limit"),
        (lambda store, job_id: store.outcome(ORG, job_id, limit=-5), "limit"),
        (lambda store, job_id: store.failures(ORG, job_id, start=-1), "start"),
        (lambda store, job_id: store.failures(ORG, job_id, limit=0), "limit"),
        (lambda store, job_id: store.failures(ORG, job_id, start="0"), "start"),
        (lambda store, job_id: store.failure_pages(ORG, job_id, page=0), "page"),
        (lambda store, job_id: store.failure_pages(ORG, job_id, page=2.5), "page"),
    ],
)
def test_bounds_that_make_no_sense_are_refused_by_their_name(store: JobStore, call: Any, name: str) -> None:
    job = with_rows(store, 1)
    with pytest.raises(InvalidValue, match=name):
        call(store, job.job_id)


@pytest.mark.parametrize("read", READS)
def test_a_key_that_holds_something_else_reads_as_corrupt(
    store: JobStore, client: "redis.Redis", read: str
) -> None:
    job = with_rows(store, 1)
    keys = keys_of(job)
    client.hset(keys.job, "succeeded", "many")
    with pytest.raises(JobCorrupt, match="succeeded"):
        READS[read](store, ORG, job.job_id)
    client.delete(keys.job)
    client.set(keys.job, "text", ex=60)
    with pytest.raises(JobCorrupt):
        READS[read](store, ORG, job.job_id)


@pytest.mark.parametrize("read", READS)
def test_reading_while_the_store_is_away_says_so(client: "redis.Redis", read: str) -> None:
    troubled = TroubledClient(client)
    store = JobStore(troubled)
    job = with_rows(store, 1)
    troubled.away = True
    with pytest.raises(StoreUnavailable):
        READS[read](store, ORG, job.job_id)
    with pytest.raises(StoreUnavailable):
        store.create(ORG, "transaction_batch")
    with pytest.raises(StoreUnavailable):
        store.ping()


@pytest.mark.parametrize("damage", ["a field", "the whole"])
def test_several_jobs_of_which_one_is_damaged_are_refused_with_its_key(
    store: JobStore, client: "redis.Redis", damage: str
) -> None:
    whole, damaged = (store.create(ORG, "transaction_batch") for _ in range(2))
    key = keys_of(damaged).job
    if damage == "a field":
        client.hset(key, "succeeded", "many")
    else:
        client.delete(key)
        client.set(key, "no hash", ex=60)
    with pytest.raises(JobCorrupt, match=re.escape(key)):
        store.get_many(ORG, [whole.job_id, damaged.job_id])
    assert store.get_many(ORG, [whole.job_id, "unknown"]) == {whole.job_id: whole}
    assert store.list(ORG).jobs == (whole,)
