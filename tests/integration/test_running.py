"""The jobs at work of all organizations: which are found, what is known of each, and what they cost."""

from collections.abc import Iterator
from contextlib import ExitStack, closing, suppress
from typing import Any

import pytest
import redis

from batchstatus import Job, JobStore
from batchstatus.model.ids import worker_name
from batchstatus.model.keys import Keys
from batchstatus.model.progress import AtWork
from batchstatus.reaper import Reaper
from batchstatus.running import SLICE, Measured, Running
from batchstatus.settings import StoreSettings
from tests.support.sdk import ORG, UNHURRIED, claim_and_vanish, fields, keys_of
from tests.support.topologies import ClusterTopology, SentinelTopology, needs_cluster
from tests.support.waiting import wait_until

KIND = "transaction_batch"


@pytest.fixture
def running(store: JobStore) -> Running:
    return Running(store.connection)


@pytest.fixture
def leaving() -> Iterator[ExitStack]:
    """Ends the runs that a test has entered."""
    with ExitStack() as runs:
        yield runs


def listed(running: Running, most: int = 100) -> list[AtWork]:
    return running.longest_silent(most)[0]


def ids(running: Running) -> list[tuple[str, str, int | None]]:
    return sorted((each.org, each.job_id, each.part) for each in listed(running))


def set_back(client: "redis.Redis", job: Job, silent_s: float, lease_s: float = 30) -> None:
    """Write a job's last heartbeat as that of a worker that has been silent since."""
    seconds, _ = client.time()
    heartbeat_ms = int((int(seconds) - silent_s) * 1000)
    times = {"heartbeatAt": heartbeat_ms, "leaseExpiresAt": heartbeat_ms + int(lease_s * 1000)}
    client.hset(keys_of(job).job, mapping=times)


def stopped(store: JobStore, client: "redis.Redis", silent_s: float, **options: Any) -> Job:
    """Returns a running job whose worker has been silent for this long; its lease is of 30 s by default."""
    job = store.create(ORG, KIND)
    claim_and_vanish(client, job)
    store.connection.command("ZADD", *reversed_entry(store, job))
    set_back(client, job, silent_s, **options)
    return job


def reversed_entry(store: JobStore, job: Job) -> tuple[str, int, str]:
    """The words with which a job is entered into the schedule of looks at leases."""
    entry = store.connection.keys.lease_entry(ORG, job.job_id)
    return entry.key, 4_000_000_000_000, entry.member


# Which are found


def test_running_jobs_of_all_organizations_are_found_and_no_others(
    store: JobStore, running: Running, leaving: ExitStack
) -> None:
    for org in (ORG, "acme.com"):
        jobs = [store.create(org, KIND, job_id=f"{name}-of-{org.replace('.', '-')}") for name in "abc"]
        leaving.enter_context(store.run(org, jobs[0].job_id))
        with store.run(org, jobs[1].job_id):
            pass  # jobs[1] has ended, and its entry is there until the next look; jobs[2] is queued
    assert ids(running) == [("acme.com", "a-of-acme-com", None), (ORG, "a-of-org_acme", None)]


def test_of_a_split_job_each_part_that_has_a_worker_or_awaits_one_is_found(
    store: JobStore, running: Running, leaving: ExitStack
) -> None:
    job = store.create(ORG, KIND, parts=4, takeover_s=60, job_id="split")
    for part in (1, 3):
        leaving.enter_context(store.run(ORG, job.job_id, part=part))
    with suppress(SystemExit), store.run(ORG, job.job_id, part=4):
        raise SystemExit
    assert ids(running) == [(ORG, "split", 1), (ORG, "split", 3), (ORG, "split", 4)]
    states = {each.part: each.state for each in listed(running)}
    assert states == {1: "running", 3: "running", 4: "waiting for a worker"}
    assert {each.worker for each in listed(running)} == {worker_name()}


