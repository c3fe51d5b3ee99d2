"""The demo's last scene: four processes import one file; one is killed, and another takes its part over."""

import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path

from rich.console import Console

from batchstatus.cli.demonstration.stage import ORG, Stage
from batchstatus.cli.terminal.progress import ProgressView
from batchstatus.cli.terminal.words import describe
from batchstatus.client import Client
from batchstatus.model.errors import ServiceError
from batchstatus.model.job import Job, Kind, Status

ROWS, BAD_EVERY = 200_000, 1_000
PARTS, VICTIM = 4, 3
FASTER = 4
"""How many times as fast as the other imports each process is, so that the large file does not take long."""
PROGRESS_S = 0.2
TAKEOVER_S = 60


def import_in_parts(stage: Stage, console: Console, rate: float) -> bool:
    """Import one file by four processes, and kill one. Returns True if counters and stored rows are the file's."""
    file = stage.directory / "payments.csv"
    cents = _write_file(file)
    each = FASTER * rate
    console.print(f"Each has a part of its {ROWS:,} rows, and does at most {each:,.0f} rows/s.")
    job = stage.store.create(
        ORG, Kind.TRANSACTION_BATCH, metadata={"fileName": file.name}, parts=PARTS, takeover_s=TAKEOVER_S
    )
    workers = [stage.start_part(file, job.job_id, part, rate=each) for part in range(1, PARTS + 1)]
    with ProgressView(console) as view, Client(stage.url, stage.api_key) as client:
        for now in client.watch(job.job_id, progress_s=PROGRESS_S):
            view.update(file.name, now)
            if now.done >= ROWS / 3:
                break
            if any(worker.poll() for worker in workers):
                raise ServiceError(f"an importer ended before the kill: {stage.log(f'import-{job.job_id}')}")
        else:
            raise ServiceError(f"the job was {now.status} before the kill, at {now.done:,} rows")
        console.print(_kill(stage, job, workers[VICTIM - 1]))
        heir = stage.start_part(file, job.job_id, VICTIM, rate=each, wait_s=TAKEOVER_S)
        console.print(f"The others go on. Process {heir.pid} takes part {VICTIM} over once its lease is out.")
        for now in client.watch(job.job_id, progress_s=PROGRESS_S):
            view.update(file.name, now)
    console.print(describe(now))
    return _is_right(stage, console, now, cents)


def _write_file(file: Path) -> int:
    """Write the rows, one in a thousand of them bad. Returns the sum of the good ones, in cents."""
    rows = [(number, number % BAD_EVERY == 0) for number in range(1, ROWS + 1)]
    lines = (f"P-{number:06},{'none' if bad else number}\n" for number, bad in rows)
    file.write_text("external_id,cents\n" + "".join(lines))
    return sum(number for number, bad in rows if not bad)


def _kill(stage: Stage, job: Job, worker: "subprocess.Popen[bytes]") -> str:
    """Kill the victim. Returns a line that says how far its part was."""
    worker.kill()
    worker.wait()
    part = stage.store.parts(ORG, job.job_id)[VICTIM - 1]
    done = part.succeeded + part.failed + part.skipped
    return f"kill -9 {worker.pid}: part {VICTIM} was at {done:,} of {part.total_items or 0:,} rows"


def _is_right(stage: Stage, console: Console, job: Job, cents: int) -> bool:
    """Compare counters and stored rows with the file. Returns True if they are its rows, each once."""
    with closing(sqlite3.connect(stage.database(job.job_id))) as database:
        rows, distinct, stored = database.execute(
            "SELECT count(*), count(DISTINCT external_id), sum(cents) FROM payments"
        ).fetchone()
    bad = ROWS // BAD_EVERY
    counted = (job.succeeded, job.failed, job.skipped) == (ROWS - bad, bad, 0)
    once = rows == distinct == ROWS - bad and stored == cents
    console.print(
        f"Its counters {'equal' if counted else 'DIFFER FROM'} the file's; "
        f"SQLite holds {rows:,} rows, {'each good one once' if once else 'WHICH IS WRONG'}."
    )
    return job.status is Status.COMPLETED and counted and once
