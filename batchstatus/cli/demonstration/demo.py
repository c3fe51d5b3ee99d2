"""`batchstatus demo`: real imports, watched over HTTP; workers are killed, and jobs and parts taken over."""

import json
import signal
import sqlite3
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import click
from rich.console import Console

from batchstatus.cli.demonstration.parts import import_in_parts
from batchstatus.cli.demonstration.stage import LEASE_S, ORG, Stage
from batchstatus.cli.terminal.progress import ProgressView
from batchstatus.cli.terminal.words import describe
from batchstatus.client import Client
from batchstatus.model.errors import ServiceError
from batchstatus.model.job import Job, Kind, Status

DEFAULT_RATE = 2_500
PROGRESS_S = 0.4
TAKEOVER_S = 60
OPEN_S = 20.0
FAILURES_SHOWN = 3

console = Console(highlight=False, soft_wrap=True)


@click.command()
@click.option("--keep", is_flag=True, help="Keep the service running until Ctrl-C.")
@click.option("--file", "file", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="Your own CSV.")
@click.option("--kind", type=click.Choice([kind.value for kind in Kind]), help="The kind of its rows.")
@click.option(
    "--rate",
    default=DEFAULT_RATE,
    show_default=True,
    help="Rows/s of each import, slow enough to watch; 0: no limit.",
)
@click.option("--tls", is_flag=True, help="Encrypt the way to the store; needs Debian's redis-server and openssl.")
def demo(keep: bool, file: Path | None, kind: str | None, rate: int, tls: bool) -> int:
    """Import three sample files at once on an embedded Valkey, and a large one by many workers; kill three."""
    if (file is None) != (kind is None):
        raise click.UsageError("--file and --kind go together")
    signal.signal(signal.SIGTERM, lambda *_: (_ for _ in ()).throw(SystemExit(143)))
    with Stage(tls=tls) as stage:
        server = "Redis, over TLS," if tls else "Valkey"
        console.print(f"{server} at {stage.redis_url}, the service at {stage.url}, both on this machine only.")
        pace = f"at most {rate:,} rows/s each (--rate {rate})" if rate else "as fast as it goes (--rate 0)"
        console.print(f"Imports run {pace}.")
        console.print(f"\nWatch them in a browser: [bold]{stage.link}[/]")
        if console.is_terminal:
            _wait_for_browser(stage)
        if file is not None and kind is not None:
            good = _import_own_file(stage, file.resolve(), Kind(kind), rate)
        else:
            good = _tell_story(stage, rate)
        if keep:
            _keep(stage)
        else:
            console.print("\nWith --keep the service stays up: the page and the curl commands above work.")
    return 0 if good else 1


def _wait_for_browser(stage: Stage) -> None:
    """Give whoever looks at the terminal the time to open the page, before the imports are over."""
    with console.status(f"The imports begin once you have opened it, or in {OPEN_S:.0f} s."):
        deadline = time.monotonic() + OPEN_S
        while not stage.is_watched() and time.monotonic() < deadline:
            time.sleep(0.2)


def _tell_story(stage: Stage, rate: int) -> bool:
    """Run the four scenes of the demo. Returns True if every job ended as expected."""
    _title("1. Three imports at once, polled over HTTP")
    undisturbed = _import_all(stage, {kind: stage.sample(kind) for kind in Kind}, rate)
    for job in undisturbed.values():
        _show_result(stage, job)
    _title("2. A worker is killed half-way with kill -9")
    interrupted = _kill_one(stage, rate)
    _title("3. A worker is killed half-way, and another takes the job over")
    taken_over = _kill_and_take_over(stage, rate, undisturbed[Kind.TRANSACTION_BATCH])
    _title("4. Four processes import one file; one is killed, and its part taken over")
    summed = import_in_parts(stage, console, rate or DEFAULT_RATE)
    ended = all(job.status is Status.COMPLETED for job in undisturbed.values())
    return ended and interrupted and taken_over and summed


def _import_own_file(stage: Stage, file: Path, kind: Kind, rate: int) -> bool:
    """Import the user's file. Returns True if the job completed."""
    _title(f"Importing {file.name}")
    (job,) = _import_all(stage, {kind: file}, rate, entities=False).values()
    _show_result(stage, job)
    return job.status is Status.COMPLETED


def _import_all(stage: Stage, files: dict[Kind, Path], rate: int, *, entities: bool = True) -> dict[Kind, Job]:
    """Import each file in its own process. Returns the ended jobs."""
    jobs = {kind: stage.store.create(ORG, kind, metadata={"fileName": file.name}) for kind, file in files.items()}
    for kind, job in jobs.items():
        stage.start_import(kind, files[kind], job.job_id, rate=rate, entities=entities)
    with ProgressView(console) as view, ThreadPoolExecutor(len(jobs)) as threads:
        over = threading.Event()
        watching = {kind: threads.submit(_watch, stage, view, job, over) for kind, job in jobs.items()}
        try:
            return {kind: each.result() for kind, each in watching.items()}
        finally:
            over.set()  # Ctrl-C stops the demo without waiting for the imports


