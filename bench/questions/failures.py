"""What failed rows cost readers: polls and `include=failures` of jobs with 10² to 10⁶ failed rows, and the CSV.

CPU is user and system time of the service's processes, divided by the requests; the jobs take turns, figures are
medians. For the CSV of the largest job: the largest growth of the service's processes while it is streamed.
"""

import http.client
import time
from collections import defaultdict
from collections.abc import Iterator

from bench.report.figures import Answer, Lines, Table
from bench.tools.processes import Served
from bench.tools.setting import KIND, ORG, ROW, Cost, Setting, cost, typical

POLL, FAILURES = "poll", "include=failures"
FIGURES = {"CPU µs": ",.0f", "ratio": ".2f", "p99 ms": ".1f"}
FULL = 1_000
"""More than an answer shows, so that all answers from here on have the same size."""


def measure(setting: Setting) -> Iterator[Answer]:
    """Yields two tables and a plot."""
    sizes = setting.scaled([10**n for n in range(2, 7)], [10**n for n in range(2, 5)])
    jobs = {rows: _job_with(setting, rows) for rows in sizes}
    found: dict[tuple[str, int], list[Cost]] = defaultdict(list)
    with setting.serve() as served:
        for _ in range(setting.scaled(3, 1)):
            for rows, job_id in jobs.items():
                path = f"/batch-import/jobs/{job_id}"
                for what, asked, total in ((POLL, path, 2_000), (FAILURES, f"{path}?{FAILURES}", 300)):
                    taken = cost(served, [setting.request(asked)], setting.scaled(total, total // 4))
                    found[what, rows].append(taken)
        yield from _shown(sizes, found)
        yield _streamed(setting, served, jobs[sizes[-1]], sizes[-1])


def _shown(sizes: list[int], found: dict[tuple[str, int], list[Cost]]) -> Iterator[Answer]:
    costs = {which: typical(rounds) for which, rounds in found.items()}

    def figures(what: str, size: int) -> tuple[float, ...]:
        cpu_us = costs[what, size].cpu_us
        return cpu_us, cpu_us / costs[what, FULL].cpu_us, costs[what, size].p99_ms

    rows = [(f"{size:,}", *figures(POLL, size), *figures(FAILURES, size)) for size in sizes]
    columns = {"failed rows": "", **{f"{POLL}, {head}": form for head, form in FIGURES.items()}}
    columns |= {f"{FAILURES}, {head}": form for head, form in FIGURES.items()}
    note = f"Ratios are to {FULL:,} rows; an answer shows the first 500."
    yield Table("Failed rows, and what reading costs the service", columns, rows, note)
    lines = {what: {size: costs[what, size].cpu_us for size in sizes} for what in (FAILURES, POLL)}
    yield Lines("failures", "What failed rows cost", "failed rows stored", "server CPU per request (µs)", lines)


def _job_with(setting: Setting, rows: int) -> str:
    """Returns the id of an ended job with `rows` failed rows."""
    job_id = setting.store.create(ORG, KIND, total_items=rows).job_id
    with setting.store.run(ORG, job_id) as run:
        for number in range(rows):
            run.failed({**ROW, "externalId": f"T-{number:06}"})
    return job_id


def _streamed(setting: Setting, served: Served, job_id: str, rows: int) -> Table:
    """Returns the table of the CSV, read at full speed."""
    connection = http.client.HTTPConnection("127.0.0.1", served.port)
    served.forget_peak()
    before_kib, cpu_s, started = served.rss_kib(), served.cpu_s(), time.monotonic()
    path = f"/batch-import/transaction-jobs/{job_id}/failures.csv"
    connection.request("GET", path, headers={"Authorization": f"Bearer {setting.api_key}"})
    with connection.getresponse() as response:
        size = sum(map(len, iter(lambda: response.read(1 << 18), b"")))
    connection.close()
    seconds, grown_kib = time.monotonic() - started, served.peak_kib() - before_kib
    figures = (f"{rows:,} rows", size / 1e6, seconds, (served.cpu_s() - cpu_s) / rows * 1e6, grown_kib / 1024)
    columns = {"file": "", "MB": ".1f", "s": ".1f", "CPU µs a row": ".1f", "grown by MiB": ".1f"}
    note = f"The service's processes had {before_kib / 1024:.0f} MiB before."
    return Table("The CSV of all failed rows, streamed", columns, [figures], note)