def test_a_split_job_that_nobody_works_on_is_found_itself(store: JobStore, running: Running) -> None:
    job = store.create(ORG, KIND, parts=2, takeover_s=60, job_id="split")
    with store.run(ORG, job.job_id, part=1):
        pass
    assert ids(running) == [(ORG, "split", None)]
    assert listed(running)[0].state == "waiting for a worker"


def test_the_one_that_was_silent_for_longest_comes_first_and_all_are_counted(
    store: JobStore, running: Running, client: "redis.Redis"
) -> None:
    jobs = {silent_s: stopped(store, client, silent_s) for silent_s in (3, 9, 5, 1)}
    found, total = running.longest_silent(2)
    assert ([each.job_id for each in found], total) == ([jobs[9].job_id, jobs[5].job_id], 4)


def test_more_jobs_than_a_slice_are_all_found_once(
    store: JobStore, running: Running, client: "redis.Redis"
) -> None:
    many = 17 * SLICE  # so that one of the 16 buckets has more than a slice
    counters = dict.fromkeys(("succeeded", "failed", "skipped"), 0)
    pipeline = client.pipeline(transaction=False)
    for number in range(many):
        entry = store.connection.keys.lease_entry(ORG, f"j{number}")
        pipeline.zadd(entry.key, {entry.member: number})
        job = {"status": "running", "kind": KIND, "heartbeatAt": number + 1, **counters}
        pipeline.hset(store.connection.keys.job(ORG, f"j{number}").job, mapping=job)
        pipeline.pexpire(store.connection.keys.job(ORG, f"j{number}").job, 60_000)
    pipeline.execute()
    found, total = running.longest_silent(many)
    assert ([each.job_id for each in found], total) == ([f"j{number}" for number in range(many)], many)


def test_entries_that_were_written_by_hand_and_damaged_jobs_hide_no_other(
    store: JobStore, running: Running, client: "redis.Redis", caplog: pytest.LogCaptureFixture
) -> None:
    well, damaged = stopped(store, client, 5), stopped(store, client, 5)
    client.hset(keys_of(damaged).job, "heartbeatAt", "yesterday")
    for bucket in range(16):
        client.zadd(Keys("batchstatus").leases(bucket), {"no entry": 1, b"\xff:{": 2})
    assert [each.job_id for each in listed(running)] == [well.job_id]
    assert damaged.job_id in caplog.text
    running.measure()
    assert running.measured() == Measured(2, pytest.approx(0, abs=30))


# What is known of each


def test_a_job_at_work_shows_its_worker_heartbeat_and_share(
    store: JobStore, running: Running, client: "redis.Redis", leaving: ExitStack
) -> None:
    job = store.create(ORG, KIND, total_items=8)
    run = leaving.enter_context(store.run(ORG, job.job_id))
    run.succeeded(2)
    wait_until(lambda: listed(running)[0].done == 2)
    (found,) = listed(running)
    assert (found.kind, found.worker, found.total_items, found.state) == (KIND, worker_name(), 8, "running")
    assert found.heartbeat_at == store.get(ORG, job.job_id).heartbeat_at
    assert 0 <= found.silent_s < 30
    assert found.rows_per_second is None  # in the first two seconds it is not known


@pytest.mark.parametrize(
    ("flags", "state"),
    [
        ([], "running"),
        (["batchPauseRequested"], "pausing"),
        (["batchPauseRequested", "batchPaused"], "paused"),
        (["batchPauseRequested", "batchPaused", "batchCancelRequested"], "cancelling"),
        (["batchPauseRequested", "batchAwaitingWorker"], "waiting for a worker"),
    ],
)
def test_the_state_is_told_in_words(
    store: JobStore, running: Running, client: "redis.Redis", flags: list[str], state: str
) -> None:
    job = stopped(store, client, 1)
    for flag in flags:
        client.hset(keys_of(job).job, flag, 1)
    assert listed(running)[0].state == state


