"""Many workers on one job: the rows of 1 to 16 processes a second, and what the report of a part costs the server.

Rows: each process runs a part, and counts its share of the rows as fast as it can, a checkpoint for each row;
beside them one process runs a job that is not split. The time is that from the start of all to the end of the
last part, its last report included. More processes than cores are no faster. Figures are medians of the rounds.

Reports: ten succeeded rows and a checkpoint in each, by the SDK's own calls from one thread: for a job, and in
turn for the parts of split jobs, all of which have a worker. Script is the time that the server took to run it,
CPU the user and system time of its process. In every round the jobs take turns; figures are medians of the rounds.
"""

import secrets
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import ExitStack
from multiprocessing.connection import Connection as Pipe
from statistics import median
from typing import NamedTuple

import redis

from batchstatus import connect
from batchstatus.model.messages import Batch
from bench.questions.waiting import process
from bench.report.figures import Answer, Table
from bench.tools.setting import KIND, ORG, Setting

WHOLE = "a job that is not split"


def measure(setting: Setting) -> Iterator[Answer]:
    """Yields two tables."""
    rows, rounds = setting.scaled((1_600_000, 3), (400_000, 1))
    rates: dict[str, list[float]] = defaultdict(list)
    for _ in range(rounds):
        rates[f"1, {WHOLE}"].append(_rate(setting, 1, rows, split=False))
        for many in (1, 2, 4, 8, 16):
            rates[f"{many}"].append(_rate(setting, many, rows, split=True))
    one = median(next(iter(rates.values())))
    shown = [(name, median(found), median(found) / one) for name, found in rates.items()]
    yield Table("Rows of one job a second", {"processes": "", "rows/s": ",.0f", "to the first": ".2f"}, shown)
    yield _costs(setting)


def count(pipe: Pipe, url: str, job_id: str, part: int | None, rows: int) -> None:
    """The body of a process: claim, wait for the start, count the rows, and send when the part has ended."""
    with connect(url).run(ORG, job_id, part=part) as run:
        pipe.send(None)
        pipe.recv()
        for number in range(1, rows + 1):
            run.succeeded(checkpoint=number)
    pipe.send(time.monotonic())


def _rate(setting: Setting, many: int, rows: int, *, split: bool) -> float:
    """Returns the rows per second of so many processes on one job. One process leaves a second part undone."""
    job_id = setting.store.create(ORG, KIND, parts=max(2, many) if split else None).job_id
    with ExitStack() as running:
        given = [(job_id, number if split else None, rows // many) for number in range(1, many + 1)]
        pipes = [running.enter_context(process(count, setting.url, *each)) for each in given]
        for pipe in pipes:
            pipe.recv()
        started = time.monotonic()
        for pipe in pipes:
            pipe.send(None)
        ended = max(pipe.recv() for pipe in pipes)
    assert setting.store.get(ORG, job_id).succeeded == rows
    return rows / (ended - started)


class Used(NamedTuple):
    """What the server spent: time in scripts, CPU time, and commands that scripts ran."""

    script_us: float
    cpu_us: float
    commands: float


class _Reporters:
    """The worker of a job, or those of all parts of a split one. They report in turn."""

    def __init__(self, setting: Setting, parts: int | None) -> None:
        job_id = setting.store.create(ORG, KIND, parts=parts).job_id
        numbers = [None] if parts is None else range(1, parts + 1)
        self._steps = [setting.store.steps(ORG, job_id, number) for number in numbers]
        self._claims = [steps.claim(secrets.token_hex(8)) for steps in self._steps]
        self._server, self._sent = redis.Redis.from_url(setting.url), 0
        self.report(1)  # so that the server has loaded the script

    def report(self, reports: int) -> None:
        """Send so many reports, of one worker after the other."""
        for _ in range(reports):
            before, turn = divmod(self._sent, len(self._steps))
            seq = before + 1
            self._steps[turn].report(self._claims[turn], seq, Batch(10, checkpoint=10 * seq), paused=False)
            self._sent += 1

    def used(self, reports: int) -> Used:
        """Send so many reports. Returns what each has cost."""
        before = self._spent()
        self.report(reports)
        spent = zip(self._spent(), before, strict=True)
        return Used(*((now - then) / reports for now, then in spent))

    def _spent(self) -> Used:
        """Returns what the server has spent so far."""
        info = self._server.info("commandstats", "cpu")
        calls = {name: stat["calls"] for name, stat in info.items() if name.startswith("cmdstat_")}
        inner = sum(calls.values()) - calls["cmdstat_evalsha"] - calls.get("cmdstat_info", 0)
        cpu_us = 1e6 * (info["used_cpu_user"] + info["used_cpu_sys"])
        return Used(info["cmdstat_evalsha"]["usec"], cpu_us, inner)


def _costs(setting: Setting) -> Table:
    """Returns the table of what reports cost."""
    reports, rounds = setting.scaled((5_000, 9), (1_000, 3))
    jobs = {"a job": _Reporters(setting, None)}
    jobs |= {f"a part of {parts:,}": _Reporters(setting, parts) for parts in (2, 16, 1_000)}
    used: dict[str, list[Used]] = defaultdict(list)
    for _ in range(rounds):
        for name, each in jobs.items():
            used[name].append(each.used(reports))
    found = {name: Used(*map(median, zip(*each, strict=True))) for name, each in used.items()}
    whole = next(iter(found.values()))
    shown = [
        (name, *each[:2], each.script_us / whole.script_us, each.cpu_us / whole.cpu_us, each.commands)
        for name, each in found.items()
    ]
    columns = {"a report of": "", "script µs": ".1f", "CPU µs": ".1f"}
    columns |= {"script, to a job's": ".2f", "CPU, to a job's": ".2f", "commands in each": ".1f"}
    return Table("What one report costs the store's server", columns, shown)
