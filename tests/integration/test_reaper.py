"""The reaper: what it does about each job that is due, and that nothing keeps it from the others."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import Any

import pytest
import redis

from batchstatus import InvalidTransition, JobAborted, JobStore, LeaseHeld, Status
from batchstatus.jobs.looks import Leases
from batchstatus.protocol import verbs
from batchstatus.reaper import Reaper
from batchstatus.settings import StoreSettings
from batchstatus.transport.connection import Connection
from tests.support.reaping import KEYS, KIND, ORG, SETTINGS, claimed, entry, field, ms, store_ms, stored
from tests.support.waiting import wait_until


@pytest.fixture
def store(client: "redis.Redis") -> JobStore:
    return JobStore(client, SETTINGS)


@pytest.fixture
def reaper(store: JobStore) -> Reaper:
    return Reaper(store)


# The verdicts


def test_a_job_whose_worker_is_alive_is_looked_at_again_at_the_end_of_its_lease(
    store: JobStore, client: "redis.Redis", reaper: Reaper
) -> None:
    job = claimed(store, client, lease_ms=30_000)
    before = stored(client, job)
    assert reaper.reap() == 0
    assert client.zscore(*entry(job)) == field(client, job, "leaseExpiresAt")
    assert stored(client, job) == before


def test_a_job_past_its_lease_is_suspect_and_looked_at_again_after_the_grace(
    store: JobStore, client: "redis.Redis", reaper: Reaper
) -> None:
    job = claimed(store, client)
    assert reaper.reap() == 0
    assert stored(client, job)["status"] == "running"
    assert client.zscore(*entry(job)) == field(client, job, "suspectAt") + 300


def test_the_second_look_settles_it_and_it_is_looked_at_no_more(
    store: JobStore, client: "redis.Redis", reaper: Reaper
) -> None:
    job = claimed(store, client)
    reaper.reap()
    suspect_at = field(client, job, "suspectAt")
    assert wait_until(reaper.reap) == reaper.settled == 1
    ended = store.get(ORG, job.job_id)
    assert ended.status is Status.INTERRUPTED
    assert ms(ended.completed_at) >= suspect_at + 300
    assert client.keys("reaping:leases:*") == []


def test_a_sign_of_life_in_between_starts_over(store: JobStore, client: "redis.Redis", reaper: Reaper) -> None:
    job = claimed(store, client)
    reaper.reap()
    client.hdel(KEYS.job(ORG, job.job_id).job, "suspectAt")  # as a heartbeat does
    second_look = client.zscore(*entry(job))
    wait_until(lambda: store_ms(client) > second_look)
    assert reaper.reap() == 0
    assert field(client, job, "suspectAt") >= second_look


def test_a_job_that_may_be_taken_over_is_interrupted_when_its_window_closes(
    store: JobStore, client: "redis.Redis", reaper: Reaper
) -> None:
    job = claimed(store, client, takeover_s=1.5)
    window_end = field(client, job, "leaseExpiresAt") + 1_500
    wait_until(lambda: reaper.reap() or client.zscore(*entry(job)) == window_end)
    assert stored(client, job)["status"] == "running"
    assert wait_until(reaper.reap) == 1
    ended = store.get(ORG, job.job_id)
    assert ended.status is Status.INTERRUPTED
    assert ms(ended.completed_at) >= window_end
    assert client.keys("reaping:leases:*") == []


def test_whoever_takes_it_over_in_time_is_looked_at_after_a_lease(
    store: JobStore, client: "redis.Redis", reaper: Reaper
) -> None:
    job = claimed(store, client, takeover_s=3_600)
    wait_until(lambda: reaper.reap() or client.zscore(*entry(job)) > store_ms(client) + 3_000_000)
    with store.run(ORG, job.job_id):
        assert client.zscore(*entry(job)) <= store_ms(client) + 30_000


@pytest.mark.parametrize("ending", [None, JobAborted("BAD_REFERENCES", "unknown entities"), KeyboardInterrupt()])
def test_a_job_that_has_ended_is_looked_at_once_more(
    store: JobStore, client: "redis.Redis", reaper: Reaper, ending: BaseException | None
) -> None:
    job = store.create(ORG, KIND)
    with suppress(JobAborted, KeyboardInterrupt), store.run(ORG, job.job_id):
        if ending:
            raise ending
    before = stored(client, job)
    Leases(store.connection).track(entry(job), 0)
    assert reaper.reap() == 0
    assert stored(client, job) == before
    assert client.keys("reaping:leases:*") == []


def test_an_entry_without_a_job_is_dropped(client: "redis.Redis", store: JobStore, reaper: Reaper) -> None:
    Leases(store.connection).track(KEYS.lease_entry(ORG, "gone"), 0)
    assert reaper.reap() == 0
    assert client.keys() == []


def test_a_queued_job_is_looked_at_again_a_lease_later(
    store: JobStore, client: "redis.Redis", reaper: Reaper
) -> None:
    job = store.create(ORG, KIND)
    Leases(store.connection).track(entry(job), 0)
    before = store_ms(client)
    assert reaper.reap() == 0
    assert before + 30_000 <= client.zscore(*entry(job)) <= store_ms(client) + 30_000
    assert store.get(ORG, job.job_id) == job


# The entries


def test_the_entry_is_there_before_the_lease_is(
    store: JobStore, client: "redis.Redis", monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Connection, "is_cluster", lambda _: True)  # on one server both are written in one script
    job, real, seen = store.create(ORG, KIND), verbs.claim, []

    def claim(*arguments: Any, **options: Any) -> Any:
        seen.append(client.zscore(*entry(job)))
        return real(*arguments, **options)

    monkeypatch.setattr(verbs, "claim", claim)
    before = store_ms(client)
    with store.run(ORG, job.job_id):
        assert before + 30_000 <= seen[0] <= field(client, job, "leaseExpiresAt")


def test_a_claim_that_is_refused_does_not_put_off_the_look_at_the_worker_that_is_dead(
    store: JobStore, client: "redis.Redis"
) -> None:
    job = claimed(store, client, lease_ms=2_000)
    due = client.zscore(*entry(job))
    with pytest.raises(LeaseHeld), store.run(ORG, job.job_id):
        pass
    assert client.zscore(*entry(job)) == due


def test_nothing_is_left_of_jobs_that_have_ended(client: "redis.Redis") -> None:
    store = JobStore(client, StoreSettings(prefix="reaping", lease_s=0.5, grace_s=0.3))
    # Given jobs that ended in every way
    jobs = [store.create(ORG, KIND, takeover_s=0.5) for _ in range(4)]
    for job, leaving in zip(jobs, (None, ValueError("boom"), SystemExit()), strict=False):
        with suppress(ValueError, SystemExit), store.run(ORG, job.job_id):
            if leaving:
                raise leaving
    store.control(ORG, jobs[3].job_id, "cancel")
    with pytest.raises(InvalidTransition), store.run(ORG, jobs[3].job_id):
        pass
    jobs.append(claimed(store, client))
    # When the reaper has looked for long enough
    reaper = Reaper(store)
    wait_until(lambda: not (reaper.reap() or client.keys("reaping:leases:*")))
    # Then it has interrupted what a worker left, and the index is gone
    statuses = [stored(client, job)["status"] for job in jobs]
    assert statuses == ["completed", "failed", "interrupted", "cancelled", "interrupted"]
    assert reaper.settled == 2
    assert len(client.keys("reaping:{*")) == len(jobs)


# Several reapers, and one more look


def test_looking_again_changes_nothing(store: JobStore, client: "redis.Redis", reaper: Reaper) -> None:
    job = claimed(store, client)
    wait_until(reaper.reap)
    before = stored(client, job)
    Leases(store.connection).track(entry(job), 0)
    assert [reaper.reap(), reaper.reap()] == [0, 0]
    assert stored(client, job) == before


def test_of_several_reapers_one_settles_a_job(store: JobStore, client: "redis.Redis") -> None:
    jobs = [claimed(store, client) for _ in range(20)]
    settled: list[str] = []
    for listener in "ab":
        store.reader.listen_for_settled(partial(settled.append, listener))
    reapers = [Reaper(store) for _ in range(3)]

    def reap(reaper: Reaper) -> None:
        wait_until(lambda: reaper.reap() is None or not client.keys("reaping:leases:*"))

    with ThreadPoolExecutor() as threads:
        list(threads.map(reap, reapers))
    assert {store.get(ORG, job.job_id).status for job in jobs} == {Status.INTERRUPTED}
    assert sum(reaper.settled for reaper in reapers) == 20
    assert Counter(settled) == {"a": 20, "b": 20}
