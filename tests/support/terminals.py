"""A real terminal, tmux's, of a given width, in which a command runs."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Self

import pytest

from tests.support.waiting import wait_until

TMUX = shutil.which("tmux")
RUN = 'trap : INT; "$@"; echo $? > "$0"'
"""For a shell: runs a command and notes its exit code. tmux 3.3 sometimes misses that its child has ended."""


def need_tmux() -> None:
    """Skip the test where there is no tmux; fail where CI should have it."""
    if TMUX is None:
        missing = pytest.fail if os.environ.get("CI") else pytest.skip
        missing("there is no tmux; Debian has it: apt-get install tmux")


class Terminal:
    """Runs `batchstatus …` in a terminal of its own, as a context manager. What is left at the end can be read."""

    def __init__(self, width: int, *arguments: str, height: int = 24) -> None:
        self._size = ("-x", str(width), "-y", str(height))
        self._command = [sys.executable, "-m", "batchstatus", *arguments]

    def __enter__(self) -> Self:
        need_tmux()
        self._folder = tempfile.TemporaryDirectory(prefix="tmux-")  # a socket's path is at most 107 bytes long
        # -f: no configuration of the user's; the pane stays when its command has ended.
        options = ("set", "-g", "remain-on-exit", "on", ";", "set", "-g", "remain-on-exit-format", "")
        command = ("sh", "-c", RUN, str(self._file("status")), *self._command)
        session = ("new-session", "-d", *self._size, *command)
        self._tmux("-f", "/dev/null", "start-server", ";", *options, ";", *session)
        return self

    def __exit__(self, *_: object) -> None:
        self._tmux("kill-server")
        self._folder.cleanup()

    def lines(self) -> list[str]:
        """Returns the lines on the screen that are not empty. A line that was wrapped is several."""
        return [line.rstrip() for line in self._tmux("capture-pane", "-p").splitlines() if line.strip()]

    def paragraphs(self) -> list[str]:
        """Returns the lines as they were printed: the parts of a wrapped line are together."""
        return [line.rstrip() for line in self._tmux("capture-pane", "-p", "-J").splitlines() if line.strip()]

    def shows(self, *words: str, timeout_s: float = 60.0) -> list[str]:
        """Wait until all words are on the screen. Returns its lines."""
        return self.until(lambda lines: all(word in "\n".join(lines) for word in words), f"{words}", timeout_s)

    def until(self, condition: Callable[[list[str]], bool], what: str, timeout_s: float = 60.0) -> list[str]:
        """Wait until the lines on the screen fulfil a condition. Returns the lines."""
        found: list[str] = []

        def fulfilled() -> bool:
            found[:] = self.lines()
            return condition(found)

        try:
            wait_until(fulfilled, timeout_s)
        except AssertionError:
            raise AssertionError(f"not on the screen: {what}\n" + "\n".join(found)) from None
        return found

    def press(self, key: str) -> None:
        """Press a key: `C-c`."""
        self._tmux("send-keys", key)

    def ends_with(self, code: int) -> None:
        """Wait for the end of the command, and check its exit code."""
        ended = wait_until(lambda: self._file("status").exists() and self._file("status").read_text(), 60)
        assert ended == f"{code}\n", self.paragraphs()

    def _file(self, name: str) -> Path:
        return Path(self._folder.name, name)

    def _tmux(self, *words: str) -> str:
        command = [TMUX or "tmux", "-u", "-S", str(self._file("s")), *words]
        # Not the C library's environment: pytest loads readline, which sets COLUMNS there.
        environment = {name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES")}
        return subprocess.run(
            command, env=environment, capture_output=True, text=True, check=True, timeout=30
        ).stdout
