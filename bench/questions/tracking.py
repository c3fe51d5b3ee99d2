"""What tracking adds to an import, and the load of a running job on the store.

CPU: the demo's import of transactions, by the demo's code, with the SDK and with a stand-in that counts nothing.
Each import is a process of its own (`import_once.py`); CPU is user and system time of all its threads, without the
start-up. The two take turns; the added time is the median of the differences within the pairs, and the middle half
of the differences tells how certain the median is. Further imports count the time spent in the calls of the SDK
and in its thread, which differs little from run to run. A file ten times as long, by the same generator, separates
the cost of a run (connection, claim, end) from the cost of its rows.

Reports: one job at full speed without failed rows, counted by the store's server.
"""

import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median, quantiles

from bench.report.figures import Answer, Table
from bench.tools.counting import Done, ServerCount
from bench.tools.setting import EXAMPLES, KIND, ORG, TOOLS, Setting

ROWS = 20_000


def measure(setting: Setting) -> Iterator[Answer]:
    """Yields two tables."""
    with tempfile.TemporaryDirectory() as directory:
        make = [sys.executable, EXAMPLES / "make_samples.py", "--out", directory, "--transactions", str(10 * ROWS)]
        subprocess.run(make, check=True)
        rows = [
            ("the demo's", *_compared(setting, EXAMPLES / "samples", ROWS, setting.scaled(21, 3))),
            ("ten times as long", *_compared(setting, Path(directory), 10 * ROWS, setting.scaled(7, 2))),
        ]
    columns = {"file": "", "rows": ",.0f", "pairs": ".0f", "without, CPU ms": ",.0f"}
    columns |= {"added %": ".1f", "half of the pairs, %": "", "in the SDK, CPU ms": ".1f", "in the SDK, %": ".1f"}
    columns |= {"µs a row": ".2f"}
    yield Table("CPU time of an import of transactions", columns, rows)
    seconds = setting.scaled(10, 3)
    done = _reports(setting, seconds)
    inner = done.commands.total() - done.scripts
    figures = [(f"{seconds} s at full speed, no failures", done.scripts / seconds, inner / done.scripts)]
    columns = {"running job": "", "reports/s": ".1f", "commands in each": ".1f"}
    yield Table("Reports of a running job, and the commands that the script of each runs", columns, figures)


def _compared(setting: Setting, samples: Path, rows: int, pairs: int) -> tuple[float | str, ...]:
    """Import a file `pairs` times without the SDK, with it, and with its calls measured."""
    kinds = ("untracked", "tracked", "watched")
    times = [[1000 * _import(setting, samples, kind) for kind in kinds] for _ in range(pairs)]
    without, _, inside = map(median, zip(*times, strict=True))
    low, added, high = (100 * each / without for each in quantiles(tracked - plain for plain, tracked, _ in times))
    half = f"{low:.1f} to {high:.1f}"
    return rows, pairs, without, added, half, inside, 100 * inside / without, 1000 * inside / rows


def _import(setting: Setting, samples: Path, which: str) -> float:
    """Import the transactions of a directory into an empty database. Returns the CPU seconds."""
    job_id = setting.store.create(ORG, KIND).job_id
    with tempfile.TemporaryDirectory() as directory:
        options = {
            "--org": ORG,
            "--job": job_id,
            "--database": f"{directory}/imported.sqlite",
            "--redis-url": setting.url,
            "--entities": str(samples / "entities.csv"),
        }
        script = [sys.executable, str(TOOLS / "import_once.py"), which]
        command = [
            *script,
            str(samples / "transactions.csv"),
            *(word for pair in options.items() for word in pair),
        ]
        printed = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True).stdout
    return float(printed.splitlines()[-1])


def _reports(setting: Setting, seconds: float) -> Done:
    """Returns the server's work while a job counts rows at full speed."""
    with setting.store.run(ORG, setting.store.create(ORG, KIND).job_id) as run:
        _count_rows(run, 0.5)
        count = ServerCount(setting.url)
        _count_rows(run, seconds)
        return count.done()


def _count_rows(run, seconds: float) -> None:
    until, number = time.monotonic() + seconds, 0
    while time.monotonic() < until:
        for _ in range(1_000):
            number += 1
            run.succeeded(checkpoint=number)
