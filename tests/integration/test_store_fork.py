"""A store that was opened before a fork works after it, in the parent and in every child."""

import subprocess
import sys

from batchstatus import JobStore, Status
from tests.support.sdk import ORG, counters

FORKING = """
import os, sys
import batchstatus

store = batchstatus.connect(sys.argv[1], timeout_s=30)

def work(name):
    job = store.create("org_acme", "transaction_batch", job_id=name)
    with store.run("org_acme", job.job_id, flush_s=0.01) as run:
        for number in range(200):
            run.succeeded()
            run.failed({"externalId": f"{name}-{number}", "code": "VALIDATION_ERROR", "message": ""})

job = store.create("org_acme", "transaction_batch", job_id="parent")
with store.run("org_acme", "parent", flush_s=0.01) as run:
    children = []
    for child in range(4):
        run.succeeded()
        pid = os.fork()
        if pid == 0:
            work(f"child-{child}")
            os._exit(0)
        children.append(pid)
    run.succeeded(10)
    codes = [os.waitpid(pid, 0)[1] for pid in children]
sys.exit(any(codes))
"""


def test_a_store_survives_fork(redis_url: str, real_store: JobStore) -> None:
    done = subprocess.run([sys.executable, "-c", FORKING, redis_url], timeout=60, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    parent = real_store.get(ORG, "parent")
    assert (parent.status, counters(parent)) == (Status.COMPLETED, (14, 0, 0))
    for child in range(4):
        now = real_store.outcome(ORG, f"child-{child}")
        assert (now.job.status, counters(now.job)) == (Status.COMPLETED, (200, 200, 0))
        assert [row["externalId"] for row in now.failures] == [f"child-{child}-{row}" for row in range(200)]
