"""Pause and resume: what is asked shows at once, and the worker obeys with its next report."""

import threading
import time
from contextlib import suppress
from functools import partial
from typing import Any

import pytest
import redis

from batchstatus import JobStore, LeaseLost, Status
from batchstatus.jobs.transitions import Transitions
from batchstatus.model.keys import Keys
from batchstatus.model.messages import Batch, Claim
from batchstatus.reaper import Reaper
from batchstatus.settings import StoreSettings
from tests.support.imports import KIND, ORG, PAUSE, PAUSED, aside, flags, importing, stop_in_the_middle
from tests.support.waiting import wait_until


@pytest.fixture
def store(client: "redis.Redis") -> JobStore:
    """A store whose workers are heard several times a second."""
    return JobStore(client, StoreSettings(lease_s=0.6))


@pytest.fixture
def swift(client: "redis.Redis") -> JobStore:
    """A store that is quick to find a worker dead."""
    return JobStore(client, StoreSettings(lease_s=0.6, grace_s=0.8))


def test_a_pause_shows_at_once_and_that_it_is_obeyed_once_it_is(store: JobStore) -> None:
    job = store.create(ORG, KIND)
    with store.run(ORG, job.job_id) as run:
        asked = store.control(ORG, job.job_id, "pause")
        assert (asked.status, asked.metadata) == (Status.RUNNING, {PAUSE: True})
        wait_until(lambda: store.get(ORG, job.job_id).heartbeat_at != asked.heartbeat_at)
        wait_until(lambda: run.wanted() == "pause")  # the store has the heartbeat before the worker has its answer
        assert flags(store, job) == {PAUSE}  # the worker knows, and is busy with a row
        checking = aside(run.check)
        wait_until(lambda: flags(store, job) == {PAUSE, PAUSED})
        assert not checking.done()
        assert store.control(ORG, job.job_id, "resume").metadata == {}
        checking.result(60)
    ended = store.get(ORG, job.job_id)
    assert (ended.status, ended.metadata) == (Status.COMPLETED, {})


def test_a_paused_job_stands_still_under_a_living_lease_and_goes_on_when_resumed(swift: JobStore) -> None:
    # Given an import that is paused
    job, reaper = swift.create(ORG, KIND), Reaper(swift)
    working = aside(partial(importing, swift, job))
    wait_until(lambda: swift.get(ORG, job.job_id).succeeded > 0)
    swift.control(ORG, job.job_id, "pause")
    wait_until(lambda: PAUSED in flags(swift, job))
    paused = swift.get(ORG, job.job_id)
    assert paused.lease_expires_at is not None
    until = paused.lease_expires_at.timestamp() + 2 * swift.settings.lease_s

    # When time passes, far beyond the lease it then had
    def is_later() -> bool:
        reaper.reap()
        now = swift.get(ORG, job.job_id)
        assert (now.status, now.done, now.rev) == (Status.RUNNING, paused.done, paused.rev)
        return now.heartbeat_at is not None and now.heartbeat_at.timestamp() > until

    wait_until(is_later)
    # Then it is where it was, and goes on from there
    swift.control(ORG, job.job_id, "resume")
    wait_until(lambda: swift.get(ORG, job.job_id).succeeded > paused.succeeded)
    swift.control(ORG, job.job_id, "cancel")
    working.result(60)