@pytest.mark.parametrize(("silent_s", "state"), [(9, "running"), (20, "silent"), (40, "silent")])
def test_a_worker_is_silent_once_half_of_its_lease_has_passed_without_a_heartbeat(
    store: JobStore, running: Running, client: "redis.Redis", silent_s: float, state: str
) -> None:
    stopped(store, client, silent_s)
    (found,) = listed(running)
    assert found.state == state
    assert silent_s - 1 <= found.silent_s < silent_s + 30


def test_the_rate_is_that_of_the_claim_and_none_of_a_silent_worker(
    store: JobStore, running: Running, client: "redis.Redis"
) -> None:
    job = stopped(store, client, 0)
    at_ms = int(fields(client, job)["heartbeatAt"])
    mark = f"{at_ms - 10_000} 0"
    client.hset(keys_of(job).job, mapping={"succeeded": 500, "pace": f"{at_ms} {mark} {mark} {mark}"})
    assert listed(running)[0].rows_per_second == 50
    client.hset(keys_of(job).job, "leaseExpiresAt", at_ms)
    wait_until(lambda: listed(running)[0].rows_per_second is None)


def test_what_a_worker_says_of_itself_does_nothing_to_a_terminal(
    store: JobStore, running: Running, client: "redis.Redis"
) -> None:
    job = stopped(store, client, 0)
    client.hset(keys_of(job).job, mapping={"worker": b"\x1b[2J\xff" + b"w" * 200, "kind": "\u202ekind"})
    (found,) = listed(running)
    assert (found.worker, found.kind) == ("?[2J\ufffd" + "w" * 95, "?kind")


# The measurement


def test_what_was_measured_is_told_for_half_a_minute(
    store: JobStore, running: Running, client: "redis.Redis"
) -> None:
    assert running.measured() is None
    running.measure()
    assert running.measured() == Measured(0, 0)
    for silent_s in (100, 200):
        stopped(store, client, silent_s)
    running.measure()
    found = running.measured()
    assert found is not None
    assert found.running == 2
    assert 199 <= found.oldest_heartbeat_s < 230
    assert 0 < client.pttl("batchstatus:leases:{measured}") <= 30_000


def test_each_sweep_measures_and_one_that_cannot_still_sweeps(
    store: JobStore, running: Running, client: "redis.Redis", caplog: pytest.LogCaptureFixture
) -> None:
    stopped(store, client, 5)
    Reaper(store).sweep()
    assert running.measured() == Measured(1, pytest.approx(5, abs=30))
    client.delete("batchstatus:leases:{measured}")
    client.rpush("batchstatus:leases:{measured}", "no hash")
    Reaper(store).sweep()
    assert "the running jobs cannot be counted" in caplog.text


# The topologies


def check_topology(url: str) -> None:
    """Run jobs and parts of two organizations, and find and count them."""
    options = StoreSettings(lease_s=30, **UNHURRIED)
    with closing(JobStore.open(url, options)) as store, ExitStack() as runs:
        expected = []
        for number in range(20):
            org, job_id = f"org{number % 2}", f"job{number}"
            store.create(org, KIND, job_id=job_id)
            runs.enter_context(store.run(org, job_id))
            expected.append((org, job_id, None))
        store.create(ORG, KIND, job_id="split", parts=2)
        runs.enter_context(store.run(ORG, "split", part=2))
        running = Running(store.connection)
        assert ids(running) == sorted([*expected, (ORG, "split", 2)])
        Reaper(store).sweep()
        assert running.measured() == Measured(21, pytest.approx(0, abs=30))


@pytest.mark.slow
@needs_cluster
def test_jobs_on_all_servers_of_a_cluster_are_found() -> None:
    with ClusterTopology(replicas=0) as cluster:
        check_topology(cluster.url)


@pytest.mark.slow
def test_jobs_behind_sentinel_are_found() -> None:
    with SentinelTopology() as topology:
        check_topology(topology.url)
