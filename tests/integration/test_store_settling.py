"""Settling through readers, and how long what is written stays."""

from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import pytest
import redis

from batchstatus import Job, JobStore, Status
from batchstatus.protocol import verbs
from batchstatus.settings import StoreSettings
from batchstatus.transport.connection import Connection
from tests.support.sdk import (
    ORG,
    claim_and_vanish,
    counters,
    enter,
    fields,
    keys_of,
    rejected,
    skipped,
    store_ms,
)
from tests.support.waiting import wait_until

ROW = {"externalId": "T-1", "code": "VALIDATION_ERROR", "message": ""}
SOON_S, RETENTION_S = 100, 30 * 86_400


@pytest.fixture
def store(client: "redis.Redis") -> JobStore:
    """A store with a long lease and little grace."""
    return JobStore(client, StoreSettings(lease_s=30, grace_s=0.3))


LOOKS: dict[str, Callable[[JobStore, Job], Any]] = {
    "get": lambda store, job: store.get(ORG, job.job_id),
    "outcome": lambda store, job: store.outcome(ORG, job.job_id),
    "failures": lambda store, job: store.failures(ORG, job.job_id),
    "failure_pages": lambda store, job: store.failure_pages(ORG, job.job_id),
    "settle": lambda store, job: store.settle(ORG, job.job_id),
}


@pytest.mark.parametrize("look", LOOKS)
def test_a_dead_worker_is_found_by_two_looks_that_are_the_grace_apart(
    store: JobStore, client: "redis.Redis", look: str
) -> None:
    job = store.create(ORG, "transaction_batch")
    claim_and_vanish(client, job, succeeded=2, failures=(ROW,))
    LOOKS[look](store, job)
    first = fields(client, job)
    assert first["status"] == "running"
    wait_until(lambda: LOOKS[look](store, job) and fields(client, job)["status"] == "interrupted")
    ended = store.outcome(ORG, job.job_id)
    assert (ended.job.status, counters(ended.job), len(ended.failures)) == (Status.INTERRUPTED, (2, 1, 0), 1)
    assert ended.job.completed_at is not None
    assert ended.job.completed_at.timestamp() * 1000 - int(first["suspectAt"]) >= 299
    assert ended.job.lease_expires_at is None


def test_what_a_look_gives_is_the_job_after_it(store: JobStore, client: "redis.Redis") -> None:
    job = store.create(ORG, "transaction_batch")
    claim_and_vanish(client, job)
    assert store.get(ORG, job.job_id).status is Status.RUNNING
    wait_until(lambda: store_ms(client) - int(fields(client, job)["suspectAt"]) >= 300)
    assert store.get(ORG, job.job_id).status is Status.INTERRUPTED


def test_a_live_worker_is_not_disturbed_by_looks(store: JobStore, client: "redis.Redis") -> None:
    job = store.create(ORG, "transaction_batch")
    with store.run(ORG, job.job_id):
        before = fields(client, job)
        for look in LOOKS.values():
            look(store, job)
        assert fields(client, job) == before


def test_a_sign_of_life_between_two_looks_starts_over(store: JobStore, client: "redis.Redis") -> None:
    job = store.create(ORG, "transaction_batch")
    claim = claim_and_vanish(client, job)
    store.settle(ORG, job.job_id)
    verbs.report(Connection(client, StoreSettings(lease_s=0.001)), keys_of(job), claim, claim.seq)
    lease_end = int(fields(client, job)["leaseExpiresAt"])
    wait_until(lambda: store_ms(client) >= lease_end + 300)
    assert store.settle(ORG, job.job_id).status is Status.RUNNING
    assert int(fields(client, job)["suspectAt"]) >= lease_end + 300


def test_a_job_stays_running_within_its_takeover_window_and_is_interrupted_when_it_closes(
    store: JobStore, client: "redis.Redis"
) -> None:
    job = store.create(ORG, "transaction_batch", takeover_s=1)
    claim_and_vanish(client, job)
    lease_end = int(fields(client, job)["leaseExpiresAt"])
    wait_until(lambda: store.get(ORG, job.job_id).status is Status.INTERRUPTED)
    ended = store.get(ORG, job.job_id)
    assert ended.completed_at is not None
    assert ended.completed_at.timestamp() * 1000 >= lease_end + 999


