"""The cost of holding waiting callers (`Prefer: wait`), and the delay until they hear of a job's end.

One replica with two processes. One process reports for the running jobs five times a second, another holds the
waiting callers. With all callers held, one more polls 100 times a second without waiting, and the service's CPU is
read. Then the jobs end, one after another. Late is the time from the acknowledgement of the end to the answer. The
service is started anew for each number of callers; memory is the growth of its processes while all are held.
"""

import multiprocessing
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import cycle, islice
from multiprocessing.connection import Connection as Pipe
from typing import NamedTuple

from bench.report.figures import Answer, Cell, Lines, Table, percentile
from bench.tools.load import Caller
from bench.tools.processes import Served
from bench.tools.reporting import keep_running
from bench.tools.setting import Setting, cost
from bench.tools.waiters import wait

POLLS_PER_S = 100
CONNECTIONS = 8
"""Of the caller that polls, so that both processes are polled."""
MOST_IN_TURN = 16
COLUMNS = {
    "callers": "",
    "late p50 ms": ",.0f",
    "late p99 ms": ",.0f",
    "answered": ",d",
    "lost": ",d",
    "KiB each": ".1f",
    "poll p50 ms": ".1f",
    "poll p99 ms": ".1f",
    "CPU %": ".0f",
}


class Held(NamedTuple):
    """The result with a number of callers held; times in seconds."""

    callers: int
    late_s: list[float]
    lost: int
    grown_kib: int
    polls_s: list[float]
    cpu: float
    reports_per_s: float


def measure(setting: Setting) -> Iterator[Answer]:
    """Yields one table and a plot."""
    jobs = setting.scaled(500, 50)
    found = [
        hold(setting, callers, jobs, wait) for callers in setting.scaled((0, 1, 100, 500, 1000, 2000), (0, 200))
    ]
    note = (
        f"{min(held.reports_per_s for held in found):,.0f} reports a second at least. "
        f"CPU is the service's, in percent of a core, while {POLLS_PER_S} polls a second come."
    )
    yield Table(f"Callers waiting on {jobs} running jobs", COLUMNS, [*map(row, found)], note)
    waited = [held for held in found if held.callers]
    lines = {
        "from the end to the answer, p99": {held.callers: ms(held.late_s, 99) for held in waited},
        "a poll of one who does not wait, p99": {held.callers: ms(held.polls_s, 99) for held in waited},
    }
    yield Lines("waiting", f"Callers waiting on {jobs} jobs", "callers waiting", "time (ms)", lines)


def row(held: Held) -> Sequence[Cell]:
    return (
        f"{held.callers:,}",
        ms(held.late_s, 50),
        ms(held.late_s, 99),
        *((len(held.late_s), held.lost) if held.callers else (None, None)),
        held.grown_kib / held.callers if held.callers >= 100 else None,
        ms(held.polls_s, 50),
        ms(held.polls_s, 99),
        100 * held.cpu,
    )


def hold(setting: Setting, callers: int, jobs: int, how: Callable[..., None]) -> Held:
    """Measure with `callers` callers held: `how` is the body of the process that has them."""
    quiet_s, ending_s = setting.scaled((8, 8), (2, 2))
    with setting.serve() as served, process(keep_running, setting.url, jobs) as worker:
        job_ids = worker.recv()
        polls = [setting.request(f"/batch-import/jobs/{job_id}") for job_id in job_ids]
        # The first growth of the processes is not the callers'.
        cost(served, polls, setting.scaled(2_000, 500))
        before_kib = served.rss_kib()
        with process(how, served.port, setting.api_key, plans(job_ids, callers)) as waiting:
            if callers:
                waiting.recv()
            time.sleep(1)
            polls_s, cpu = poll(served, polls, quiet_s)
            grown_kib = served.rss_kib() - before_kib
            worker.send(ending_s)
            ends, reports_per_s = worker.recv()
            seen, lost = seen_by(waiting) if callers else ([], 0)
    late_s = [at - ends[job_id] for job_id, at in seen]
    return Held(callers, late_s, lost, grown_kib, polls_s, cpu, reports_per_s)


def plans(job_ids: Sequence[str], callers: int) -> list[Sequence[str]]:
    """Returns the jobs of each caller: several in turn where callers are few, so that enough ends are seen."""
    in_turn = max(1, min(MOST_IN_TURN, len(job_ids) // max(1, callers)))
    step = len(job_ids) // in_turn
    return [job_ids[number % step :: step] for number in range(callers)]


def poll(served: Served, requests: Sequence[str], seconds: float) -> tuple[list[float], float]:
    """Poll at a steady rate, one request at a time. Returns the latencies, and the CPU of the service in cores."""
    callers = cycle([Caller(("127.0.0.1", served.port)) for _ in range(CONNECTIONS)])
    latencies: list[float] = []
    cpu_s, started = served.cpu_s(), time.monotonic()
    for number, request in enumerate(islice(cycle(requests), int(seconds * POLLS_PER_S))):
        time.sleep(max(0.0, started + number / POLLS_PER_S - time.monotonic()))
        caller = next(callers)
        caller.ask(request.encode())
        while (latency := caller.receive(b"200")) is None:
            pass
        latencies.append(latency)
    return latencies, (served.cpu_s() - cpu_s) / (time.monotonic() - started)


def seen_by(waiting: Pipe) -> tuple[list[tuple[str, float]], int]:
    """Returns what the callers saw. Callers without an answer seconds after the last end are given up."""
    if not waiting.poll(5):
        waiting.send(None)
    seen: tuple[list[tuple[str, float]], int] = waiting.recv()
    return seen


@contextmanager
def process(target: Callable[..., None], *arguments: object) -> Iterator[Pipe]:
    """Yields a pipe to a process that runs `target`."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=target, args=(theirs, *arguments), daemon=True)
    process.start()
    theirs.close()  # so that our end is closed if the process dies
    try:
        yield ours
    finally:
        process.kill()
        process.join()


def ms(seconds: list[float], percent: int) -> float | None:
    return 1000 * percentile(seconds, percent) if seconds else None
