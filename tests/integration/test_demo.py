"""`batchstatus demo` as a real process: what it shows, its exit code, and that it leaves nothing running."""

import csv
import json
import os
import re
import signal
import subprocess
import sys
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast
from unittest.mock import MagicMock

import pytest

from batchstatus.cli.demonstration import demo as story
from batchstatus.cli.demonstration import parts
from batchstatus.cli.demonstration.stage import IMPORTERS
from batchstatus.client import ServiceError
from batchstatus.model.job import Job, Kind, Status
from batchstatus.settings import StoreSettings
from tests.support.tls import make_certificates, need_tls
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]

ENOUGH_S, BUSY_S = 120, 5
GRACE_S = StoreSettings().grace_s + BUSY_S
"""On a busy machine a live worker may be silent for longer than its lease of 2 s and the usual grace."""


class Demo:
    """A demo that runs, marked in its environment so that whatever it starts can be found."""

    def __init__(self, folder: Path, *options: str) -> None:
        self.mark = f"DEMO_UNDER_TEST={uuid.uuid4()}"
        self.temporary = folder / "temporary"
        self.temporary.mkdir()
        self.out, self.err = folder / "stdout", folder / "stderr"
        name, _, value = self.mark.partition("=")
        with self.out.open("wb") as out, self.err.open("wb") as err:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "batchstatus", "demo", *options],
                env={
                    **os.environ,
                    name: value,
                    "TMPDIR": str(self.temporary),
                    "BATCHSTATUS_GRACE_S": f"{GRACE_S:g}",
                },
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
            )

    def printed(self) -> str:
        return self.out.read_text()

    def running(self) -> list[str]:
        """The command lines of the processes that carry the mark."""
        found = []
        for process in Path("/proc").glob("[0-9]*"):
            try:
                marked = self.mark.encode() in (process / "environ").read_bytes().split(b"\0")
                words = (process / "cmdline").read_bytes().split(b"\0")
            except OSError:  # it has gone, or is not ours
                continue
            if marked and words != [b""]:
                found.append(b" ".join(words).decode())
        return found

    def ends_with(self, code: int) -> None:
        """It ends with this code, without a word of complaint, and leaves neither processes nor files."""
        assert self.process.wait(ENOUGH_S) == code
        assert self.err.read_text().strip() == ""
        wait_until(lambda: not self.running(), 10, "all that the demo has started has ended")
        assert list(self.temporary.iterdir()) == []

    def jobs(self) -> list[dict[str, Any]]:
        """The jobs that it has shown as JSON."""
        return [json.loads(body) for body in re.findall(r"(?ms)^\{\n.*?^\}$", self.printed())]


@pytest.fixture
def demo(tmp_path: Path) -> Iterator[Any]:
    """Starts a demo with these options; whatever happens, it has ended afterwards."""
    started: list[Demo] = []

    def start(*options: str) -> Demo:
        started.append(Demo(tmp_path, *options))
        return started[-1]

    yield start
    for each in started:
        each.process.terminate()
        try:
            each.process.wait(20)
        except subprocess.TimeoutExpired:
            each.process.kill()
            each.process.wait()


@pytest.fixture
def own_file(tmp_path: Path) -> Any:
    """Makes a small file of a kind: the first rows of its sample, as many as asked."""

    def made(kind: Kind, rows: int) -> Path:
        sample = Path(__file__).parents[2] / "examples" / "samples" / IMPORTERS[kind][1]
        file = tmp_path / "own.csv"
        with sample.open(newline="", encoding="utf-8-sig") as lines, file.open("w", newline="") as copy:
            reader = csv.reader(lines)
            csv.writer(copy).writerows(next(reader) for _ in range(rows + 1))
        return file

    return made


class Ended:
    """A client that is told of one job, which has ended."""

    def __init__(self, *_: object) -> None: ...
    def __enter__(self) -> "Ended":
        return self

    def __exit__(self, *_: object) -> None: ...
    def watch(self, *_: object, **__: object) -> Iterator[Job]:
        yield cast("Job", SimpleNamespace(status=Status.INTERRUPTED, done=6_500, total_items=20_000))


TELL: dict[str, Callable[[Any, Any], object]] = {
    "alone": lambda stage, worker: story._kill_half_way(stage, MagicMock(), MagicMock(), worker),
    "in parts": lambda stage, _: parts.import_in_parts(stage, MagicMock(), 1_000),
}


@pytest.mark.parametrize("tell", TELL.values(), ids=TELL.keys())
def test_no_kill_is_told_of_a_worker_that_had_lost_its_job_before(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, tell: Callable[[Any, Any], object]
) -> None:
    worker = MagicMock(**{"poll.return_value": None})
    stage = MagicMock(directory=tmp_path, **{"start_part.return_value": worker})
    for each in (story, parts):
        monkeypatch.setattr(each, "Client", Ended)
        monkeypatch.setattr(each, "ProgressView", MagicMock())
    with pytest.raises(ServiceError, match="the job was interrupted before the kill, at 6,500 rows"):
        tell(stage, worker)
    assert not worker.kill.called


