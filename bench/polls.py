"""Server CPU per poll: the service, and a bare Flask view that returns constant bytes, under the same server."""

import json
import os
import subprocess
import sys
from pathlib import Path

from batchstatus import JobStore
from bench.processes import Served

HERE = Path(__file__).parent
ORG = "org_bench"
JOBS = 64
CONNECTIONS = 16
REQUESTS = 20_000
ROUNDS = 3


def measure(store: JobStore, redis_url: str) -> list[tuple[str, float, float]]:
    """For each server: its name, CPU microseconds per request (the median round), and its p99 in milliseconds."""
    key, _ = store.api_keys.create(ORG, ["transactions:create"])
    runs = [store.run(ORG, store.create(ORG, "transaction_batch", total_items=10_000).job_id) for _ in range(JOBS)]
    for run in runs:
        run.__enter__()
        run.succeeded(412)
        run.failed({"externalId": "T-7", "code": "VALIDATION_ERROR", "message": "amount: 'abc' is no number"})
    paths = [f"/batch-import/jobs/{run.job.job_id}" for run in runs]
    environment = {**os.environ, "BATCHSTATUS_REDIS_URL": redis_url}
    servers = {
        "bare Flask, constant bytes": [sys.executable, str(HERE / "peers" / "bare_flask.py")],
        "batchstatus": [sys.executable, "-m", "batchstatus", "serve"],
    }
    results: dict[str, list[tuple[float, float]]] = {name: [] for name in servers}
    try:
        for _ in range(ROUNDS):
            for name, command in servers.items():
                with Served(command, environment) as served:
                    results[name].append(_round(served, paths, key))
    finally:
        for run in runs:
            run.__exit__(None, None, None)
    return [(name, *sorted(rounds)[len(rounds) // 2]) for name, rounds in results.items()]


def _round(served: Served, paths: list[str], key: str) -> tuple[float, float]:
    requests = [f"GET {path} HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {key}\r\n\r\n" for path in paths]
    _load(served, requests, REQUESTS // 10)
    before = served.cpu_s()
    figures = _load(served, requests, REQUESTS)
    return (served.cpu_s() - before) / figures["requests"] * 1e6, figures["p99_ms"]


def _load(served: Served, requests: list[str], total: int) -> dict[str, float]:
    command = [sys.executable, str(HERE / "load.py"), "--port", str(served.port)]
    options = ["--connections", str(CONNECTIONS), "--total", str(total)]
    done = subprocess.run(
        [*command, *options], input=json.dumps(requests).encode(), stdout=subprocess.PIPE, check=True
    )
    figures: dict[str, float] = json.loads(done.stdout)
    return figures
