"""The lease of a run: kept alive in the background, let go where an import hangs, lost to others."""

import threading
import time
from contextlib import suppress

import pytest
import redis

from batchstatus import InvalidValue, Job, JobNotFound, JobStore, LeaseLost, Status
from batchstatus.model.messages import Wanted
from batchstatus.settings import StoreSettings
from tests.support.sdk import ORG, TroubledClient, counters, fields, keys_of, rejected
from tests.support.waiting import wait_until


@pytest.fixture
def swift(client: "redis.Redis") -> JobStore:
    """A store whose leases are short."""
    return JobStore(client, StoreSettings(lease_s=0.6, grace_s=0.4))


def test_the_lease_is_kept_alive_without_rows_and_without_a_new_rev(swift: JobStore) -> None:
    job = swift.create(ORG, "transaction_batch")
    with swift.run(ORG, job.job_id) as run:
        claimed = run.job
        assert claimed.lease_expires_at is not None
        wait_until(lambda: swift.get(ORG, job.job_id).heartbeat_at > claimed.lease_expires_at)
        later = swift.get(ORG, job.job_id)
        assert (later.status, later.rev) == (Status.RUNNING, claimed.rev)


def test_a_lease_of_many_seconds_is_renewed_every_second_too(store: JobStore) -> None:
    job = store.create(ORG, "transaction_batch")
    with store.run(ORG, job.job_id) as run:
        first = run.job.heartbeat_at
        assert first is not None
        wait_until(lambda: store.get(ORG, job.job_id).heartbeat_at != first)
        later = store.get(ORG, job.job_id).heartbeat_at
    assert later is not None
    assert 0.9 <= (later - first).total_seconds() < 10  # a third of the lease would be 10 s


def test_a_hung_import_shows_where_stall_s_is_given(swift: JobStore) -> None:
    hung, checking, trusted = (swift.create(ORG, "transaction_batch") for _ in range(3))
    with (
        swift.run(ORG, checking.job_id, stall_s=0.3) as checks,
        swift.run(ORG, trusted.job_id),
        suppress(LeaseLost),
        swift.run(ORG, hung.job_id, stall_s=0.3) as hangs,
    ):
        wait_until(lambda: checks.check() or swift.get(ORG, hung.job_id).status is Status.INTERRUPTED)
        with pytest.raises(LeaseLost, match="interrupted"):
            wait_until(hangs.check)
    ended = [swift.get(ORG, job.job_id).status for job in (hung, checking, trusted)]
    assert ended == [Status.INTERRUPTED, Status.COMPLETED, Status.COMPLETED]


def test_asking_what_is_wanted_shows_that_an_import_does_not_hang(swift: JobStore) -> None:
    hung, asking = (swift.create(ORG, "transaction_batch") for _ in range(2))
    with (
        swift.run(ORG, asking.job_id, stall_s=0.3) as asks,
        suppress(LeaseLost),
        swift.run(ORG, hung.job_id, stall_s=0.3) as hangs,
    ):
        swift.control(ORG, asking.job_id, "pause")
        looked_at = (asking.job_id, hung.job_id)
        wait_until(lambda: asks.wanted() and "interrupted" in [swift.get(ORG, each).status for each in looked_at])
        assert asks.wanted() is Wanted.PAUSE
        wait_until(hangs.check)
    assert swift.get(ORG, asking.job_id).status is Status.COMPLETED


def test_an_import_that_comes_back_in_time_keeps_its_lease(swift: JobStore, client: "redis.Redis") -> None:
    job = swift.create(ORG, "transaction_batch")
    with swift.run(ORG, job.job_id, stall_s=0.1) as run:
        claimed = run.job
        assert claimed.lease_expires_at is not None
        wait_until(lambda: swift.get(ORG, job.job_id) and "suspectAt" in fields(client, job))
        run.check()
        wait_until(lambda: "suspectAt" not in fields(client, job))
        run.succeeded()
    ended = swift.get(ORG, job.job_id)
    assert (ended.status, counters(ended)) == (Status.COMPLETED, (1, 0, 0))