def _watch(stage: Stage, view: ProgressView, job: Job, over: threading.Event | None = None) -> Job:
    label = job.metadata["fileName"]
    with Client(stage.url, stage.api_key) as client:
        for now in client.watch(job.job_id, progress_s=PROGRESS_S):
            if over and over.is_set():
                break
            view.update(label, now)
    return now


def _kill_one(stage: Stage, rate: int) -> bool:
    """Kill a worker half-way. Returns True if its job reads `interrupted` in the end."""
    job, worker = _start_one(stage, rate, takeover_s=0)
    with ProgressView(console) as view:
        _kill_half_way(stage, view, job, worker)
        killed_at = time.monotonic()
        end = _watch(stage, view, job)
    console.print(
        f"{describe(end)}\nIt read interrupted {time.monotonic() - killed_at:.1f} s after the kill: "
        f"the lease of {LEASE_S:g} s expired, and two looks found no sign of life."
    )
    return end.status is Status.INTERRUPTED


def _kill_and_take_over(stage: Stage, rate: int, undisturbed: Job) -> bool:
    """Kill a worker half-way and start another. Returns True if counters and rows equal those of `undisturbed`."""
    job, worker = _start_one(stage, rate, takeover_s=TAKEOVER_S)
    with ProgressView(console) as view:
        _kill_half_way(stage, view, job, worker)
        kind = Kind.TRANSACTION_BATCH
        stage.start_import(kind, stage.sample(kind), job.job_id, rate=rate, wait_s=TAKEOVER_S)
        end = _watch(stage, view, job)
    console.print(describe(end))
    with closing(sqlite3.connect(stage.database(job.job_id))) as database:
        rows, distinct = database.execute(
            "SELECT count(*), count(DISTINCT external_id) FROM transactions"
        ).fetchone()
    same = _counters(end) == _counters(undisturbed)
    console.print(
        f"Its counters {'equal' if same else 'DIFFER FROM'} those of the undisturbed import; "
        f"SQLite holds {rows:,} rows, {distinct:,} distinct, for {end.succeeded:,} succeeded."
    )
    return end.status is Status.COMPLETED and same and rows == distinct == end.succeeded


def _start_one(stage: Stage, rate: int, *, takeover_s: float) -> tuple[Job, "subprocess.Popen[bytes]"]:
    file = stage.sample(Kind.TRANSACTION_BATCH)
    metadata = {"fileName": file.name}
    job = stage.store.create(ORG, Kind.TRANSACTION_BATCH, metadata=metadata, takeover_s=takeover_s)
    return job, stage.start_import(Kind.TRANSACTION_BATCH, file, job.job_id, rate=rate or DEFAULT_RATE)


def _kill_half_way(stage: Stage, view: ProgressView, job: Job, worker: "subprocess.Popen[bytes]") -> None:
    with Client(stage.url, stage.api_key) as client:
        for now in client.watch(job.job_id, progress_s=0.1):
            view.update(job.metadata["fileName"], now)
            if now.total_items and now.done >= now.total_items / 2:
                break
            if worker.poll() is not None:
                raise ServiceError(f"the importer ended before the kill: {stage.log(f'import-{job.job_id}')}")
        else:
            raise ServiceError(f"the job was {now.status} before the kill, at {now.done:,} rows")
    worker.kill()
    worker.wait()
    console.print(f"kill -9 {worker.pid} at {now.done:,} of {now.total_items:,} rows")


def _counters(job: Job) -> tuple[int, int, int]:
    return job.succeeded, job.failed, job.skipped


def _show_result(stage: Stage, job: Job) -> None:
    with Client(stage.url, stage.api_key) as client:
        console.print(f"\n[bold]{job.metadata['fileName']}[/]")
        console.print(json.dumps(client.wire(job.job_id), indent=2, ensure_ascii=False), markup=False)
        failures = client.failures(job.job_id)
    if failures["failures"]:
        console.print(f"The first of {failures['failuresTotal']:,} failed rows:")
    for row in failures["failures"][:FAILURES_SHOWN]:
        console.print(f"  {json.dumps(row, ensure_ascii=False)}", markup=False)
    console.print(_curl(stage, job.job_id), style="dim", markup=False)
    if job.status is not Status.COMPLETED:
        console.print(stage.log(f"import-{job.job_id}"), style="red", markup=False)


def _curl(stage: Stage, job_id: str) -> str:
    return f"curl -H 'Authorization: Bearer {stage.api_key}' {stage.url}/batch-import/jobs/{job_id}"


def _keep(stage: Stage) -> None:
    console.print(f"\nThe service stays up until Ctrl-C; the curl commands above work, and the page: {stage.link}")
    try:
        signal.pause()
    except KeyboardInterrupt:
        console.print("Stopping.")


def _title(text: str) -> None:
    console.print(f"\n[bold underline]{text}[/]")
