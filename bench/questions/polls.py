"""Server CPU per poll of the service, and of what others would have built or use, on one store.

64 running jobs are polled over 16 and 64 kept connections. CPU is user and system time of the server's processes,
divided by the requests. In every round the servers take turns; figures are medians of the rounds.
"""

import sys
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field

from bench.report.figures import Answer, Bars, Table, spread
from bench.tools.setting import KIND, ORG, PEERS, ROW, SERVE, Cost, Setting, cost, typical

JOBS = 64
CONNECTIONS = (16, 64)
OURS, FASTAPI = "batchstatus", "FastAPI, redis.asyncio, uvicorn"
COLUMNS = {"server": "", "CPU µs": ",.0f", "± %": ".0f", "to ours": ".2f", "to FastAPI": ".2f"}
COLUMNS |= {"p99 ms": ".1f", "p99.9 ms": ".1f"}
NOTE = "The others check no key, give no entity tag, count nothing and bound no time."


@dataclass(frozen=True)
class Server:
    """A server's command, and the path of a poll; `share`: the share of the requests that a slow server gets."""

    command: list[str]
    path: str = "/batch-import/jobs/{job_id}"
    environment: dict[str, str] = field(default_factory=dict)
    share: float = 1


def measure(setting: Setting) -> Iterator[Answer]:
    """Yields one table for each number of connections, and a plot."""
    found: dict[tuple[str, int], list[Cost]] = defaultdict(list)
    with running_jobs(setting) as job_ids:
        for _ in range(setting.scaled(3, 1)):
            for name, server in servers(setting).items():
                total = int(setting.scaled(10_000, 1_500) * server.share)
                paths = [server.path.format(job_id=job_id, n=n) for n, job_id in enumerate(job_ids)]
                with setting.serve(server.command, **server.environment) as served:
                    for connections in CONNECTIONS:
                        taken = cost(served, [*map(setting.request, paths)], total, connections)
                        found[name, connections].append(taken)
    for connections in CONNECTIONS:
        yield _table({name: found[name, connections] for name in servers(setting)}, connections)
    bars = {name: typical(found[name, CONNECTIONS[-1]]).cpu_us for name in servers(setting)}
    yield Bars("polls", f"A poll, {CONNECTIONS[-1]} connections", "server CPU per poll (µs)", bars)


def servers(setting: Setting) -> dict[str, Server]:
    """Returns the compared servers by name. All run two processes, but the last two one, as people run them."""
    uvicorn = ["-m", "uvicorn", "--workers", "2", "--log-level", "error", "--port", "{port}", "--app-dir"]
    python, url, ours = setting.peers_python, setting.url, "our server"
    return {
        OURS: Server(SERVE),
        "batchstatus, no line a request": Server(SERVE, environment={"BATCHSTATUS_LOG_LEVEL": "warning"}),
        "batchstatus, through all of Flask": Server(
            [sys.executable, str(PEERS / "plain_flask.py")], environment={"BATCHSTATUS_LOG_LEVEL": "warning"}
        ),
        FASTAPI: Server([python, *uvicorn, str(PEERS), "fastapi_app:app"]),
        f"raw WSGI, redis-py, {ours}": Server([sys.executable, str(PEERS / "raw_wsgi.py")]),
        f"bare Flask, constant bytes, {ours}": Server([sys.executable, str(PEERS / "bare_flask.py")]),
        f"bare WSGI, constant bytes, {ours}": Server([sys.executable, str(PEERS / "bare_wsgi.py")]),
        "Flower, /api/task/result/…": Server(
            [python, str(PEERS / "flower_task.py"), url, "{port}", str(JOBS)],
            "/api/task/result/task-{n}",
            share=0.1,
        ),
        "rq-dashboard, /0/data/job/….json": Server(
            [python, str(PEERS / "rq_dashboard_job.py"), url, "{port}", str(JOBS)],
            "/0/data/job/job-{n}.json",
            share=0.04,
        ),
    }


@contextmanager
def running_jobs(setting: Setting) -> Iterator[list[str]]:
    """Yields the ids of 64 running jobs, each with some rows counted."""
    with ExitStack() as stack:
        job_ids = [setting.store.create(ORG, KIND, total_items=10_000).job_id for _ in range(JOBS)]
        for job_id in job_ids:
            run = stack.enter_context(setting.store.run(ORG, job_id))
            run.succeeded(412)
            run.failed(ROW)
            time.sleep(1 / JOBS)  # else the heartbeats of all, one a second, would coincide
        yield job_ids


def _table(found: dict[str, list[Cost]], connections: int) -> Table:
    costs = {name: typical(rounds) for name, rounds in found.items()}
    rows = [
        (
            name,
            cpu_us,
            spread([each.cpu_us for each in found[name]]),
            cpu_us / costs[OURS].cpu_us,
            cpu_us / costs[FASTAPI].cpu_us,
            p99_ms,
            p999_ms,
        )
        for name, (cpu_us, p99_ms, p999_ms) in costs.items()
    ]
    title = f"Server CPU per poll, {connections} connections, {JOBS} running jobs"
    return Table(title, COLUMNS, rows, NOTE)
