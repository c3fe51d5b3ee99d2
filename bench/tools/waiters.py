"""Many waiting callers (`Prefer: wait`) in one process: one connection each, one selector for all."""

import re
import selectors
import socket
import time
from collections.abc import Sequence
from contextlib import suppress
from multiprocessing.connection import Connection as Pipe

from bench.tools.load import complete

WAIT_S = 30


class Waiter:
    """A caller that waits for the end of a job, then of the next, through all its jobs."""

    def __init__(self, port: int, api_key: str, job_ids: Sequence[str]) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port))
        self._api_key = api_key
        self._left = list(job_ids)
        self.seen: list[tuple[str, float]] = []
        """The jobs whose ends arrived as answers to held requests, and when."""
        self.holds = 0
        self._ask()

    @property
    def done(self) -> bool:
        """True once the caller has seen the ends of all its jobs."""
        return not self._left

    def receive(self) -> None:
        """Read what has arrived. ConnectionError if the connection was closed, or the answer is an error."""
        piece = self.socket.recv(1 << 16)
        if not piece:
            raise ConnectionResetError
        self._answer += piece
        if complete(self._answer):
            self._answered()

    def _answered(self) -> None:
        head, _, body = self._answer.partition(b"\r\n\r\n")
        if head[9:12] not in (b"200", b"304"):
            raise ConnectionError(head)
        if not body or b'"status":"running"' in body:
            tag = re.search(rb"\r\nETag: ([^\r]+)", head)[1].decode()
            self._ask(f"If-None-Match: {tag}", f"Prefer: wait={WAIT_S}")
            self.holds += 1
            return
        ended = self._left.pop(0)
        if self._held:
            self.seen.append((ended, time.monotonic()))
        if self._left:
            self._ask()

    def _ask(self, *headers: str) -> None:
        self._answer, self._held = b"", bool(headers)
        path = f"GET /batch-import/jobs/{self._left[0]} HTTP/1.1"
        lines = [path, "Host: bench", f"Authorization: Bearer {self._api_key}", *headers, "", ""]
        self.socket.sendall("\r\n".join(lines).encode())


def wait(pipe: Pipe, port: int, api_key: str, plans: Sequence[Sequence[str]]) -> None:
    """The body of the process: run a caller for each plan. Sends None once all are held, and the results at last.

    The results are the ends that were seen, with their times, and the number of callers that did not see all the
    ends of their jobs: the connection was lost, the service answered an error, or the process was told to stop.
    """
    selector = selectors.DefaultSelector()
    waiters = [Waiter(port, api_key, job_ids) for job_ids in plans]
    for waiter in waiters:
        selector.register(waiter.socket, selectors.EVENT_READ, waiter)
    told = False
    while selector.get_map() and not (told and pipe.poll()):
        for key, _ in selector.select(1):
            waiter = key.data
            with suppress(ConnectionError):
                waiter.receive()
                if not waiter.done:
                    continue
            selector.unregister(waiter.socket)
            waiter.socket.close()
        if not told and all(waiter.holds for waiter in waiters):
            told = True
            pipe.send(None)
    lost = sum(not waiter.done for waiter in waiters)
    pipe.send(([end for waiter in waiters for end in waiter.seen], lost))
