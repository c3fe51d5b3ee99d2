"""The operator's commands: `running`, and `erase`, which asks before it does."""

import json
import os
import pty
import subprocess
import sys
from contextlib import suppress
from datetime import UTC, datetime
from io import StringIO
from typing import Any

import pytest
from rich.console import Console

from batchstatus import JobStore
from batchstatus.cli.running import table
from batchstatus.model.ids import worker_name
from batchstatus.model.progress import AtWork, Noted
from tests.support.commands import Run, assert_refused, fresh_environment, runner

ORG, KIND = "org_acme", "transaction_batch"


@pytest.fixture
def at_store(capsys: pytest.CaptureFixture[str], redis_url: str, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Returns a function that runs a command on the real store, which the environment names."""
    fresh_environment(monkeypatch)
    monkeypatch.setenv("BATCHSTATUS_REDIS_URL", redis_url)
    return runner(capsys)


# running


def at_work(**members: Any) -> AtWork:
    """A part of a job, with everything as long as it may be."""
    longest: dict[str, Any] = {
        "org": "o" * 64,
        "job_id": "01a2273a-8731-714c-a96e-c614cfd62d00",
        "part": 1_000,
        "kind": "k" * 32,
        "worker": "w" * 100,
        "heartbeat_at": datetime(2026, 11, 23, tzinfo=UTC),
        "lease_expires_at": None,
        "silent_s": 200_000.0,
        "done": 123_456_789,
        "total_items": None,
        "pace": Noted(),
        "flags": frozenset({"batchAwaitingWorker"}),
    }
    return AtWork(**longest | members)


def printed(found: list[AtWork], width: int) -> list[str]:
    console = Console(file=StringIO(), width=width, highlight=False, markup=False)
    console.print(table(found, short=True))
    return console.file.getvalue().splitlines()  # type: ignore[attr-defined,no-any-return]


@pytest.mark.parametrize("width", [80, 120])
def test_the_longest_names_fit_the_terminal_with_nothing_cut_off(width: int) -> None:
    lines = printed([at_work()], width)
    assert max(map(len, lines)) <= width
    text = "".join("".join(lines).split())
    for name, many in (("o", 64), ("k", 32), ("w", 100)):
        assert text.count(name) >= many


def test_usual_names_fit_80_columns_in_one_line_a_job() -> None:
    usual = {"org": "org_acme", "part": None, "kind": KIND, "worker": "import-3:4711", "total_items": 200_000_000}
    lines = printed([at_work(**usual, flags=frozenset())] * 2, 80)
    assert [line.split() for line in lines[1:]] == [
        ["2", "d", "silent", "org_acme", "…cfd62d00", KIND, "import-3:4711", "62%"]
    ] * 2


def test_what_runs_is_one_line_each_elsewhere_with_all_of_the_id(at_store: Run, real_store: JobStore) -> None:
    job = real_store.create(ORG, KIND, total_items=10)
    with real_store.run(ORG, job.job_id):
        code, out, err = at_store("running")
    head, line = out.splitlines()
    assert (code, err, head.split()[:6]) == (0, "", ["silent", "state", "org", "job", "kind", "worker"])
    assert [ORG, job.job_id, KIND, worker_name()] == line.split()[-5:-1]
    assert line.split()[-1] == "0%"


def test_as_json_it_has_the_documented_members(at_store: Run, real_store: JobStore) -> None:
    job = real_store.create(ORG, KIND, parts=2)
    with real_store.run(ORG, job.job_id, part=2):
        (found,) = json.loads(at_store("running", "--json").out)
    assert (found["org"], found["jobId"], found["part"], found["kind"]) == (ORG, job.job_id, 2, KIND)
    assert (found["worker"], found["state"], found["done"], found["totalItems"]) == (
        *(worker_name(), "running"),
        *(0, None),
    )
    assert found.keys() - {"org", "jobId", "part", "kind", "worker", "state", "done", "totalItems"} == {
        *("heartbeatAt", "leaseExpiresAt", "silentSeconds", "rowsPerSecond")
    }
    assert found["heartbeatAt"] < found["leaseExpiresAt"]


def test_where_nothing_runs_it_says_so_and_more_than_the_limit_are_counted(
    at_store: Run, real_store: JobStore
) -> None:
    assert at_store("running") == (0, "", "no job is running\n")
    assert at_store("running", "--json") == (0, "[]\n", "")
    jobs = [real_store.create(ORG, KIND).job_id for _ in range(2)]
    with real_store.run(ORG, jobs[0]), real_store.run(ORG, jobs[1]):
        code, out, err = at_store("running", "--limit", "1")
    assert (code, len(out.splitlines()), err) == (0, 2, "… and 1 more: use --limit\n")


# erase


def test_without_a_terminal_and_yes_nothing_is_erased(at_store: Run, real_store: JobStore) -> None:
    job = real_store.create(ORG, KIND)
    assert_refused(at_store("erase", "--org", ORG), 2, "--yes")
    assert real_store.get(ORG, job.job_id) == job


def test_what_was_erased_is_said_once_as_lines_and_as_json(at_store: Run, real_store: JobStore) -> None:
    for number in range(2):
        real_store.create(ORG, KIND, job_id=f"job{number}")
    real_store.api_keys.create(ORG, ["a:b"])
    one = json.loads(at_store("erase", "--org", ORG, "--job", "job0", "--yes", "--json").out)
    assert (one["org"], one["jobId"], one["complete"]) == (ORG, "job0", True)
    assert {sort: many for sort, many in one["removed"].items() if many} == {
        "jobs": 1,
        "historyEntries": 1,
        "scheduleEntries": 1,
    }
    rest = at_store("erase", "--org", ORG, "--yes")
    lines = ["1 jobs", "1 entries of the history", "1 entries of the schedules", "1 API keys"]
    assert rest == (0, "\n".join([*lines, ""]), "")
    assert at_store("erase", "--org", ORG, "--yes") == (0, "nothing: the store has nothing of it\n", "")
    assert set(json.loads(at_store("erase", "--org", ORG, "--yes", "--json").out)["removed"].values()) == {0}


def test_an_organization_that_cannot_be_is_refused(at_store: Run) -> None:
    assert_refused(at_store("erase", "--org", "*", "--yes"), 2, "org")


@pytest.mark.parametrize(("answer", "code", "left"), [(b"y\n", 0, 0), (b"n\n", 1, 1), (b"\n", 1, 1)])
def test_on_a_terminal_it_asks_first(
    at_store: Run, real_store: JobStore, answer: bytes, code: int, left: int
) -> None:
    real_store.create(ORG, KIND)
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "batchstatus", "erase", "--org", ORG]
    erasing = subprocess.Popen(
        command, stdin=theirs, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=os.environ
    )
    os.write(ours, answer)
    out, err = erasing.communicate(timeout=60)
    with suppress(OSError):
        os.close(ours)
        os.close(theirs)
    assert (erasing.returncode, len(real_store.list(ORG).jobs)) == (code, left)
    assert f"all jobs, API keys, tickets and endpoints of {ORG}? This cannot be undone" in err.decode()
    assert (b"1 jobs" in out) == (left == 0)
