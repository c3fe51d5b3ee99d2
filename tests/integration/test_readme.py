"""A newcomer who follows the README sees the first progress bar, and has nothing left behind."""

import json
import os
import re
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from tests.support.ports import free_port

pytestmark = [pytest.mark.slow, pytest.mark.timeout(200)]

ROOT = Path(__file__).parents[2]
PING = 'import batchstatus, os; batchstatus.connect(os.environ["BATCHSTATUS_REDIS_URL"]).ping()'
UP = f"until python -c '{PING}' 2>/dev/null; do :; done\n"
CREATED = "until batchstatus status $JOB >/dev/null 2>&1; do :; done"
ROW = "        run.check()"
SEEN = f"        while n > 500 and not os.path.exists(os.environ['SEEN']): run.check(); time.sleep(0.01)\n{ROW}"
"""The worker waits in the middle until its progress was seen: a busy machine takes long to start `watch`."""


def blocks() -> list[tuple[str, str]]:
    """The blocks of code below the heading, each with its language."""
    section = (ROOT / "README.md").read_text().partition("\n## Your first progress bar\n")[2].partition("\n## ")[0]
    return re.findall(r"^```(\w+)\n(.*?)^```", section, re.MULTILINE | re.DOTALL)


def commands() -> str:
    """All commands of the section, with free ports; where a newcomer pauses, they wait for as long as it takes."""
    store, service = free_port(), free_port()
    script = "\n".join(text for language, text in blocks() if language == "sh")
    script = script.replace("make setup\n. .venv/bin/activate\n", "")
    script = script.replace("port=6379", f"port={store}").replace("127.0.0.1:6379", f"127.0.0.1:{store}")
    script = script.replace("batchstatus serve", f"{UP}BATCHSTATUS_BIND=127.0.0.1:{service} batchstatus serve")
    script = script.replace("127.0.0.1:8000", f"127.0.0.1:{service}")
    return script.replace("sleep 2;", f"{CREATED};").replace("curl -s", "curl -s --write-out '\\n'")


def test_a_newcomer_who_follows_the_readme_sees_a_progress_bar(tmp_path: Path) -> None:
    folder, temporary = tmp_path / "folder", tmp_path / "temporary"
    folder.mkdir()
    temporary.mkdir()
    (worker,) = [text for language, text in blocks() if language == "python"]
    seen = tmp_path / "seen"
    worker = worker.replace("for row in rows:", "for n, row in enumerate(rows):").replace(ROW, SEEN)
    assert SEEN in worker
    (folder / "november.py").write_text(worker)
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    shell = subprocess.Popen(
        ["bash", "-eu", "-c", commands() + "\nwait"],
        cwd=folder,
        env={**os.environ, "PATH": path, "TMPDIR": str(temporary), "SEEN": str(seen)},
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    printed = []
    with shell:
        assert shell.stdout is not None
        try:
            for line in shell.stdout:
                printed.append(line.rstrip("\n"))
                if re.match(r"november-1: running, \d+ of 1,000 rows", line):
                    seen.touch()
        finally:
            with suppress(ProcessLookupError):  # nobody is left, unless something went wrong
                os.killpg(shell.pid, signal.SIGKILL)
    *progress, answer = printed
    assert seen.exists()
    assert progress[-1] == "november-1: completed, 1,000 of 1,000 rows: 980 succeeded, 20 failed, 0 skipped"
    (shown,) = [json.loads(text)["job"] for language, text in blocks() if language == "json"]
    job = json.loads(answer)["job"]
    times = {"createdAt", "heartbeatAt", "completedAt"}
    assert {**shown, **{name: job[name] for name in times}} == job
    assert [*folder.iterdir()] == [folder / "november.py"]
    assert [*temporary.iterdir()] == []
