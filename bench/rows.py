"""Rows per second of the loop that reports progress: ours, RQ's and Celery's, on the same store in one run."""

import json
import subprocess
import time
from pathlib import Path

from batchstatus import JobStore

HERE = Path(__file__).parent
ROUNDS = 3
ROWS = 1_000_000
PEER_ROWS = 3_000


def measure(store: JobStore, redis_url: str, peers_python: str) -> list[tuple[str, float]]:
    """For each way of reporting: its name, and rows per second (the median round)."""
    results: dict[str, list[float]] = {"batchstatus run.succeeded(checkpoint=n)": []}
    peers = {"RQ job.save_meta()": "rq_rows.py", "Celery update_state()": "celery_rows.py"}
    for _ in range(ROUNDS):
        results["batchstatus run.succeeded(checkpoint=n)"].append(_ours(store))
        for name, script in peers.items():
            command = [peers_python, str(HERE / "peers" / script), redis_url, str(PEER_ROWS)]
            done = subprocess.run(command, stdout=subprocess.PIPE, check=True)
            results.setdefault(name, []).append(json.loads(done.stdout)["rows_per_s"])
    return [(name, sorted(rounds)[len(rounds) // 2]) for name, rounds in results.items()]


def _ours(store: JobStore) -> float:
    job = store.create("org_bench", "transaction_batch", total_items=ROWS)
    with store.run("org_bench", job.job_id) as run:
        started = time.perf_counter()
        for number in range(1, ROWS + 1):
            run.succeeded(checkpoint=number)
        seconds = time.perf_counter() - started
    assert store.get("org_bench", job.job_id).succeeded == ROWS
    return ROWS / seconds
