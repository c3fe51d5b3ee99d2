"""Import workers in processes of their own, to be killed, stopped and raced.

The processes come from a fork server that has imported batchstatus already, so that one starts in milliseconds.
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
    """A process that calls `target(link, *arguments)`; `link` is the other end of ours.

    Leaving the block kills it if it still runs, a stopped one too.
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
        """The next thing that the process says; fails if it says nothing, or has ended."""
        assert self._ours.poll(timeout_s), f"the importer has said nothing for {timeout_s} s"
        return self._ours.recv()

    def tell(self, message: Any) -> None:
        """Say something to the process."""
        self._ours.send(message)

    def kill(self) -> None:
        """SIGKILL, and see it gone."""
        self._process.kill()
        self._process.join()

    def stop(self) -> None:
        """SIGSTOP: all its threads stand still, and its heartbeats with them."""
        os.kill(self._process.pid or 0, signal.SIGSTOP)

    def go_on(self) -> None:
        """SIGCONT."""
        os.kill(self._process.pid or 0, signal.SIGCONT)

    @property
    def running(self) -> bool:
        """Whether the process has not ended."""
        return self._process.is_alive()

    def exit_code(self, timeout_s: float = TOLD_S) -> int | None:
        """The exit code of a process that ends by itself; None if it has not ended in time."""
        self._process.join(timeout_s)
        return self._process.exitcode


Link = Connection
"""An importer's end of the line."""
