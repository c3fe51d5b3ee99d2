"""The worker of examples/node: real processes that are killed, stopped, held up, paused, and taken over from."""

import csv
import json
import re
import shutil
import signal
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest

from batchstatus import Job, JobStore
from tests.conftest import ORG
from tests.integration.test_sidecar import Sidecar
from tests.support.programs import Program, programs
from tests.support.programs import finished as ended
from tests.support.service import LiveService
from tests.support.waiting import wait_until

EXAMPLES = Path(__file__).parents[2] / "examples"
FOLDER, SAMPLE = EXAMPLES / "node", EXAMPLES / "samples" / "transactions.csv"
ROWS, BAD = 240, 24
FAST, SLOW = ("--lease", "1"), ("--lease", "1", "--rate", "200")
Start = Callable[..., Program]

pytestmark = pytest.mark.skipif(not shutil.which("node"), reason="node is missing")

BUSY = """
import { isMainThread } from 'node:worker_threads'
import { existsSync, rmSync } from 'node:fs'
const [asked, seen] = [process.env.BUSY_WHILE, process.env.BUSY_WHILE + '.seen']
function look() {
  if (!existsSync(asked)) return
  rmSync(seen, { force: true })
  while (existsSync(asked));
}
if (isMainThread) setInterval(look, 10).unref()
"""
"""Holds up the event loop of the importer while a file exists; removes another one when it begins to."""


