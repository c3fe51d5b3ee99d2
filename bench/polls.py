"""Server CPU per poll: the service, and what others would have built, on the same store in one run."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from batchstatus import JobStore
from bench.processes import Served

HERE = Path(__file__).parent
ORG = "org_bench"
JOBS = 64
CONNECTIONS = (16, 64)
REQUESTS = 20_000
ROUNDS = 3

_PEERS = HERE / "peers"


@dataclass(frozen=True)
class Figures:
    """What a server took: CPU microseconds per request and p99 in milliseconds, of the median round."""

    name: str
    connections: int
    cpu_us: float
    p99_ms: float


def servers(peers_python: str) -> dict[str, list[str]]:
    """The commands that serve, by what they are called in the tables. All run two worker processes."""
    ours = [sys.executable, "-m", "batchstatus", "serve"]
    uvicorn = [peers_python, "-m", "uvicorn", "--workers", "2", "--log-level", "error", "--port", "{port}"]
    return {
        "batchstatus": ours,
        "batchstatus, no line a request": ["env", "BATCHSTATUS_LOG_LEVEL=warning", *ours],
        "FastAPI, redis.asyncio, uvicorn": [*uvicorn, "--app-dir", str(_PEERS), "fastapi_app:app"],
        "raw WSGI, redis-py, our server": [sys.executable, str(_PEERS / "raw_wsgi.py")],
        "bare Flask, constant bytes, our server": [sys.executable, str(_PEERS / "bare_flask.py")],
    }


def measure(store: JobStore, redis_url: str, peers_python: str, rounds: int = ROUNDS) -> list[Figures]:
    """Poll distinct running jobs, in rounds that take the servers in turn."""
    key, _ = store.api_keys.create(ORG, ["transactions:create"])
    runs = [store.run(ORG, store.create(ORG, "transaction_batch", total_items=10_000).job_id) for _ in range(JOBS)]
    for run in runs:
        run.__enter__()
        run.succeeded(412)
        run.failed({"externalId": "T-7", "code": "VALIDATION_ERROR", "message": "amount: 'abc' is no number"})
    paths = [f"/batch-import/jobs/{run.job.job_id}" for run in runs]
    environment = {**os.environ, "BATCHSTATUS_REDIS_URL": redis_url}
    found: dict[tuple[str, int], list[tuple[float, float]]] = {}
    try:
        for _ in range(rounds):
            for name, command in servers(peers_python).items():
                with Served(command, environment) as served:
                    for connections in CONNECTIONS:
                        found.setdefault((name, connections), []).append(_round(served, paths, key, connections))
    finally:
        for run in runs:
            run.__exit__(None, None, None)
    return [Figures(*of, *sorted(taken)[len(taken) // 2]) for of, taken in found.items()]


def _round(served: Served, paths: list[str], key: str, connections: int) -> tuple[float, float]:
    requests = [f"GET {path} HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {key}\r\n\r\n" for path in paths]
    _load(served, requests, REQUESTS // 10, connections)
    before = served.cpu_s()
    figures = _load(served, requests, REQUESTS, connections)
    return (served.cpu_s() - before) / figures["requests"] * 1e6, figures["p99_ms"]


def _load(served: Served, requests: list[str], total: int, connections: int) -> dict[str, float]:
    command = [sys.executable, str(HERE / "load.py"), "--port", str(served.port)]
    options = ["--connections", str(connections), "--total", str(total)]
    done = subprocess.run(
        [*command, *options], input=json.dumps(requests).encode(), stdout=subprocess.PIPE, check=True
    )
    figures: dict[str, float] = json.loads(done.stdout)
    return figures
