"""Many listeners to events in one process: one connection each, one selector for all."""

import re
import selectors
import socket
import time
from collections.abc import Sequence
from multiprocessing.connection import Connection as Pipe


class Listener:
    """A listener to one job, until the job ends. `ended_at` is when the end arrived, `events` how many came."""

    def __init__(self, port: int, api_key: str, job_id: str) -> None:
        self.job_id, self.ended_at, self.events = job_id, 0.0, 0
        self.socket = socket.create_connection(("127.0.0.1", port))
        path = f"GET /batch-import/jobs/{job_id}/events HTTP/1.1"
        lines = [path, "Host: bench", f"Authorization: Bearer {api_key}", "", ""]
        self.socket.sendall("\r\n".join(lines).encode())

    def receive(self) -> bool:
        """Read what has arrived. Returns False once nothing follows."""
        piece = self.socket.recv(1 << 16)
        self.events += len(re.findall(rb"event: job\n", piece))
        if b'"status":"completed"' in piece:
            self.ended_at = time.monotonic()
        return bool(piece) and not self.ended_at


def listen(pipe: Pipe, port: int, api_key: str, plans: Sequence[Sequence[str]]) -> None:
    """The body of the process: listen to the first job of each plan. Sends None once all have had an event.

    The results are the ends that were seen, with their times, and the number of listeners that saw none.
    """
    selector = selectors.DefaultSelector()
    listeners = [Listener(port, api_key, job_ids[0]) for job_ids in plans]
    for listener in listeners:
        selector.register(listener.socket, selectors.EVENT_READ, listener)
    told = False
    while selector.get_map() and not (told and pipe.poll()):
        for key, _ in selector.select(1):
            if not key.data.receive():
                selector.unregister(key.data.socket)
                key.data.socket.close()
        if not told and all(listener.events for listener in listeners):
            told = True
            pipe.send(None)
    seen = [(listener.job_id, listener.ended_at) for listener in listeners if listener.ended_at]
    pipe.send((seen, len(listeners) - len(seen)))