@pytest.fixture
def key(real_store: JobStore) -> str:
    made, _ = real_store.api_keys.create(ORG, ["transactions:create", "jobs:run"])
    return made


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A CSV of 240 rows, each tenth with an amount that is none; with quotes, commas and line ends in cells."""
    made = tmp_path / "transactions.csv"
    rows = (f'T-{number},{number if number % 10 else "x"},"a ""b"", c\n{number}"\r\n' for number in range(ROWS))
    made.write_text("\ufeffexternalId,amount,note\r\n" + "".join(rows), newline="")
    return made


@pytest.fixture
def start(live: LiveService, key: str, file: Path, tmp_path: Path) -> Iterator[Start]:
    """Starts the importer of the file for the job `november`."""
    with programs() as begin:

        def begun(
            *options: str, url: str = live.url, node: tuple[str, ...] = (), source: Path = file, **given: str
        ) -> Program:
            out = str(tmp_path / "imported.jsonl")
            command = ["node", *node, str(FOLDER / "import.mjs"), str(source), "--job", "november", "--out", out]
            variables = {"BATCHSTATUS_URL": url, "BATCHSTATUS_API_KEY": key, **given}
            return begin([*command, "--batch", "20", *options], variables)

        yield begun


finished = partial(ended, within_s=90)


def at_work(store: JobStore, rows: int = 1) -> Job:
    """Returns the job once so many rows of it are done."""

    def job() -> Job | None:
        found = store.get_many(ORG, ["november"]).get("november")
        return found if found and found.done >= rows else None

    found = wait_until(job)
    assert found
    return found


def assert_exact(store: JobStore, tmp_path: Path) -> None:
    """Assert that the job has completed, that each row counts once, and that each good one is imported."""
    outcome = store.outcome(ORG, "november")
    job = outcome.job
    assert (job.status, job.succeeded, job.failed, job.total_items) == ("completed", ROWS - BAD, BAD, ROWS)
    assert [row["externalId"] for row in outcome.failures] == [f"T-{number}" for number in range(0, ROWS, 10)]
    assert outcome.failures[0]["message"] == 'amount "x" is no number'
    imported = [json.loads(line) for line in (tmp_path / "imported.jsonl").read_text().splitlines()]
    good = [number for number in range(ROWS) if number % 10]
    assert {row["externalId"]: row["note"] for row in imported} == {f"T-{n}": f'a "b", c\n{n}' for n in good}


def import_in_python(store: JobStore, imported: Path) -> int:
    """Take the job over, import 35 rows, the last 5 without a checkpoint, and give it back. Returns the start."""
    with suppress(SystemExit), imported.open("a") as out, store.run(ORG, "november", wait_s=60) as run:
        at: int = run.checkpoint
        for number in range(at, at + 35):
            checkpoint = number + 1 if number < at + 30 else None
            if number % 10:
                out.write(json.dumps({"externalId": f"T-{number}", "note": f'a "b", c\n{number}'}) + "\n")
                run.succeeded(checkpoint=checkpoint)
            else:
                row = {"externalId": f"T-{number}", "code": "VALIDATION_ERROR"}
                run.failed({**row, "message": 'amount "x" is no number'}, checkpoint=checkpoint)
        raise SystemExit
    return at


def test_it_imports_a_csv_over_tcp(start: Start, real_store: JobStore, tmp_path: Path) -> None:
    assert finished(start(*FAST)) == (0, "november completed: 216 succeeded, 24 failed\n", "")
    assert_exact(real_store, tmp_path)


def test_it_imports_the_sample_of_the_other_importers(start: Start, real_store: JobStore, tmp_path: Path) -> None:
    with SAMPLE.open(encoding="utf-8-sig", newline="") as lines:
        rows = [*csv.DictReader(lines)]
    bad = [row["external_id"] for row in rows if not re.fullmatch(r"-?\d+(\.\d+)?", row["amount"])]
    assert bad
    code, _, errors = finished(start("--batch", "500", source=SAMPLE))
    assert (code, errors) == (0, "")
    outcome = real_store.outcome(ORG, "november")
    assert (outcome.job.succeeded, outcome.job.failed) == (len(rows) - len(bad), len(bad))
    assert [row["externalId"] for row in outcome.failures] == bad
    imported = (tmp_path / "imported.jsonl").read_text().splitlines()
    assert len(imported) == outcome.job.succeeded


def test_a_file_with_other_columns_fails_the_job_and_names_them(
    start: Start, real_store: JobStore, file: Path
) -> None:
    file.write_text("id,amount\nT-1,x\n")
    assert finished(start(*FAST))[0] == 1
    job = real_store.get(ORG, "november")
    assert job.status == "failed"
    assert "needs the columns external_id (or externalId) and amount; it has id,amount" in (job.worker_error or "")


def test_it_imports_a_csv_over_the_unix_socket_of_a_sidecar(
    start: Start, redis_url: str, real_store: JobStore, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("s") / "x.sock"
    with Sidecar(redis_url, path):
        code, _, errors = finished(start(*FAST, url=f"unix:{path}"))
    assert (code, errors) == (0, "")
    assert_exact(real_store, tmp_path)


def test_killed_it_is_taken_over_by_python_and_takes_over_from_python(
    start: Start, real_store: JobStore, tmp_path: Path
) -> None:
    first = start(*SLOW)
    at_work(real_store, 40)
    first.kill()
    at = import_in_python(real_store, tmp_path / "imported.jsonl")
    assert at % 20 == 0
    second = start(*SLOW)
    at_work(real_store, at + 70)
    second.kill()
    assert finished(start(*FAST))[0] == 0
    assert_exact(real_store, tmp_path)


def test_a_busy_event_loop_does_not_stop_its_heartbeats(
    start: Start, real_store: JobStore, tmp_path: Path
) -> None:
    preloaded, busy, seen = tmp_path / "busy.mjs", tmp_path / "busy", tmp_path / "busy.seen"
    preloaded.write_text(BUSY)
    seen.touch()
    worker = start(*SLOW, node=("--import", str(preloaded)), BUSY_WHILE=str(busy))
    at_work(real_store)
    busy.touch()
    wait_until(lambda: not seen.exists())
    since = real_store.get(ORG, "november")

    def later() -> Job | None:
        job = real_store.get(ORG, "november")
        assert job.heartbeat_at
        assert since.heartbeat_at
        return job if (job.heartbeat_at - since.heartbeat_at).total_seconds() > 3 else None

    job = wait_until(later)
    assert job
    assert job.status == "running"
    assert "batchAwaitingWorker" not in job.metadata
    assert job.done <= since.done + 20  # one report may have been on its way
    busy.unlink()
    assert finished(worker)[0] == 0
    assert real_store.get(ORG, "november").succeeded == ROWS - BAD


def test_it_obeys_a_pause_and_a_cancel(start: Start, real_store: JobStore) -> None:
    worker = start(*SLOW)
    at_work(real_store)
    real_store.control(ORG, "november", "pause")
    wait_until(lambda: real_store.get(ORG, "november").metadata.get("batchPaused"))
    done = real_store.get(ORG, "november").done
    real_store.control(ORG, "november", "resume")
    assert at_work(real_store, done + 1).metadata.get("batchPaused") is None
    real_store.control(ORG, "november", "cancel")
    code, out, _ = finished(worker)
    job = real_store.get(ORG, "november")
    assert (code, job.status) == (1, "cancelled")
    assert out.startswith("november cancelled: ")
    assert job.done < ROWS


def test_told_to_terminate_it_gives_the_job_back_at_once(
    start: Start, real_store: JobStore, tmp_path: Path
) -> None:
    worker = start("--rate", "200")
    at_work(real_store)
    worker.send_signal(signal.SIGTERM)
    code, out, _ = finished(worker)
    job = real_store.get(ORG, "november")
    assert (code, out) == (1, f"november running: {job.succeeded} succeeded, {job.failed} failed\n")
    assert job.metadata.get("batchAwaitingWorker")
    assert 0 < job.done < ROWS
    assert finished(start())[0] == 0
    assert_exact(real_store, tmp_path)


def test_it_stops_where_another_worker_has_taken_over(start: Start, real_store: JobStore) -> None:
    worker = start(*SLOW)
    at_work(real_store)
    worker.send_signal(signal.SIGSTOP)
    with real_store.run(ORG, "november", wait_s=60) as run:
        worker.send_signal(signal.SIGCONT)
        code, _, errors = finished(worker)
        run.check()
    assert code == 1
    assert errors.endswith("another worker has the job, or it has ended\n")
    assert real_store.get(ORG, "november").status == "completed"


def test_an_error_of_the_importer_fails_the_job(start: Start, real_store: JobStore, file: Path) -> None:
    file.unlink()
    assert finished(start(*FAST))[0] == 1
    job = real_store.get(ORG, "november")
    assert (job.status, job.job_failure and job.job_failure.code) == ("failed", "WORKER_ERROR")
    assert "ENOENT" in (job.worker_error or "")
