"""Workers killed with SIGKILL in the middle of reporting: whoever takes over ends with exact counters."""

import random
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

import batchstatus
from batchstatus import JobStore, Status
from tests.chaos.importing import assert_exact, import_rows
from tests.support.importers import Importer
from tests.support.sdk import ORG

KILLS, AT_ONCE, ROWS = 50, 5, 4_000
OPTIONS = {"lease_s": 0.4, "grace_s": 0.2}


def killed_in_the_middle(store: JobStore, url: str, job_id: str, moment_s: float) -> bool:
    """Start an importer and kill it `moment_s` after its claim; whether rows were left and some were done."""
    with Importer(import_rows, url, job_id, ROWS, OPTIONS) as importer:
        began_at = importer.told() or 0
        time.sleep(moment_s)
        importer.kill()
    left = store.get(ORG, job_id)
    return left.status is Status.RUNNING and began_at < left.done < ROWS


def kill_and_take_over(url: str, number: int) -> bool:
    """One job: killed once, or twice in a row, then brought to its end; whether a kill hit it in the middle."""
    store, dice = batchstatus.connect(url, **OPTIONS), random.Random(number)
    job_id = store.create(ORG, "transaction_batch", takeover_s=60).job_id
    hit = killed_in_the_middle(store, url, job_id, dice.uniform(0, 0.25))
    if store.get(ORG, job_id).status is Status.RUNNING and number % 4 == 0:
        hit = killed_in_the_middle(store, url, job_id, dice.uniform(0, 0.1)) or hit
    if store.get(ORG, job_id).status is Status.RUNNING:
        with Importer(import_rows, url, job_id, ROWS, OPTIONS) as importer:
            importer.told()
            assert importer.told() == "completed"
    assert_exact(store, job_id, ROWS)
    store.close()
    return hit


@pytest.mark.slow
def test_fifty_workers_killed_while_they_report_leave_exact_counters(redis_url: str) -> None:
    with ThreadPoolExecutor(AT_ONCE) as pool:
        hits = list(pool.map(lambda number: kill_and_take_over(redis_url, number), range(KILLS)))
    assert sum(hits) >= KILLS / 2
