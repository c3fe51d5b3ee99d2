"""The reaper among real processes: workers that are killed, workers that live, `batchstatus reap`, the service."""

import http.client
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager

import pytest
import redis

from batchstatus import Job, JobStore, Status, connect
from batchstatus.embedded import EmbeddedServer
from batchstatus.model.keys import Keys
from batchstatus.model.messages import Look, Verdict
from batchstatus.reaper import Reaper
from batchstatus.settings import DAY_S, StoreSettings
from tests.support.callers import poll
from tests.support.sdk import UNHURRIED, plain_client, store_ms
from tests.support.service import LiveService
from tests.support.waiting import wait_until

ORG, KIND, PREFIX = "org_acme", "transaction_batch", "reaping"
LEASE_S = 1.0
SETTLED = "batchstatus_settled_jobs_total"
DYING = 3

WORKER = """
import sys, time, batchstatus
url, prefix, job_id, lease_s = sys.argv[1:]
store = batchstatus.connect(url, prefix=prefix, lease_s=float(lease_s), timeout_s=30)
with store.run("org_acme", job_id):
    print("running", flush=True)
    time.sleep(600)
"""


def kill_a_worker(url: str, job: Job, *, prefix: str = PREFIX) -> None:
    """Let a worker claim the job, and kill it with SIGKILL."""
    command = [sys.executable, "-c", WORKER, url, prefix, job.job_id, str(LEASE_S)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as worker:
        assert worker.stdout is not None
        assert worker.stdout.readline() == b"running\n"
        worker.kill()


def job_past_its_lease(store: JobStore, url: str, client: "redis.Redis") -> Job:
    """Create a job, kill its worker, and wait until the lease is out."""
    job = store.create(ORG, KIND)
    kill_a_worker(url, job)
    wait_until(lambda: _is_past_its_lease(client, job))
    return job


def stored(client: "redis.Redis", job: Job, prefix: str = PREFIX) -> dict[str, str]:
    """The job's hash: looking at it settles nothing."""
    found = client.hgetall(Keys(prefix).job(ORG, job.job_id).job)
    return {name.decode(): value.decode() for name, value in found.items()}


def late_ms(url: str, client: "redis.Redis", job: Job, prefix: str) -> int:
    """Kill the job's worker, and give how long after its lease the job was interrupted."""
    kill_a_worker(url, job, prefix=prefix)
    lease_end = int(stored(client, job, prefix)["leaseExpiresAt"])
    wait_until(lambda: stored(client, job, prefix)["status"] == "interrupted", 30)
    return int(stored(client, job, prefix)["completedAt"]) - lease_end


def reap(url: str, *options: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "batchstatus", "reap", "--prefix", PREFIX, "--redis-url", url, *options]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@contextmanager
def reaping(url: str) -> Iterator["subprocess.Popen[str]"]:
    process = reap(url)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


@pytest.fixture
def store(redis_url: str) -> Iterator[JobStore]:
    found = JobStore.open(redis_url, StoreSettings(prefix=PREFIX, lease_s=LEASE_S, **UNHURRIED))
    yield found
    found.close()


@pytest.mark.slow
def test_reap_once_settles_what_is_due_and_says_how_many(
    store: JobStore, redis_url: str, redis_client: "redis.Redis"
) -> None:
    # Given two jobs of workers that were killed, and one whose worker is alive
    dead, alive = [store.create(ORG, KIND) for _ in range(2)], store.create(ORG, KIND)
    with store.run(ORG, alive.job_id):
        for job in dead:
            kill_a_worker(redis_url, job)
        wait_until(lambda: all(_is_past_its_lease(redis_client, job) for job in dead))
        # When it reaps, once and again
        said = [reap(redis_url, "--once", "--grace-s", "0.5").communicate(timeout=60) for _ in range(2)]
    # Then each is settled once
    assert said == [("settled 2 jobs\n", ""), ("settled 0 jobs\n", "")]
    assert [stored(redis_client, job)["status"] for job in [*dead, alive]] == [*["interrupted"] * 2, "completed"]


@pytest.mark.slow
def test_reap_keeps_what_it_has_settled_for_the_retention_of_the_services_variable(
    store: JobStore, redis_url: str, redis_client: "redis.Redis", monkeypatch: pytest.MonkeyPatch
) -> None:
    job = job_past_its_lease(store, redis_url, redis_client)
    monkeypatch.setenv("BATCHSTATUS_GRACE_S", "0.5")
    monkeypatch.setenv("BATCHSTATUS_RETENTION_DAYS", "2")
    assert reap(redis_url, "--once").communicate(timeout=60) == ("settled 1 jobs\n", "")
    assert DAY_S < redis_client.ttl(Keys(PREFIX).job(ORG, job.job_id).job) <= 2 * DAY_S


@pytest.mark.slow
def test_reap_waits_for_the_replicas_of_the_services_variable(
    store: JobStore, redis_url: str, redis_client: "redis.Redis", monkeypatch: pytest.MonkeyPatch
) -> None:
    job_past_its_lease(store, redis_url, redis_client)
    monkeypatch.setenv("BATCHSTATUS_MIN_REPLICAS", "1")  # this server has none
    printed, said = reap(redis_url, "--once", "--grace-s", "0.1").communicate(timeout=60)
    assert (printed, "replica" in said) == ("", True)


@pytest.mark.slow
def test_reap_goes_on_until_it_is_told_to_stop(
    store: JobStore, redis_url: str, redis_client: "redis.Redis"
) -> None:
    with reaping(redis_url) as process:
        first, second = (store.create(ORG, KIND) for _ in range(2))
        late_ms(redis_url, redis_client, first, PREFIX)  # from now on it is known to run
        assert 3_000 <= late_ms(redis_url, redis_client, second, PREFIX) <= 5_000
        process.send_signal(signal.SIGTERM)
        assert process.communicate(timeout=15) == ("", "")
        assert process.returncode == 0


@pytest.mark.slow
def test_reap_says_when_the_store_is_not_there() -> None:
    for options in (("--once",), ()):
        process = reap("redis://127.0.0.1:9/0", *options)
        printed, said = process.communicate(timeout=60)
        assert (process.returncode, printed) == (3, "")
        assert re.fullmatch(r"batchstatus: the store is unavailable: .*\n", said)


@pytest.mark.slow
def test_a_killed_workers_job_that_nobody_polls_is_interrupted_5_s_after_its_lease_at_the_latest(
    real_store: JobStore, redis_url: str, redis_client: "redis.Redis", live: LiveService
) -> None:
    job = real_store.create(ORG, KIND)
    assert 3_000 <= late_ms(redis_url, redis_client, job, "batchstatus") <= 5_000
    wait_until(lambda: not redis_client.keys("batchstatus:leases:{[0-9]*"))
    assert live.answers("/livez")


@pytest.mark.slow
def test_one_that_is_polled_all_the_time_reads_interrupted_no_later(
    real_store: JobStore, redis_url: str, redis_client: "redis.Redis", live: LiveService
) -> None:
    job, (key, _) = real_store.create(ORG, KIND), real_store.api_keys.create(ORG, ["events:create"])
    kill_a_worker(redis_url, job, prefix="batchstatus")
    lease_end = int(stored(redis_client, job, "batchstatus")["leaseExpiresAt"])
    statuses = []
    with closing(http.client.HTTPConnection("127.0.0.1", live.port, timeout=30)) as connection:
        while "interrupted" not in statuses:
            answer = poll(connection, f"/batch-import/jobs/{job.job_id}", key)
            assert answer.status == 200
            statuses.append(json.loads(answer.body)["job"]["status"])
            assert store_ms(redis_client) <= lease_end + 5_000
    assert set(statuses) == {"running", "interrupted"}
    assert int(stored(redis_client, job, "batchstatus")["completedAt"]) >= lease_end + 3_000


@pytest.mark.slow
def test_each_replica_alone_finds_the_dead_and_counts_what_it_has_settled() -> None:
    # Given two replicas of two processes each
    with EmbeddedServer() as server, LiveService(server.url) as one, LiveService(server.url) as other:
        with closing(connect(server.url, **UNHURRIED)) as store, plain_client(server.url) as client:
            for frozen, awake in ((one, other), (other, one)):
                # When either stands still, with whatever it is at
                os.killpg(frozen.pid, signal.SIGSTOP)
                jobs = [store.create(ORG, KIND) for _ in range(DYING)]
                # Then the other is enough
                with ThreadPoolExecutor(DYING) as dying:
                    found = [dying.submit(late_ms, server.url, client, job, "batchstatus") for job in jobs]
                    late = [each.result() for each in found]
                assert 3_000 <= min(late) <= max(late) <= 5_000
                wait_until(lambda awake=awake: awake.metric(SETTLED) == DYING)  # type: ignore[misc]
                os.killpg(frozen.pid, signal.SIGCONT)
        # And what one has settled the other does not count, whichever of its processes is asked
        assert {each.metric(SETTLED) for each in (one, other) for _ in range(10)} == {DYING}


@pytest.mark.slow
def test_live_workers_with_a_short_lease_are_never_touched(store: JobStore) -> None:
    # Given workers that are alive, most of them without a row to count, and two reapers
    jobs = [store.create(ORG, KIND) for _ in range(8)]
    over = threading.Event()
    verdicts: Counter[Verdict] = Counter()
    real = store.reader.look

    def look(org: str, job_id: str) -> Look:
        found = real(org, job_id)
        verdicts[found.verdict] += 1
        return found

    store.reader.look = look  # type: ignore[method-assign]

    def work(job: Job) -> None:
        with store.run(ORG, job.job_id) as run:
            while not over.wait(0.01):
                run.check()
                if job == jobs[0]:
                    run.succeeded()

    reapers = [Reaper(store) for _ in range(2)]
    # When they are left alone for several leases, and looked at many times
    with ThreadPoolExecutor(len(jobs)) as threads:
        working = [threads.submit(work, job) for job in jobs]
        for each in reapers:
            each.start()
        until = time.monotonic() + 6 * LEASE_S
        wait_until(lambda: time.monotonic() > until and verdicts[Verdict.ALIVE] > 3 * len(jobs), 60)
        over.set()
        for future in working:
            future.result(60)
    for each in reapers:
        each.stop()
    # Then each ended its job itself
    assert verdicts[Verdict.SETTLED] == 0
    assert {store.get(ORG, job.job_id).status for job in jobs} == {Status.COMPLETED}


def _is_past_its_lease(client: "redis.Redis", job: Job) -> bool:
    seconds, _ = client.time()
    return int(seconds) * 1000 > int(stored(client, job)["leaseExpiresAt"])
