"""What tracking adds to an import, and what a running job asks of the store.

CPU: the demo's import of transactions, by its own code, with the SDK and with a stand-in that counts nothing. Each
import is a process of its own (`import_once.py`); user and system time of all its threads, start-up aside. The two
take turns; what is added is the median of the differences within the pairs.

Reports: one job at full speed without failed rows, counted by the store's server.
"""

import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median, quantiles

from bench.counting import Done, ServerCount
from bench.figures import Answer, Table
from bench.setting import KIND, ORG, Setting

SAMPLES = Path(__file__).parents[1] / "examples" / "samples"
ROWS = 21_594


def measure(setting: Setting) -> Iterator[Answer]:
    """Two tables."""
    pairs = [(_import(setting, "untracked"), _import(setting, "tracked")) for _ in range(setting.scaled(21, 3))]
    without, with_it = (1000 * median(each) for each in zip(*pairs, strict=True))
    low, added, high = quantiles([1000 * (tracked - untracked) for untracked, tracked in pairs])
    rows = [
        ("counting nothing", without, None, None, None),
        ("with the SDK", with_it, *_added(added, without)),
        ("the middle half of the pairs, from", None, *_added(low, without)),
        ("to", None, *_added(high, without)),
    ]
    columns = {"import": "", "CPU ms": ",.0f", "added ms": ",.1f", "added %": ".1f", "added µs a row": ".2f"}
    yield Table(f"CPU time of an import of {ROWS:,} transactions, {len(pairs)} pairs", columns, rows)
    seconds = setting.scaled(10, 3)
    done = _reports(setting, seconds)
    inner = done.commands.total() - done.scripts
    figures = [(f"{seconds} s at full speed, no failures", done.scripts / seconds, inner / done.scripts)]
    columns = {"running job": "", "reports/s": ".1f", "commands in each": ".1f"}
    yield Table("Reports of a running job, and the commands that the script of each runs", columns, figures)


def _added(added_ms: float, without_ms: float) -> tuple[float, float, float]:
    """What is added to an import, in percent of it, and for each row in microseconds."""
    return added_ms, 100 * added_ms / without_ms, 1000 * added_ms / ROWS


def _import(setting: Setting, which: str) -> float:
    """Import the sample anew; the CPU seconds that it took."""
    job_id = setting.store.create(ORG, KIND).job_id
    with tempfile.TemporaryDirectory() as directory:
        options = {
            "--org": ORG,
            "--job": job_id,
            "--database": f"{directory}/imported.sqlite",
            "--redis-url": setting.url,
            "--entities": str(SAMPLES / "entities.csv"),
        }
        script = [sys.executable, str(Path(__file__).with_name("import_once.py")), which]
        command = [
            *script,
            str(SAMPLES / "transactions.csv"),
            *(word for pair in options.items() for word in pair),
        ]
        printed = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True).stdout
    return float(printed.splitlines()[-1])


def _reports(setting: Setting, seconds: float) -> Done:
    """Count rows as fast as it goes, and look at what the server does for it in the middle of that."""
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
