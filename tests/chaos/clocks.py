"""Workers die while all clocks but the store's are an hour off."""

import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import redis

import batchstatus
from batchstatus import Job, JobStore
from batchstatus.embedded import EmbeddedServer
from tests.chaos.finding import Finding
from tests.chaos.importing import import_until_told, trouble_at_the_end
from tests.support.importers import Importer, Link
from tests.support.sdk import ORG, UNHURRIED, fields, plain_client
from tests.support.service import LiveService
from tests.support.waiting import wait_until

HOUR_S = 3_600
LEASE_S, FOUND_S = 1.0, 5.0
OPTIONS: dict[str, Any] = {"lease_s": LEASE_S, **UNHURRIED}
CLOCK_OFF = Path(__file__).parent.parent / "support" / "clock_off"


def import_off_time(link: Link, off_s: int, url: str, job_id: str) -> None:
    """Run `import_until_told` in a process whose clock is off by `off_s`."""
    real, real_ns = time.time, time.time_ns
    time.time, time.time_ns = lambda: real() + off_s, lambda: real_ns() + off_s * 10**9
    import_until_told(link, url, job_id, OPTIONS)


def workers_vanish(times: int) -> Finding:
    """Kill workers: replicas an hour ahead and an hour behind must settle their jobs, but not live ones."""
    with ExitStack() as running:
        url = running.enter_context(EmbeddedServer()).url
        client = running.enter_context(plain_client(url))
        store = batchstatus.connect(url, **OPTIONS)
        running.callback(store.close)
        for off_s in (-HOUR_S, HOUR_S):
            running.enter_context(LiveService(url, PYTHONPATH=str(CLOCK_OFF), CLOCK_OFF_S=str(off_s)))
        live = [_import(store, url, off_s, running) for off_s in (-HOUR_S, 0, HOUR_S)]
        dead = [_import(store, url, (number % 3 - 1) * HOUR_S, running) for number in range(times)]
        for _, worker in dead:
            worker.kill()
        late_s = [_late_s(client, job) for job, _ in dead]
        lost = tuple(each for job, worker in live for each in trouble_at_the_end(store, job.job_id, worker))
        return Finding(
            fault="a worker is killed, all clocks but the store's are an hour off",
            tried=times,
            acknowledged=sum(store.get(ORG, job.job_id).rev for job, _ in live + dead),
            lost=lost,
            wrong=tuple(f"found {each:.1f} s after its lease" for each in late_s if each > FOUND_S),
            recovery_s=max(late_s),
        )


def _import(store: JobStore, url: str, off_s: int, running: ExitStack) -> tuple[Job, Importer]:
    job = store.create(ORG, "transaction_batch")
    importer = running.enter_context(Importer(import_off_time, off_s, url, job.job_id))
    assert importer.told() == "running"
    return job, importer


def _late_s(client: "redis.Redis", job: Job) -> float:
    """Wait for the job's end without settling it. Returns the seconds between its lease's end and its own."""
    wait_until(lambda: fields(client, job)["status"] == "interrupted", 30)
    ended = fields(client, job)
    return (int(ended["completedAt"]) - int(ended["heartbeatAt"])) / 1000 - LEASE_S
