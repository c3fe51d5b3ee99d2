"""Running `batchstatus` commands: in the test's process to check the output, in their own to watch them live."""

import os
import re
import subprocess
import sys
from typing import NamedTuple, Protocol

import pytest

from batchstatus import cli


class Result(NamedTuple):
    """Exit code and output of a command."""

    code: int
    out: str
    err: str


class Run(Protocol):
    """Runs a command with the given arguments."""

    def __call__(self, *arguments: str) -> Result: ...


def fresh_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have no BATCHSTATUS_* variable of the shell that runs the tests, and stores that may take their time."""
    for name in [name for name in os.environ if name.startswith("BATCHSTATUS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("BATCHSTATUS_STORE_TIMEOUT_MS", "30000")


def runner(capsys: pytest.CaptureFixture[str]) -> Run:
    """Returns a function that runs commands in this process."""

    def run(*arguments: str) -> Result:
        capsys.readouterr()
        code = cli.main(list(arguments))
        return Result(code, *capsys.readouterr())

    return run


def assert_refused(result: Result, code: int, *words: str) -> None:
    """Assert the exit code, one line on stderr that contains `words`, and no other output."""
    assert result[:2] == (code, "")
    assert re.fullmatch(r"batchstatus: [^\n]+\n", result.err)
    assert [word for word in words if word not in result.err] == []


def start(*arguments: str, stdout: int = subprocess.PIPE) -> "subprocess.Popen[str]":
    """Start a command in a process of its own, with this process's environment."""
    return subprocess.Popen(
        [sys.executable, "-m", "batchstatus", *arguments],
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "COLUMNS": "160", "TERM": "xterm"},
    )
