"""Servers under measurement: real processes on a free loopback port, their CPU and memory (from Linux's /proc)."""

import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Self

from bench.tools.load import connected

START_S = 30
STOP_S = 5

_SPIN = "import os; parent = os.getppid()\nwhile os.getppid() == parent: pass"


class Served:
    """A server with its child processes, as a context manager. `{port}` in the command becomes the port.

    It listens at a free port, or where BATCHSTATUS_BIND of the environment says.
    """

    def __init__(self, command: list[str], environment: Mapping[str, str]) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        self._command = [word.replace("{port}", str(self.port)) for word in command]
        # Variables of the shell that runs the bench must not configure the server.
        others = {name: value for name, value in os.environ.items() if not name.startswith("BATCHSTATUS_")}
        self._environment = {"BATCHSTATUS_BIND": f"127.0.0.1:{self.port}", **others, **environment}
        path = self._environment["BATCHSTATUS_BIND"].partition("unix:")[2]
        self.address: tuple[str, int] | str = path or ("127.0.0.1", self.port)

    def cpu_s(self) -> float:
        """Returns the user and system time of the processes so far, in seconds, ended threads included."""
        # Each process has a clock of its CPU time (clock_getcpuclockid), finer than the hundredths in /proc.
        return sum(time.clock_gettime(~pid << 3 | 2) for pid in self._pids())

    def rss_kib(self) -> int:
        """Returns the resident memory of the processes, in KiB."""
        return self._kib("VmRSS")

    def peak_kib(self) -> int:
        """Returns the sum of each process's largest resident memory since `forget_peak`, in KiB."""
        return self._kib("VmHWM")

    def forget_peak(self) -> None:
        """Reset the peak to the memory in use now."""
        for pid in self._pids():
            Path(f"/proc/{pid}/clear_refs").write_text("5")

    def __enter__(self) -> Self:
        self._log = tempfile.TemporaryFile()
        # A server that is killed leaves files behind.
        self._temporary = tempfile.TemporaryDirectory(prefix="batchstatus-bench-")
        self._process = subprocess.Popen(
            self._command,
            env={**self._environment, "TMPDIR": self._temporary.name},
            stdout=subprocess.DEVNULL,
            stderr=self._log,
            start_new_session=True,
        )
        try:
            self._wait()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(STOP_S)
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._log.close()
        self._temporary.cleanup()

    def _wait(self) -> None:
        """Wait until the server accepts connections."""
        deadline = time.monotonic() + START_S
        while not self._accepts():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{self._command} does not serve:\n{self._log_tail()}")
            time.sleep(0.05)
        time.sleep(1)  # so that the second process listens too

    def _pids(self) -> list[int]:
        pid = self._process.pid
        if self._process.poll() is not None:
            raise RuntimeError(f"{self._command} has ended:\n{self._log_tail()}")
        return [pid, *map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split())]

    def _kib(self, name: str) -> int:
        statuses = (Path(f"/proc/{pid}/status").read_text() for pid in self._pids())
        return sum(int(re.search(rf"^{name}:\s+(\d+) kB", status, re.MULTILINE)[1]) for status in statuses)

    def _log_tail(self) -> str:
        self._log.seek(0)
        return "\n".join(self._log.read().decode(errors="replace").splitlines()[-12:])

    def _accepts(self) -> bool:
        with suppress(OSError), connected(self.address):
            return True
        return False


@contextmanager
def awake() -> Iterator[None]:
    """Keep the cores from idling, by a process on each core that yields to all others.

    A client that waits for each answer before its next request may wait for an idle core to wake up each time,
    which says something about the machine, not about the server.
    """
    command = ["nice", "-n", "19", sys.executable, "-c", _SPIN]
    spinning = [subprocess.Popen(command) for _ in range(os.cpu_count() or 1)]
    try:
        yield
    finally:
        for process in spinning:
            process.kill()
            process.wait()