def test_check_tells_a_worker_that_another_has_taken_the_job_over(store: JobStore, client: "redis.Redis") -> None:
    job = store.create(ORG, "transaction_batch")
    with suppress(LeaseLost), store.run(ORG, job.job_id) as run:
        run.check()
        client.hincrby(keys_of(job).job, "fence", 1)
        with pytest.raises(LeaseLost, match="taken"):
            wait_until(run.check)


def test_counting_tells_a_worker_that_its_job_was_settled(store: JobStore, client: "redis.Redis") -> None:
    job = store.create(ORG, "transaction_batch")
    with suppress(LeaseLost), store.run(ORG, job.job_id) as run:
        client.hset(keys_of(job).job, "status", "interrupted")
        with pytest.raises(LeaseLost, match="interrupted"):
            wait_until(run.succeeded)
    assert counters(store.get(ORG, job.job_id)) == (0, 0, 0)


def test_an_import_whose_job_has_vanished_goes_on_and_is_told_at_its_end(
    store: JobStore, client: "redis.Redis", caplog: pytest.LogCaptureFixture
) -> None:
    job, went_on, told = store.create(ORG, "transaction_batch"), 0, []
    try:
        with store.run(ORG, job.job_id, max_waiting_rows=2) as run:
            client.delete(*keys_of(job))
            run.failed(rejected(1))
            wait_until(lambda: "is gone from the store" in caplog.text)
            for number in range(2, 50):
                run.check()
                run.failed(rejected(number))
                went_on = number
    except JobNotFound as error:
        told.append(error)
    assert went_on == 49, "the importer was held up"
    assert told
    assert caplog.text.count("is gone from the store") == 1
    assert client.keys("batchstatus:{*") == []  # and of its entries in the indexes the reaper takes care


def test_an_import_that_pauses_goes_on_when_its_job_vanishes(store: JobStore, client: "redis.Redis") -> None:
    job = store.create(ORG, "transaction_batch")
    store.control(ORG, job.job_id, "pause")
    gone = threading.Thread(target=delete_once_paused, args=(store, client, job))
    gone.start()
    with pytest.raises(JobNotFound), store.run(ORG, job.job_id) as run:
        run.check()
    gone.join()


def delete_once_paused(store: JobStore, client: "redis.Redis", job: Job) -> None:
    wait_until(lambda: "batchPaused" in store.get(ORG, job.job_id).metadata)
    client.delete(*keys_of(job))


def test_the_lease_is_kept_alive_until_a_refused_report_is_noticed(swift: JobStore) -> None:
    job = swift.create(ORG, "transaction_batch")
    with suppress(InvalidValue), swift.run(ORG, job.job_id) as run:
        run.succeeded(2**53)
        with pytest.raises(InvalidValue, match="can be counted"):
            wait_until(run.check)
        refused = swift.get(ORG, job.job_id)
        wait_until(lambda: swift.get(ORG, job.job_id).heartbeat_at > refused.lease_expires_at)
    ended = swift.get(ORG, job.job_id)
    assert (ended.status, counters(ended)) == (Status.FAILED, (0, 0, 0))


def test_a_refused_report_leaves_the_background_at_rest(redis_client: "redis.Redis") -> None:
    troubled = TroubledClient(redis_client)
    store = JobStore(troubled)
    job = store.create(ORG, "transaction_batch")
    with suppress(InvalidValue), store.run(ORG, job.job_id, flush_rows=2) as run:
        troubled.away = True
        run.succeeded(2**53)
        for number in range(8):
            run.failed(rejected(number))
        troubled.away = False
        with pytest.raises(InvalidValue):
            wait_until(run.check)
        (reporter,) = (each for each in threading.enumerate() if job.job_id in each.name)
        before_s, beats = cpu_s(reporter), len(troubled.reports)
        wait_until(lambda: len(troubled.reports) >= beats + 2)
        used_s = cpu_s(reporter) - before_s
    assert used_s < 0.05  # of a second or two


def cpu_s(thread: threading.Thread) -> float:
    """How long a thread has been at work, in seconds."""
    return time.clock_gettime(time.pthread_getcpuclockid(thread.ident or 0))
