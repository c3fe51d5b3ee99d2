"""A worker dies, or only seems dead: when its job becomes interrupted, and that it stays so."""

import pytest
import redis

import batchstatus
from batchstatus import JobStore, Status
from tests.chaos.importing import assert_exact, import_rows, import_until_fenced_out, import_until_told
from tests.support.importers import Importer
from tests.support.sdk import ORG, UNHURRIED, fields, store_ms
from tests.support.waiting import wait_until

LEASE_S, GRACE_S = 0.5, 0.4
OPTIONS = {"lease_s": LEASE_S, "grace_s": GRACE_S, **UNHURRIED}


@pytest.fixture
def store(redis_url: str) -> JobStore:
    return batchstatus.connect(redis_url, **OPTIONS)


def lease_end(store: JobStore, job_id: str) -> float:
    """Returns the end of the job's lease in ms since the epoch."""
    expires_at = store.get(ORG, job_id).lease_expires_at
    assert expires_at is not None
    return expires_at.timestamp() * 1000


@pytest.mark.slow
def test_a_killed_workers_job_is_interrupted_within_5_s_of_its_lease_end(
    redis_url: str, redis_client: "redis.Redis"
) -> None:
    lease = {"lease_s": 1.0, **UNHURRIED}  # and the default grace
    store = batchstatus.connect(redis_url, **lease)
    job_id = store.create(ORG, "transaction_batch").job_id
    with Importer(import_until_told, redis_url, job_id, lease) as importer:
        assert importer.told() == "running"
        wait_until(lambda: store.get(ORG, job_id).done > 0)
        importer.kill()
    wait_until(lambda: store_ms(redis_client) > lease_end(store, job_id))
    left = store.get(ORG, job_id)
    assert left.lease_expires_at is not None
    wait_until(lambda: store.get(ORG, job_id).status is Status.INTERRUPTED, 30)
    ended = store.get(ORG, job_id)
    assert ended.completed_at is not None
    assert 3 <= (ended.completed_at - left.lease_expires_at).total_seconds() <= 5
    assert (ended.succeeded, ended.failed, ended.skipped) == (left.succeeded, left.failed, left.skipped)
    store.close()


@pytest.mark.slow
def test_a_worker_that_wakes_up_cannot_revive_a_settled_job(
    store: JobStore, redis_url: str, redis_client: "redis.Redis"
) -> None:
    job = store.create(ORG, "transaction_batch")
    with Importer(import_until_fenced_out, redis_url, job.job_id, OPTIONS) as importer:
        assert importer.told() == "running"
        wait_until(lambda: store.get(ORG, job.job_id).done > 0)
        importer.stop()
        wait_until(lambda: store.settle(ORG, job.job_id).status is Status.INTERRUPTED)
        before, rows = fields(redis_client, job), store.outcome(ORG, job.job_id)
        importer.go_on()
        assert importer.told() == "LeaseLost: the job is interrupted already"
        assert importer.exit_code() == 0
    assert fields(redis_client, job) == before
    assert store.outcome(ORG, job.job_id) == rows
    store.close()


@pytest.mark.slow
def test_a_worker_that_wakes_up_cannot_undo_a_takeover(store: JobStore, redis_url: str) -> None:
    rows = 3_000
    job_id = store.create(ORG, "transaction_batch", takeover_s=60).job_id
    with Importer(import_until_fenced_out, redis_url, job_id, OPTIONS) as sleeper:
        assert sleeper.told() == "running"
        wait_until(lambda: store.get(ORG, job_id).done > 0)
        sleeper.stop()
        with Importer(import_rows, redis_url, job_id, rows, OPTIONS) as heir:
            assert heir.told() > 0
            sleeper.go_on()
            assert heir.told() == "completed"
        assert sleeper.told().startswith("LeaseLost: ")
    assert_exact(store, job_id, rows)
    store.close()


@pytest.mark.slow
def test_a_worker_frozen_for_less_than_its_grace_goes_on(
    store: JobStore, redis_url: str, redis_client: "redis.Redis"
) -> None:
    patient = {"lease_s": LEASE_S, "grace_s": 30.0, **UNHURRIED}
    looking = batchstatus.connect(redis_url, **patient)
    job = store.create(ORG, "transaction_batch")
    with Importer(import_until_told, redis_url, job.job_id, patient) as importer:
        assert importer.told() == "running"
        wait_until(lambda: store.get(ORG, job.job_id).done > 0)
        importer.stop()
        wait_until(lambda: looking.settle(ORG, job.job_id) and "suspectAt" in fields(redis_client, job))
        importer.go_on()
        wait_until(lambda: "suspectAt" not in fields(redis_client, job))
        importer.tell("stop")
        assert_exact(store, job.job_id, importer.told())
    looking.close()
    store.close()