def test_the_story_ends_well_and_leaves_nothing_behind(demo):
    told = demo()  # not at full speed, where an import may be over between two looks at it
    wait_until(lambda: len(told.running()) >= 5, 30, "the demo has started real processes")
    told.ends_with(0)
    first, killed, taken_over, in_parts = re.split(r"(?m)^\d\. .*$", told.printed())[1:]
    # three imports at once
    assert {(job["kind"], job["status"]) for job in told.jobs()} == {(kind, "completed") for kind in Kind}
    for job in told.jobs():
        assert job["succeeded"] + job["failed"] + job["skipped"] == job["totalItems"] >= 5_000
        assert re.search(rf"(?m)^{job['metadata']['fileName']}: running, ", first)
    # a worker that is killed
    done = re.search(r"(?m)^kill -9 \d+ at ([\d,]+) of 20,000 rows$", killed)
    interrupted = re.search(r"(?m)^\S+: interrupted, ([\d,]+) of 20,000 rows: ", killed)
    assert 10_000 <= int(done[1].replace(",", "")) <= int(interrupted[1].replace(",", "")) < 20_000
    (seconds,) = re.findall(r"It read interrupted ([\d.]+) s after the kill", killed)
    assert float(seconds) < 2 + 5 + BUSY_S + 3  # the lease, the contract's bound with that grace, polls
    # a worker that is killed, and another that takes over
    (transactions,) = [job for job in told.jobs() if job["kind"] == "transaction_batch"]
    assert re.search(r"(?m)^kill -9 \d+ at ", taken_over)
    counters = f"{transactions['succeeded']:,} succeeded, {transactions['failed']:,} failed, 0 skipped"
    assert re.search(rf"(?m)^\S+: completed, 20,000 of 20,000 rows: {counters}$", taken_over)
    assert "Its counters equal those of the undisturbed import" in taken_over
    stored = f"{transactions['succeeded']:,}"
    assert f"SQLite holds {stored} rows, {stored} distinct, for {stored} succeeded." in taken_over
    # four processes on one job, one of which is killed
    done, of = re.search(r"(?m)^kill -9 \d+: part 3 was at ([\d,]+) of ([\d,]+) rows$", in_parts).groups()
    assert 0 < int(done.replace(",", "")) < int(of.replace(",", ""))
    assert re.search(r"(?m)^The others go on. Process \d+ takes part 3 over once its lease is out.$", in_parts)
    counters = "completed, 200,000 of 200,000 rows: 199,800 succeeded, 200 failed, 0 skipped"
    assert re.search(rf"(?m)^\S+: {counters}$", in_parts)
    assert "Its counters equal the file's; SQLite holds 199,800 rows, each good one once.\n" in in_parts


def test_the_way_to_the_store_may_be_encrypted(demo, own_file, tmp_path):
    need_tls(make_certificates(tmp_path))
    kind = Kind.TRANSACTION_BATCH
    running = demo("--tls", "--file", str(own_file(kind, 100)), "--kind", kind, "--rate", "0")
    running.ends_with(0)
    assert "Redis, over TLS, at rediss://127.0.0.1:" in running.printed()
    assert running.jobs()[0]["status"] == "completed"


@pytest.mark.parametrize("kind", Kind)
def test_an_own_file_is_imported(demo, own_file, kind):
    told = demo("--file", str(own_file(kind, 40)), "--kind", kind, "--rate", "0")
    told.ends_with(0)
    (job,) = told.jobs()
    assert (job["kind"], job["status"], job["metadata"]) == (kind, "completed", {"fileName": "own.csv"})
    assert job["succeeded"] + job["failed"] + job["skipped"] == job["totalItems"] == 40
    assert job["succeeded"] > 30


def test_a_file_of_another_kind_fails_as_a_whole_and_so_does_the_demo(demo, own_file):
    told = demo("--file", str(own_file(Kind.ENTITY_AUTOMATIC, 5)), "--kind", "transaction_batch")
    told.ends_with(1)
    (job,) = told.jobs()
    assert (job["status"], job["succeeded"]) == ("failed", 0)
    assert job["jobFailure"]["code"]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 0), (signal.SIGTERM, 143)])
def test_a_kept_demo_serves_until_it_is_told_to_stop(demo, own_file, number, code):
    told = demo("--keep", "--file", str(own_file(Kind.USER_EVENT_BATCH, 40)), "--kind", "user_event_batch")
    wait_until(lambda: "The service stays up until Ctrl-C" in told.printed(), 60, "the import has ended")
    ticket = re.search(r"http://127.0.0.1:\d+/ui/#ticket=(bst_\S+)", told.printed())[1]
    key, url = re.search(r"curl -H 'Authorization: Bearer (\S+)' (\S+)", told.printed()).groups()
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {key}"})
    with urllib.request.urlopen(request, timeout=10) as answer:
        assert json.load(answer)["job"]["status"] == "completed"
    page = url.partition("/batch-import/")[0]
    with urllib.request.urlopen(f"{page}/ui/", timeout=10) as answer:
        assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
    request = urllib.request.Request(f"{page}/batch-import/jobs", headers={"Authorization": f"Bearer {ticket}"})
    with urllib.request.urlopen(request, timeout=10) as answer:
        assert [job["metadata"]["fileName"] for job in json.load(answer)["jobs"]] == ["own.csv"]
    told.process.send_signal(number)
    told.ends_with(code)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
def test_a_demo_that_is_stopped_in_the_middle_leaves_nothing_behind(demo, number):
    told = demo("--rate", "300")
    wait_until(lambda: re.search(r"csv: running, [1-9]", told.printed()), 60, "an import is under way")
    told.process.send_signal(number)
    told.ends_with(128 + number)
    assert "completed" not in told.printed()  # it did not wait for the imports
