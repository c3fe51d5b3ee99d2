"""A load generator: a number of connections with one request in flight on each; checks every status.

Connections are kept open. Where a server closes them, the latency of an answer includes the new connection.
"""

import argparse
import json
import selectors
import socket
import sys
import time
from collections.abc import Iterator, Sequence
from itertools import cycle, islice


class Caller:
    """One connection to a host and port, or to a unix socket's path, and the request in flight on it."""

    def __init__(self, address: tuple[str, int] | str) -> None:
        self._address = address
        self.connect()

    def connect(self) -> None:
        """Open a connection, also after the server closed the last one."""
        self.socket = connected(self._address)
        self.hung_up = False

    def ask(self, request: bytes) -> None:
        """Send a request."""
        self._sent_at, self._answer = time.perf_counter(), b""
        if self.hung_up:
            self.connect()
        self.socket.sendall(request)

    def receive(self, status: bytes) -> float | None:
        """Read what has arrived. Returns the latency in seconds once the answer is complete, else None."""
        piece = self.socket.recv(1 << 18)
        self._answer += piece
        if piece and not complete(self._answer):
            return None
        assert self._answer[9:12] == status, self._answer[:300]
        self.hung_up = not piece or b"\nconnection: close" in self._answer[:1_000].lower()
        return time.perf_counter() - self._sent_at


def connected(address: tuple[str, int] | str) -> socket.socket:
    """Returns a socket that is connected to an address."""
    if isinstance(address, str):
        local = socket.socket(socket.AF_UNIX)
        local.connect(address)
        return local
    remote = socket.create_connection(address)
    remote.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return remote


def run(callers: Sequence[Caller], requests: Iterator[bytes], status: bytes) -> list[float]:
    """Send the requests over the callers' connections. Returns the latencies in seconds, sorted."""
    selector = selectors.DefaultSelector()
    latencies: list[float] = []
    for caller, request in zip(callers, requests, strict=False):
        caller.ask(request)
        selector.register(caller.socket, selectors.EVENT_READ, caller)
    while selector.get_map():
        for key, _ in selector.select():
            caller = key.data
            latency = caller.receive(status)
            if latency is None:
                continue
            latencies.append(latency)
            request = next(requests, None)
            ended = caller.hung_up or request is None
            if ended:
                selector.unregister(caller.socket)
                caller.socket.close()
            if request is not None:
                caller.ask(request)
                if ended:
                    selector.register(caller.socket, selectors.EVENT_READ, caller)
    return sorted(latencies)


def complete(answer: bytes) -> bool:
    """Returns True if these bytes are a complete answer (a 304 has no body)."""
    head, separator, body = answer.partition(b"\r\n\r\n")
    if not separator:
        return False
    if head[9:12] == b"304":
        return True
    lines = head.lower().split(b"\r\n")
    length = next((line for line in lines if line.startswith(b"content-length:")), None)
    return length is not None and len(body) >= int(length.split(b":")[1])


def main() -> None:
    """Run as a process: read the requests from stdin as JSON, write the figures to stdout as JSON."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--total", type=int, default=20_000)
    parser.add_argument("--status", default="200", help="the status that every answer must have")
    arguments = parser.parse_args()
    requests = islice(cycle([request.encode() for request in json.load(sys.stdin)]), arguments.total)
    callers = [Caller(("127.0.0.1", arguments.port)) for _ in range(arguments.connections)]
    latencies = run(callers, requests, arguments.status.encode())
    p99_ms, p999_ms = (1000 * latencies[len(latencies) * of_1000 // 1000] for of_1000 in (990, 999))
    print(json.dumps({"requests": len(latencies), "p99_ms": p99_ms, "p999_ms": p999_ms}))


if __name__ == "__main__":
    main()