def test_the_lease_of_a_job_that_may_be_taken_over_shows_in_the_past(
    store: JobStore, client: "redis.Redis"
) -> None:
    job = store.create(ORG, "transaction_batch", takeover_s=60)
    claim_and_vanish(client, job)
    store.get(ORG, job.job_id)
    wait_until(lambda: store_ms(client) - int(fields(client, job)["suspectAt"]) >= 300)
    seen = store.get(ORG, job.job_id)
    assert seen.status is Status.RUNNING
    assert seen.lease_expires_at is not None
    assert seen.lease_expires_at < datetime.fromtimestamp(store_ms(client) / 1000, UTC)


@pytest.mark.parametrize("ending", ["queued", "completed", "cancelled"])
def test_settling_a_job_that_does_not_run_changes_nothing(
    store: JobStore, client: "redis.Redis", ending: str
) -> None:
    job = store.create(ORG, "transaction_batch")
    if ending != "queued":
        with store.run(ORG, job.job_id):
            pass
        client.hset(keys_of(job).job, "status", ending)
    before = fields(client, job)
    for look in LOOKS.values():
        look(store, job)
    assert fields(client, job) == before


WRITES: dict[str, Callable[[JobStore, "redis.Redis", Job], object]] = {
    "the first look": lambda store, client, job: store.settle(ORG, job.job_id),
    "the look that settles": lambda store, client, job: wait_until(lambda: store.settle(ORG, job.job_id).terminal),
    "a takeover": lambda store, client, job: enter(store, job, wait_s=30),
}


def age(client: "redis.Redis", job: Job) -> None:
    """Let every key of the job have little time left."""
    for key in keys_of(job):
        assert client.expire(key, SOON_S)


def left_s(client: "redis.Redis", job: Job) -> list[int]:
    return [client.ttl(key) for key in keys_of(job)]


@pytest.mark.parametrize("write", WRITES)
def test_every_write_past_a_lease_renews_the_time_of_all_keys_of_a_job(
    store: JobStore, client: "redis.Redis", write: str
) -> None:
    job = store.create(ORG, "transaction_batch", takeover_s=60 if write == "a takeover" else 0)
    claim_and_vanish(client, job, failures=(ROW,), skips=(ROW,), checkpoint=1)
    if write == "the look that settles":
        store.settle(ORG, job.job_id)
    age(client, job)
    WRITES[write](store, client, job)
    assert min(left_s(client, job)) > RETENTION_S - 60


def test_every_write_of_a_run_renews_the_time_of_all_keys_of_a_job(store: JobStore, client: "redis.Redis") -> None:
    job = store.create(ORG, "transaction_batch", takeover_s=60)
    assert client.ttl(keys_of(job).job) > RETENTION_S - 60
    with suppress(SystemExit), store.run(ORG, job.job_id) as run:
        run.failed(rejected(1))
        run.skipped(skipped(2), checkpoint=2)
        wait_until(lambda: store.get(ORG, job.job_id).done == 2)
        for _ in ("a report", "a heartbeat"):
            age(client, job)
            wait_until(lambda: min(left_s(client, job)) > RETENTION_S - 60)
            run.succeeded()
        wait_until(lambda: store.get(ORG, job.job_id).done == 4)
        age(client, job)
        raise SystemExit
    assert min(left_s(client, job)) > RETENTION_S - 60  # given back
    age(client, job)
    with store.run(ORG, job.job_id):
        assert min(left_s(client, job)) > RETENTION_S - 60  # claimed
        age(client, job)
    assert min(left_s(client, job)) > RETENTION_S - 60  # ended


def test_reading_renews_nothing(store: JobStore, client: "redis.Redis") -> None:
    job = store.create(ORG, "transaction_batch", job_id="mine")
    client.expire(keys_of(job).job, SOON_S)
    for look in LOOKS.values():
        look(store, job)
        assert client.ttl(keys_of(job).job) <= SOON_S


def test_creating_a_job_again_renews_what_there_is_of_it(store: JobStore, client: "redis.Redis") -> None:
    job = store.create(ORG, "transaction_batch", job_id="mine")
    client.expire(keys_of(job).job, SOON_S)
    assert store.create(ORG, "transaction_batch", job_id="mine") == job
    assert client.ttl(keys_of(job).job) > RETENTION_S - 60
