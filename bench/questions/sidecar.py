"""Workers that speak HTTP: the reports through one process of the service, and what a Node import pays for them.

Reports: connections that are kept open, one job and one report in flight on each, ten succeeded rows and a
checkpoint in each report, to `batchstatus serve` with one process, over TCP and over a unix socket. Beside them
the same reports by the SDK's own calls, from one thread, without HTTP: the store itself.

Node: the import of examples/node with a report for each hundred rows, and the same import that reports nothing, in
turns; the time is that of the process from start to end, the fastest of each.
"""

import json
import secrets
import selectors
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from resource import RUSAGE_CHILDREN, getrusage
from typing import Any

from batchstatus.model.messages import Batch
from bench.report.figures import Answer, Table
from bench.tools.load import Caller
from bench.tools.processes import Served
from bench.tools.setting import EXAMPLES, KIND, ORG, TOOLS, Setting


def measure(setting: Setting) -> Iterator[Answer]:
    """Yields two tables; the second only where node is."""
    seconds = setting.scaled(5.0, 1.0)
    key, _ = setting.store.api_keys.create(ORG, ["transactions:create", "jobs:run"])
    options = {"BATCHSTATUS_WORKERS": "1", "BATCHSTATUS_LOG_LEVEL": "warning"}
    with setting.serve(**options) as served, _on_a_socket(setting, options) as local:
        direct = _direct(setting, seconds)
        rates = {
            "the store, one thread": direct,
            **{f"HTTP, {many} connections": _through(setting, served, key, many, seconds) for many in (1, 8, 32)},
            "HTTP over a unix socket, 8 connections": _through(setting, local, key, 8, seconds),
        }
        shown = [(name, rate, rate / direct) for name, rate in rates.items()]
        yield Table(
            "Reports through one process", {"how": "", "reports/s": ",.0f", "of the store's": ".2f"}, shown
        )
        if shutil.which("node"):
            yield _node(setting, served, key)


@contextmanager
def _on_a_socket(setting: Setting, options: dict[str, str]) -> Iterator[Served]:
    """Yields a server like the other one, on a unix socket."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory, "batchstatus.sock")
        with setting.serve(**options, BATCHSTATUS_BIND=f"unix:{path}") as served:
            yield served


def _direct(setting: Setting, seconds: float) -> float:
    """Returns the reports per second of a job by the SDK's own calls."""
    steps = setting.store.steps(ORG, setting.store.create(ORG, KIND).job_id)
    claim, seq, started = steps.claim(secrets.token_hex(8)), 0, time.perf_counter()
    while time.perf_counter() - started < seconds:
        seq += 1
        steps.report(claim, seq, Batch(10, checkpoint=seq), paused=False)
    return seq / (time.perf_counter() - started)


class _Job:
    """A job that is run over HTTP, and the number of its last report."""

    def __init__(self, setting: Setting, key: str, caller: Caller) -> None:
        self.caller, self.seq, self._key = caller, 0, key
        job_id = setting.store.create(ORG, KIND).job_id
        caller.ask(self._request(f"{job_id}/runs", {"token": secrets.token_hex(16)}))
        while caller.receive(b"201") is None:
            pass
        run_id = json.loads(caller._answer.partition(b"\r\n\r\n")[2])["run"]["runId"]
        self._path = f"{job_id}/runs/{run_id}/reports"

    def report(self) -> None:
        """Send the next report."""
        self.seq += 1
        self.caller.ask(self._request(self._path, {"seq": self.seq, "succeeded": 10, "checkpoint": self.seq}))

    def _request(self, path: str, body: dict[str, Any]) -> bytes:
        text = json.dumps(body)
        head = f"POST /batch-import/jobs/{path} HTTP/1.1\r\nHost: bench\r\nAuthorization: Bearer {self._key}\r\n"
        return f"{head}Content-Type: application/json\r\nContent-Length: {len(text)}\r\n\r\n{text}".encode()


def _through(setting: Setting, served: Served, key: str, many: int, seconds: float) -> float:
    """Returns the reports per second of so many jobs over HTTP, together."""
    jobs = [_Job(setting, key, Caller(served.address)) for _ in range(many)]
    done, started = 0, time.perf_counter()
    with selectors.DefaultSelector() as selector:
        for job in jobs:
            selector.register(job.caller.socket, selectors.EVENT_READ, job)
            job.report()
        while time.perf_counter() - started < seconds:
            for ready, _ in selector.select():
                if ready.data.caller.receive(b"200") is not None:
                    done += 1
                    ready.data.report()
    rate = done / (time.perf_counter() - started)
    for job in jobs:
        job.caller.socket.close()
    return rate


def _node(setting: Setting, served: Served, key: str) -> Table:
    """Returns the table of imports by Node, with reports and without."""
    rows, rounds = setting.scaled((200_000, 7), (20_000, 2))
    found: dict[str, list[tuple[float, float]]] = {"without reports": [], "with a report each 100 rows": []}
    with tempfile.TemporaryDirectory() as directory:
        file, out = Path(directory, "rows.csv"), Path(directory, "out.jsonl")
        file.write_text("externalId,amount\n" + "".join(f"T-{number},{number}.50\n" for number in range(rows)))
        given = {"BATCHSTATUS_URL": f"http://127.0.0.1:{served.port}", "BATCHSTATUS_API_KEY": key}
        for number in range(rounds):
            plain = [str(TOOLS / "import_plainly.mjs"), str(file), str(out)]
            found["without reports"].append(_timed(["node", *plain], {}))
            tracked = [
                str(EXAMPLES / "node" / "import.mjs"),
                str(file),
                "--job",
                f"node-{number}",
                "--out",
                str(out),
            ]
            found["with a report each 100 rows"].append(_timed(["node", *tracked], given))
    best = {name: [min(each) for each in zip(*times, strict=True)] for name, times in found.items()}
    plain_s = best["without reports"]
    shown = [(name, rows, wall, cpu, wall / plain_s[0], cpu / plain_s[1]) for name, (wall, cpu) in best.items()]
    columns = {
        "import": "",
        "rows": ",.0f",
        "s": ".2f",
        "CPU s": ".2f",
        "times the s": ".2f",
        "times the CPU": ".2f",
    }
    return Table("An import by Node", columns, shown)


def _timed(command: list[str], environment: dict[str, str]) -> tuple[float, float]:
    """Run a command. Returns its seconds, and its CPU seconds."""
    before, started = getrusage(RUSAGE_CHILDREN), time.perf_counter()
    path = {"PATH": str(Path(shutil.which("node") or "node").parent)}
    subprocess.run(command, env={**path, **environment}, stdout=subprocess.DEVNULL, check=True)
    seconds, after = time.perf_counter() - started, getrusage(RUSAGE_CHILDREN)
    return seconds, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
