"""Under gevent, where nothing interrupts a greenlet, an importer that computes keeps its lease all the same."""

import subprocess
import sys
from collections.abc import Iterator

import pytest

import batchstatus
from batchstatus import JobStore, Status
from tests.support.sdk import ORG, UNHURRIED

pytest.importorskip("gevent", reason="gevent is not installed")

PROGRAM = """
from gevent import monkey
monkey.patch_all()

import sys, time
import batchstatus

def compute(seconds):
    until = time.perf_counter() + seconds
    while time.perf_counter() < until:
        pass

url, job_id, call = sys.argv[1:]
with batchstatus.connect(url, lease_s=2.0, timeout_s=30).run("org_acme", job_id) as run:
    for number in range(10):
        compute(0.5)
        if call == "check":
            run.check()
        elif call == "succeeded":
            run.succeeded(checkpoint=number + 1)
        else:
            run.failed({"externalId": str(number), "code": "VALIDATION_ERROR"})
        print(number, flush=True)
"""


@pytest.fixture
def store(redis_url: str) -> Iterator[JobStore]:
    """A store whose readers find a worker dead half a second past its lease: before the importer is done."""
    opened = batchstatus.connect(redis_url, lease_s=2.0, grace_s=0.5, **UNHURRIED)
    yield opened
    opened.close()


@pytest.mark.parametrize("call", ["check", "succeeded", "failed"])
def test_an_importer_that_computes_is_not_taken_for_dead(store: JobStore, redis_url: str, call: str) -> None:
    job_id, seen = store.create(ORG, "transaction_batch").job_id, []
    command = [sys.executable, "-c", PROGRAM, redis_url, job_id, call]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as importer:
        for _ in importer.stdout or ():
            seen.append(store.get(ORG, job_id))
    assert importer.returncode == 0
    assert {job.status for job in seen[:-1]} == {Status.RUNNING}
    ended = store.get(ORG, job_id)
    assert (ended.status, ended.done) == (Status.COMPLETED, 0 if call == "check" else 10)
    if call != "check":
        assert seen[-2].done >= 5, "readers saw no progress"
