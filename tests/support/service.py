"""The live service, as users run it: `batchstatus serve` in a process of its own, on a free loopback port."""

import os
import signal
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from pathlib import Path
from typing import Self

from tests.support.output import Output
from tests.support.ports import free_port
from tests.support.waiting import wait_until


class LiveService:
    """`batchstatus serve` as a context manager. `environment` adds or overrides BATCHSTATUS_* variables.

    Its store may take its time, as on a busy machine, unless a test is about a store that is away: then
    `store_timeout_s` is short. The service has a temporary folder of its own, since a service that is killed
    cannot empty it.
    """

    def __init__(
        self, redis_url: str, *, wait_for: str = "/readyz", store_timeout_s: float = 30.0, **environment: str
    ) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._wait_for = wait_for
        self._environment = {
            "BATCHSTATUS_REDIS_URL": redis_url,
            "BATCHSTATUS_BIND": f"127.0.0.1:{self.port}",
            "BATCHSTATUS_STORE_TIMEOUT_MS": str(round(store_timeout_s * 1000)),
            **environment,
        }

    @property
    def pid(self) -> int:
        """The process id of gunicorn's arbiter."""
        return self._process.pid

    def process_ids(self) -> list[int]:
        """Returns the ids of the service's processes, children of the arbiter (Linux)."""
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text()
        return [int(pid) for pid in children.split()]

    def log(self) -> str:
        """Returns everything that the service has printed."""
        return self._log.text()

    def wait(self, timeout_s: float = 60.0) -> int:
        """Wait for the end of a service that was told to stop. Returns the exit code."""
        return self._process.wait(timeout_s)

    def answers(self, path: str) -> bool:
        """Returns True if a GET of `path` gives 200."""
        try:
            with urllib.request.urlopen(self.url + path, timeout=2) as answer:
                return bool(answer.status == 200)
        except OSError:
            return False

    def metric(self, name: str) -> float:
        """Returns the sum of a metric over its labels."""
        with urllib.request.urlopen(f"{self.url}/metrics", timeout=10) as answer:
            lines = answer.read().decode().splitlines()
        return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(name))

    def __enter__(self) -> Self:
        self._log = Output(f"batchstatus serve on port {self.port}")
        self._temporary = tempfile.TemporaryDirectory(prefix="batchstatus-service-")
        self._process = subprocess.Popen(
            [sys.executable, "-m", "batchstatus", "serve"],
            env={**os.environ, "TMPDIR": self._temporary.name, **self._environment},
            stdout=self._log,
            stderr=self._log,
            start_new_session=True,
        )
        try:
            wait_until(self._up, 90, "the service is up")
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            os.killpg(self.pid, signal.SIGKILL)
            self._process.wait()
        self._log.close()
        with self._temporary as directory:
            left = os.listdir(directory)
        killed_or_failed = self._process.returncode != 0
        assert killed_or_failed or left == [], f"the service has left {left} in the temporary folder"

    def _up(self) -> bool:
        assert self._process.poll() is None, "the service has ended"
        return self.answers(self._wait_for)
