"""gunicorn as users run it by themselves, in a process of its own, on a free loopback port."""

import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Self

from tests.support.output import Output
from tests.support.ports import free_port
from tests.support.rawhttp import exchange, request
from tests.support.waiting import wait_until

ROOT = Path(__file__).parents[2]
OURS = "batchstatus.web.server.gevent_worker.Worker"


class Gunicorn:
    """`gunicorn … application`; enter it with `with`. Waits until it answers `wait_for`."""

    def __init__(
        self,
        application: str,
        *options: str,
        worker_class: str = OURS,
        wait_for: bytes = request(),
        directory: Path = ROOT,
        **environment: str,
    ) -> None:
        self.port = free_port()
        self._command = [sys.executable, "-m", "gunicorn", "--worker-class", worker_class, "--no-control-socket"]
        self._command += ["--bind", f"127.0.0.1:{self.port}", *options, application]
        self._wait_for = wait_for
        self._directory = directory
        self._environment = {**os.environ, "PYTHONPATH": str(ROOT), **environment}

    @property
    def pid(self) -> int:
        """The arbiter's process id."""
        return self.process.pid

    def worker_pids(self) -> list[int]:
        """The ids of the processes that serve (Linux)."""
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text()
        return [int(pid) for pid in children.split()]

    def log(self) -> str:
        """What gunicorn has printed."""
        return self._log.text()

    def stop(self) -> int:
        """Send SIGTERM, and wait. Returns the exit code."""
        self.process.terminate()
        return self.process.wait(30)

    def start(self) -> Self:
        """Start gunicorn, and do not wait for it."""
        self._log = Output(f"gunicorn on port {self.port}")
        self.process = subprocess.Popen(
            self._command, cwd=self._directory, env=self._environment, stdout=self._log, stderr=self._log
        )
        return self

    def __enter__(self) -> Self:
        self.start()
        try:
            wait_until(self._up, 90, "gunicorn is up")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        children = self.worker_pids() if self.process.poll() is None else []
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            for pid in [self.pid, *children]:
                with suppress(ProcessLookupError):  # it has just ended
                    os.kill(pid, signal.SIGKILL)
            self.process.wait()
        self._log.close()

    def _up(self) -> bool:
        assert self.process.poll() is None, "gunicorn has ended"
        try:
            return exchange(self.port, self._wait_for).status < 500
        except OSError:
            return False
