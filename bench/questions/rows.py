"""The loop that reports progress row by row: ours, RQ's and Celery's, in turns on one store.

Wall-clock time of the loop in a process that does nothing else. RQ and Celery send each row's progress to the
store, as they document it; ours counts in memory, and a thread reports five times a second.

The speed of RQ and Celery varies by a factor of two and more with the load of the machine. So they get their best
conditions: the cores are kept awake, and the fastest rounds are compared. The slowest round stands beside.
"""

import json
import subprocess
import time
from collections import defaultdict
from collections.abc import Iterator

from bench.report.figures import Answer, Table
from bench.tools.processes import awake
from bench.tools.setting import KIND, ORG, PEERS, Setting

_SCRIPTS = {"RQ, job.save_meta()": "rq_rows.py", "Celery, update_state()": "celery_rows.py"}


def measure(setting: Setting) -> Iterator[Answer]:
    """Yields one table."""
    rows, peer_rows = setting.scaled((1_000_000, 3_000), (200_000, 3_000))
    found: dict[str, list[float]] = defaultdict(list)
    with awake():
        for _ in range(setting.scaled(5, 3)):
            found["batchstatus, succeeded(checkpoint=n)"].append(_ours(setting, rows, with_checkpoint=True))
            found["batchstatus, succeeded()"].append(_ours(setting, rows, with_checkpoint=False))
            for name, script in _SCRIPTS.items():
                found[name].append(_theirs(setting, script, peer_rows))
    fastest = {name: max(rates) for name, rates in found.items()}
    ours = next(iter(fastest.values()))
    shown = [(name, rate, min(found[name]), 1e6 / rate, ours / rate) for name, rate in fastest.items()]
    columns = {"loop": "", "rows/s": ",.0f", "slowest": ",.0f", "µs a row": ",.2f", "to the first": ",.1f"}
    yield Table("Rows reported per second, one worker, the fastest round of each", columns, shown)


def _ours(setting: Setting, rows: int, *, with_checkpoint: bool) -> float:
    store = setting.store
    job = store.create(ORG, KIND, total_items=rows)
    with store.run(ORG, job.job_id) as run:
        started = time.perf_counter()
        if with_checkpoint:
            for number in range(1, rows + 1):
                run.succeeded(checkpoint=number)
        else:
            for _ in range(rows):
                run.succeeded()
        seconds = time.perf_counter() - started
    assert store.get(ORG, job.job_id).succeeded == rows
    return rows / seconds


def _theirs(setting: Setting, script: str, rows: int) -> float:
    command = [setting.peers_python, str(PEERS / script), setting.url, str(rows)]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True)
    rate: float = json.loads(done.stdout)["rows_per_s"]
    return rate
