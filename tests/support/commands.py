"""Runs `batchstatus` commands: in the test's process for their words, in one of their own for what is live."""

import os
import re
import subprocess
import sys
from typing import NamedTuple, Protocol

import pytest

from batchstatus import cli


class Result(NamedTuple):
    """How a command ended, and what it printed."""

    code: int
    out: str
    err: str


class Run(Protocol):
    """Runs a command with these arguments."""

    def __call__(self, *arguments: str) -> Result: ...


def forget_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let no BATCHSTATUS_* of the shell that runs the tests play a part."""
    for name in [name for name in os.environ if name.startswith("BATCHSTATUS_")]:
        monkeypatch.delenv(name)


def runner(capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs commands in this process."""

    def run(*arguments: str) -> Result:
        capsys.readouterr()
        code = cli.main(list(arguments))
        return Result(code, *capsys.readouterr())

    return run


def assert_refused(result: Result, code: int, *words: str) -> None:
    """It ended with this code, said one line on stderr with these words in it, and printed nothing."""
    assert result[:2] == (code, "")
    assert re.fullmatch(r"batchstatus: [^\n]+\n", result.err)
    assert [word for word in words if word not in result.err] == []


def start(*arguments: str, stdout: int = subprocess.PIPE) -> "subprocess.Popen[str]":
    """A command in a process of its own, with this process's environment."""
    return subprocess.Popen(
        [sys.executable, "-m", "batchstatus", *arguments],
        stdin=subprocess.DEVNULL,
        stdout=stdout,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "COLUMNS": "160", "TERM": "xterm"},
    )
