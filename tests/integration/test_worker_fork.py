"""A run belongs to the process that entered it: a forked child can neither count on it nor end it."""

import subprocess
import sys

import pytest

from batchstatus import JobStore, Status
from tests.support.sdk import ORG, counters

FORKING = """
import os, sys
import batchstatus

HOW = sys.argv[2]
ROW = {"externalId": "T-1", "code": "VALIDATION_ERROR", "message": ""}
store = batchstatus.connect(sys.argv[1], timeout_s=30)

def refuses(call):
    try:
        call()
    except batchstatus.InvalidTransition as refusal:
        return "belongs to the process that entered it" in str(refusal)
    return False

def use(run):
    calls = (run.succeeded, run.check, lambda: run.total(5), lambda: run.failed(ROW), lambda: run.skipped(ROW))
    assert all(map(refuses, calls)), "not refused"
    assert refuses(run.succeeded), "not refused the second time"
    with store.run("org_acme", "child") as own:
        own.succeeded(7)
    if HOW == "raises":
        raise ValueError

def left():
    with store.run("org_acme", "parent") as run:
        run.succeeded()
        child = os.fork()
        if not child:
            use(run)
            return 0
        run.succeeded(10)
        assert os.waitpid(child, 0)[1] == 0
        assert store.get("org_acme", "parent").status == "running"
        run.failed(ROW)
    return 1

store.create("org_acme", "transaction_batch", job_id="parent")
store.create("org_acme", "transaction_batch", job_id="child")

try:
    parent = left()
except ValueError:
    parent = HOW != "raises"
if not parent:
    os._exit(0)
"""


@pytest.mark.parametrize("how", ["returns", "raises"])
def test_a_run_cannot_be_used_in_a_forked_child_and_goes_on_in_its_parent(
    redis_url: str, real_store: JobStore, how: str
) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", FORKING, redis_url, how], timeout=60, capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")
    parent, child = real_store.get(ORG, "parent"), real_store.get(ORG, "child")
    assert (parent.status, counters(parent)) == (Status.COMPLETED, (11, 1, 0))
    assert (child.status, counters(child)) == (Status.COMPLETED, (7, 0, 0))
