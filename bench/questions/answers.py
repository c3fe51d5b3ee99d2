"""Server CPU of the different answers about one job, measured in turns on one service.

A 304 needs an entity tag that stays valid, so the 304 and the 200 beside it are of 64 queued jobs. The failed rows
are of a job that has 500.
"""

import http.client
from collections import defaultdict
from collections.abc import Iterator

from bench.report.figures import Answer, Table
from bench.tools.processes import Served
from bench.tools.setting import KIND, ORG, ROW, Cost, Setting, cost, typical

JOBS, ROWS = 64, 500
CONNECTIONS = 16


def measure(setting: Setting) -> Iterator[Answer]:
    """Yields one table."""
    queued = [f"/batch-import/jobs/{setting.store.create(ORG, KIND).job_id}" for _ in range(JOBS)]
    failures = f"/batch-import/jobs/{_job_with_rows(setting)}?include=failures"
    total, few = setting.scaled((6_000, 600), (1_500, 200))
    found: dict[str, list[Cost]] = defaultdict(list)
    with setting.serve() as served:
        asked = {
            "200": (_requests(setting, queued), total, 200),
            "304": (_conditional(setting, served, queued), total, 304),
            f"200, include=failures, {ROWS} rows": (_requests(setting, [failures]), few, 200),
            f"304, include=failures, {ROWS} rows": (_conditional(setting, served, [failures]), few, 304),
        }
        for _ in range(setting.scaled(5, 1)):
            for name, (requests, many, status) in asked.items():
                found[name].append(cost(served, requests, many, CONNECTIONS, status))
    costs = {name: typical(rounds) for name, rounds in found.items()}
    rows = [(name, each.cpu_us, each.cpu_us / costs["200"].cpu_us, each.p99_ms) for name, each in costs.items()]
    columns = {"answer": "", "CPU µs": ",.0f", "to a 200": ".2f", "p99 ms": ".1f"}
    yield Table(f"Server CPU per answer, {CONNECTIONS} connections", columns, rows)


def _job_with_rows(setting: Setting) -> str:
    job_id = setting.store.create(ORG, KIND, total_items=ROWS).job_id
    with setting.store.run(ORG, job_id) as run:
        for number in range(ROWS):
            run.failed({**ROW, "externalId": f"T-{number}"})
    return job_id


def _requests(setting: Setting, paths: list[str]) -> list[str]:
    return [setting.request(path) for path in paths]


def _conditional(setting: Setting, served: Served, paths: list[str]) -> list[str]:
    """Returns the requests with the present entity tag of each answer."""
    connection = http.client.HTTPConnection("127.0.0.1", served.port)
    requests = []
    for path in paths:
        connection.request("GET", path, headers={"Authorization": f"Bearer {setting.api_key}"})
        with connection.getresponse() as response:
            response.read()
            requests.append(setting.request(path, f"If-None-Match: {response.headers['ETag']}"))
    connection.close()
    return requests
