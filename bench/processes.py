"""Servers under measurement, as real processes on a free loopback port, and the CPU time that they have used."""

import os
import signal
import socket
import subprocess
import time
from pathlib import Path
from typing import Self

TICKS_PER_S = os.sysconf("SC_CLK_TCK")


class Served:
    """A server process with its workers; enter it with `with`. `{port}` in its command becomes the port.

    Linux: the CPU time is read from /proc.
    """

    def __init__(self, command: list[str], environment: dict[str, str]) -> None:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        self._command = [word.format(port=self.port) for word in command]
        self._environment = {**environment, "BATCHSTATUS_BIND": f"127.0.0.1:{self.port}"}

    def cpu_s(self) -> float:
        """User and system time of the worker processes so far, in seconds."""
        pid = self._process.pid
        workers = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        ticks = 0
        for worker in workers:
            fields = Path(f"/proc/{worker}/stat").read_text().rpartition(") ")[2].split()
            ticks += int(fields[11]) + int(fields[12])
        return ticks / TICKS_PER_S

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            self._command,
            env=self._environment,
            stdout=subprocess.DEVNULL,
            stderr=open("/tmp/served.log", "w"),
            start_new_session=True,
        )
        deadline = time.monotonic() + 30
        while not self._accepts():
            assert self._process.poll() is None, "the server has ended"
            assert time.monotonic() < deadline, "the server did not start"
            time.sleep(0.05)
        time.sleep(1)  # both workers listen, not just the first
        return self

    def __exit__(self, *_: object) -> None:
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def _accepts(self) -> bool:
        try:
            socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
        except OSError:
            return False
        return True
