"""Import workers in processes of their own, to be killed, stopped and raced.

A fork server that has already imported batchstatus starts the processes within milliseconds.
"""

import multiprocessing
import os
import signal
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any, Self

TOLD_S = 60.0

_processes = multiprocessing.get_context("forkserver")
_processes.set_forkserver_preload(["batchstatus", "tests.support.importers"])


class Importer:
    """A process that calls `target(link, *arguments)`; `link` is its end of a pipe to the test.

    Leaving the block kills the process, even a stopped one.
    """

    def __init__(self, target: Callable[..., None], *arguments: Any) -> None:
        self._ours, self._theirs = _processes.Pipe()
        self._process = _processes.Process(target=target, args=(self._theirs, *arguments), daemon=True)

    def __enter__(self) -> Self:
        self._process.start()
        self._theirs.close()
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        self._ours.close()
        self._process.close()

    def told(self, timeout_s: float = TOLD_S) -> Any:
        """Returns the next message of the process. Fails after `timeout_s`, or if the process has ended."""
        assert self._ours.poll(timeout_s), f"the importer has said nothing for {timeout_s} s"
        return self._ours.recv()

    def has_told(self) -> bool:
        """Returns True if a message of the process waits to be read."""
        return self._ours.poll()

    def tell(self, message: Any) -> None:
        """Send a message to the process."""
        self._ours.send(message)

    def kill(self) -> None:
        """Kill the process with SIGKILL and wait for its end."""
        self._process.kill()
        self._process.join()

    def stop(self) -> None:
        """Freeze the process with SIGSTOP: all its threads stand still, so its heartbeats too."""
        os.kill(self._process.pid or 0, signal.SIGSTOP)

    def go_on(self) -> None:
        """Let the frozen process continue, with SIGCONT."""
        os.kill(self._process.pid or 0, signal.SIGCONT)

    @property
    def running(self) -> bool:
        """True until the process ends."""
        return self._process.is_alive()

    def exit_code(self, timeout_s: float = TOLD_S) -> int | None:
        """Returns the exit code of a process that ends by itself, or None if it has not ended in time."""
        self._process.join(timeout_s)
        return self._process.exitcode


Link = Connection
"""The importer's end of the pipe to the test."""