def test_a_run_says_that_it_is_paused_only_after_all_that_it_has_counted(
    store: JobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given a worker that has counted more than one report takes, while the store is slow
    job, slow, reports = store.create(ORG, KIND), threading.Event(), []
    real = Transitions.report

    def report(steps: Transitions, claim: Claim, seq: int, batch: Batch, *, paused: bool) -> Any:
        slow.wait(60)
        reports.append((paused, batch.succeeded + len(batch.failures)))
        return real(steps, claim, seq, batch, paused=paused)

    monkeypatch.setattr(Transitions, "report", report)
    store.control(ORG, job.job_id, "pause")
    with store.run(ORG, job.job_id, flush_rows=10) as run:
        run.succeeded(7)
        for number in range(35):
            run.failed({"externalId": f"T-{number}", "code": "VALIDATION_ERROR", "message": "no amount"})
        # When it comes to check
        aside(run.check)
        wait_until(lambda: run._outbox.paused)
        slow.set()
        wait_until(lambda: PAUSED in flags(store, job))
        # Then whoever reads that it is paused reads counters that stand still
        first = [paused for paused, _ in reports].index(True)
        assert sum(rows for _, rows in reports[:first]) == 42
        store.control(ORG, job.job_id, "resume")


def test_a_pause_of_a_queued_job_lets_its_run_start_paused(store: JobStore) -> None:
    job = store.create(ORG, KIND)
    asked = store.control(ORG, job.job_id, "pause")
    assert (asked.status, asked.metadata) == (Status.QUEUED, {PAUSE: True})
    with store.run(ORG, job.job_id) as run:
        checking = aside(run.check)
        wait_until(lambda: flags(store, job) == {PAUSE, PAUSED})
        assert not checking.done()
        store.control(ORG, job.job_id, "resume")
        checking.result(60)
    assert store.get(ORG, job.job_id).status is Status.COMPLETED


def test_a_queued_job_that_is_resumed_before_its_run_starts_at_once(store: JobStore) -> None:
    job = store.create(ORG, KIND)
    store.control(ORG, job.job_id, "pause")
    assert store.control(ORG, job.job_id, "resume").metadata == {}
    with store.run(ORG, job.job_id) as run:
        aside(run.check).result(60)


def test_every_thread_that_checks_waits_and_every_one_goes_on(store: JobStore) -> None:
    job = store.create(ORG, KIND)
    store.control(ORG, job.job_id, "pause")
    with store.run(ORG, job.job_id) as run:
        checking = [aside(run.check) for _ in range(4)]
        wait_until(lambda: run._outbox.paused == len(checking))
        assert not any(each.done() for each in checking)
        store.control(ORG, job.job_id, "resume")
        for each in checking:
            each.result(60)
    assert store.get(ORG, job.job_id).status is Status.COMPLETED


def test_a_pause_is_no_stall(swift: JobStore) -> None:
    job, reaper = swift.create(ORG, KIND), Reaper(swift)
    with swift.run(ORG, job.job_id, stall_s=0.2) as run:
        swift.control(ORG, job.job_id, "pause")
        checking = aside(lambda: wait_until(lambda: run.check() or not flags(swift, job)))
        wait_until(lambda: PAUSED in flags(swift, job))
        # Without its heartbeats it would be interrupted by then
        over = time.monotonic() + swift.settings.lease_s + swift.settings.grace_s + 1
        wait_until(lambda: reaper.reap() or time.monotonic() > over)
        assert swift.get(ORG, job.job_id).status is Status.RUNNING
        swift.control(ORG, job.job_id, "resume")
        checking.result(60)
    assert swift.get(ORG, job.job_id).status is Status.COMPLETED


def test_a_paused_worker_hears_that_its_job_is_no_longer_its_own(store: JobStore, client: "redis.Redis") -> None:
    job = store.create(ORG, KIND)
    store.control(ORG, job.job_id, "pause")
    with suppress(LeaseLost), store.run(ORG, job.job_id) as run:
        checking = aside(run.check)
        wait_until(lambda: PAUSED in flags(store, job))
        client.hincrby(Keys("batchstatus").job(ORG, job.job_id).job, "fence", 1)
        assert isinstance(checking.exception(60), LeaseLost)


def test_whoever_takes_a_paused_job_over_starts_paused_and_has_not_obeyed_yet(store: JobStore) -> None:
    job = store.create(ORG, KIND, takeover_s=60)
    stop_in_the_middle(store, job, paused=True)
    with store.run(ORG, job.job_id) as run:
        assert flags(store, job) == {PAUSE}
        checking = aside(run.check)
        wait_until(lambda: flags(store, job) == {PAUSE, PAUSED})
        store.control(ORG, job.job_id, "resume")
        checking.result(60)
