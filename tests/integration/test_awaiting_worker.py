"""A job whose worker is dead, and that another may take over, says so, and is cancelled at once."""

import pytest
import redis

from batchstatus import Job, JobEnded, JobStore, LeaseLost, Status
from batchstatus.model.messages import Batch, Ending
from batchstatus.protocol import verbs
from batchstatus.settings import StoreSettings
from batchstatus.transport.connection import Connection
from tests.support.imports import AWAITING
from tests.support.sdk import ORG, claim_and_vanish, counters, keys_of


@pytest.fixture
def store(client: "redis.Redis") -> JobStore:
    return JobStore(client, StoreSettings(lease_s=1.0, grace_s=0, retention_s=60))


@pytest.fixture
def job(store: JobStore) -> Job:
    return store.create(ORG, "transaction_batch", takeover_s=30)


def look_twice(store: JobStore, job: Job) -> Job:
    """Read the job as pollers do: the first read past the lease is the first look."""
    store.get(ORG, job.job_id)
    return store.get(ORG, job.job_id)


def test_two_looks_make_a_job_say_that_it_awaits_a_worker(
    store: JobStore, client: "redis.Redis", job: Job
) -> None:
    claim_and_vanish(client, job)
    first, second = store.get(ORG, job.job_id), store.get(ORG, job.job_id)
    assert AWAITING not in first.metadata
    assert (second.status, second.metadata[AWAITING]) == (Status.RUNNING, True)
    assert second.rev == first.rev + 1, "callers who wait for a change are told"
    assert store.get_many(ORG, [job.job_id])[job.job_id] == second
    assert store.list(ORG).jobs == (second,)


def test_a_poll_of_a_job_that_awaits_a_worker_is_one_read(
    store: JobStore, client: "redis.Redis", job: Job
) -> None:
    claim_and_vanish(client, job)
    look_twice(store, job)
    before = client.hgetall(keys_of(job).job)
    client.expire(keys_of(job).job, 50)
    store.get(ORG, job.job_id)
    assert client.hgetall(keys_of(job).job) == before
    assert client.ttl(keys_of(job).job) <= 50, "a look has written"


def test_a_worker_that_takes_over_ends_the_wait(store: JobStore, client: "redis.Redis", job: Job) -> None:
    claim_and_vanish(client, job)
    look_twice(store, job)
    with store.run(ORG, job.job_id) as run:
        assert AWAITING not in run.job.metadata
        assert AWAITING not in store.get(ORG, job.job_id).metadata


def test_a_worker_that_only_slept_ends_the_wait_with_its_next_heartbeat(
    store: JobStore, client: "redis.Redis", job: Job
) -> None:
    claim = claim_and_vanish(client, job)
    look_twice(store, job)
    awaited = store.get(ORG, job.job_id)
    verbs.report(store.connection, keys_of(job), claim, 0)
    back = store.get(ORG, job.job_id)
    assert AWAITING not in back.metadata
    assert back.rev == awaited.rev + 1


def test_a_cancel_ends_a_job_that_awaits_a_worker_at_once(
    store: JobStore, client: "redis.Redis", job: Job
) -> None:
    claim = claim_and_vanish(client, job, succeeded=3)
    look_twice(store, job)
    cancelled = store.control(ORG, job.job_id, "cancel")
    assert (cancelled.status, counters(cancelled)) == (Status.CANCELLED, (3, 0, 0))
    assert cancelled.completed_at >= cancelled.heartbeat_at
    assert not {*cancelled.metadata} & {AWAITING, "batchCancelRequested"}
    assert store.list(ORG, statuses=["cancelled"]).jobs == (cancelled,)
    assert store.control(ORG, job.job_id, "cancel") == cancelled
    with pytest.raises(JobEnded), store.run(ORG, job.job_id):
        pass
    with pytest.raises(LeaseLost):
        verbs.report(store.connection, keys_of(job), claim, 2, Batch(succeeded=1))


def test_a_cancel_before_the_second_look_ends_the_job_with_that_look(
    store: JobStore, client: "redis.Redis", job: Job
) -> None:
    claim_and_vanish(client, job)
    asked = store.control(ORG, job.job_id, "cancel")
    assert (asked.status, asked.metadata["batchCancelRequested"]) == (Status.RUNNING, True)
    ended = look_twice(store, job)
    assert ended.status is Status.CANCELLED
    assert store.list(ORG, statuses=["cancelled"]).jobs == (ended,)


def test_a_pause_of_a_job_that_awaits_a_worker_is_for_the_next_one(
    store: JobStore, client: "redis.Redis", job: Job
) -> None:
    claim_and_vanish(client, job)
    look_twice(store, job)
    flags = {*store.control(ORG, job.job_id, "pause").metadata}
    assert flags == {AWAITING, "batchPauseRequested"}


def test_without_a_window_a_dead_worker_ends_the_job_as_before(store: JobStore, client: "redis.Redis") -> None:
    job = store.create(ORG, "transaction_batch")
    claim_and_vanish(client, job)
    assert look_twice(store, job).status is Status.INTERRUPTED


def test_a_lease_that_is_given_back_shows_at_once(store: JobStore, client: "redis.Redis", job: Job) -> None:
    connection = Connection(client, store.settings)
    claim = verbs.claim(connection, keys_of(job), "stopped")
    verbs.finish(connection, keys_of(job), claim, Ending(Status.INTERRUPTED))
    assert store.get(ORG, job.job_id).metadata == {AWAITING: True}
