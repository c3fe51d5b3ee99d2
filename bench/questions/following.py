"""Requests to follow a job to its end, and the delay until the end is seen: `Client.watch`, and a poll every 2 s.

The jobs run at the same time, each for some seconds, and each is followed in both ways. Each way has a service of
its own on one store, so that `/metrics` counts its requests. Late is the time from the moment when the worker has
left its run, so that the end is acknowledged, to the moment when the follower sees the end.
"""

import re
import time
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from batchstatus.client import Client
from bench.report.figures import Answer, Table, percentile
from bench.tools.processes import Served
from bench.tools.setting import KIND, ORG, Setting

JOBS, PACE_S, HOLD_S = 20, 2, 30
TEN_MINUTES_S = 600


class Followed(NamedTuple):
    """The result of one way to follow: requests per job, and the delays of the ends in seconds."""

    requests: float
    late_s: list[float]


def measure(setting: Setting) -> Iterator[Answer]:
    """Yields one table."""
    seconds = setting.scaled(20, 6)
    ways = {"Client.watch": _watch, f"a poll every {PACE_S} s": _poll}
    found = dict(zip(ways, _follow(setting, seconds, list(ways.values())), strict=True))
    computed = dict(zip(ways, (2 + TEN_MINUTES_S // HOLD_S, 1 + TEN_MINUTES_S // PACE_S), strict=True))
    rows = [
        (
            name,
            each.requests,
            each.requests / found["Client.watch"].requests,
            *(1000 * percentile(each.late_s, percent) for percent in (50, 99)),
            computed[name],
            computed[name] / computed["Client.watch"],
        )
        for name, each in found.items()
    ]
    columns = {"how": "", "requests a job": ".1f", "ratio": ".1f", "late p50 ms": ",.0f", "late p99 ms": ",.0f"}
    columns |= {"in 10 minutes": ",d", "ratio then": ".1f"}
    note = f"The last two columns are computed: a hold takes {HOLD_S} s, and the first request is not held."
    yield Table(f"Following {JOBS} jobs of {seconds} s to their ends", columns, rows, note)


def _follow(setting: Setting, seconds: float, ways: list[Callable[[Client, str], None]]) -> list[Followed]:
    """Run the jobs, and follow each job in every way."""
    job_ids = [setting.store.create(ORG, KIND).job_id for _ in range(JOBS)]
    with setting.serve() as first, setting.serve() as second, ThreadPoolExecutor(3 * JOBS) as threads:
        services = (first, second)
        before = [_requests(served) for served in services]
        ends = [
            threads.submit(_run, setting, job_id, seconds + number / JOBS * PACE_S)
            for number, job_id in enumerate(job_ids)
        ]
        seen = [
            [threads.submit(_seen, setting, served, way, job_id) for job_id in job_ids]
            for served, way in zip(services, ways, strict=True)
        ]
        late = [[at.result() - end.result() for at, end in zip(each, ends, strict=True)] for each in seen]
        asked = [_requests(served) - was for served, was in zip(services, before, strict=True)]
    return [Followed(many / JOBS, late_s) for many, late_s in zip(asked, late, strict=True)]


def _run(setting: Setting, job_id: str, seconds: float) -> float:
    """Run the job for `seconds`. Returns the time when its end was acknowledged."""
    until = time.monotonic() + seconds
    with setting.store.run(ORG, job_id) as run:
        while time.monotonic() < until:
            run.succeeded()
            time.sleep(0.05)
    return time.monotonic()


def _seen(setting: Setting, served: Served, way: Callable[[Client, str], None], job_id: str) -> float:
    """Follow the job. Returns the time when its end was seen."""
    with Client(f"http://127.0.0.1:{served.port}", setting.api_key) as client:
        way(client, job_id)
    return time.monotonic()


def _watch(client: Client, job_id: str) -> None:
    for _ in client.watch(job_id):
        pass


def _poll(client: Client, job_id: str) -> None:
    while not client.get(job_id).terminal:
        time.sleep(PACE_S)


def _requests(served: Served) -> int:
    """Returns the number of polls that this service has answered."""
    with urllib.request.urlopen(f"http://127.0.0.1:{served.port}/metrics") as answer:
        text = answer.read().decode()
    return sum(
        int(float(many)) for many in re.findall(r"^batchstatus_requests_total{.*job_id.*} (\S+)$", text, re.M)
    )
