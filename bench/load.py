"""A load generator: so many keep-alive connections, one request in flight on each, every status checked."""

import argparse
import json
import selectors
import socket
import sys
import time
from collections.abc import Sequence


def run(address: tuple[str, int], requests: Sequence[bytes], connections: int, total: int) -> dict[str, float]:
    """Send `total` requests, round robin from `requests`; give seconds and latency percentiles in milliseconds."""
    selector = selectors.DefaultSelector()
    latencies: list[float] = []
    sent = 0
    for _ in range(connections):
        connection = socket.create_connection(address)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        state = {"at": time.perf_counter(), "buffer": b""}
        connection.sendall(requests[sent % len(requests)])
        sent += 1
        selector.register(connection, selectors.EVENT_READ, state)
    started = time.perf_counter()
    while len(latencies) < total:
        for key, _ in selector.select():
            connection, state = key.fileobj, key.data
            state["buffer"] += connection.recv(65_536)
            if not _complete(state["buffer"]):
                continue
            assert state["buffer"].startswith(b"HTTP/1.1 200"), state["buffer"][:300]
            now = time.perf_counter()
            latencies.append(now - state["at"])
            state["at"], state["buffer"] = now, b""
            connection.sendall(requests[sent % len(requests)])
            sent += 1
    seconds = time.perf_counter() - started
    for key in list(selector.get_map().values()):
        key.fileobj.close()
    latencies.sort()
    return {
        "seconds": seconds,
        "requests": len(latencies),
        "p50_ms": 1000 * latencies[len(latencies) // 2],
        "p99_ms": 1000 * latencies[len(latencies) * 99 // 100],
    }


def _complete(answer: bytes) -> bool:
    head, separator, body = answer.partition(b"\r\n\r\n")
    if not separator:
        return False
    length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
    return len(body) >= int(length.split(b":")[1])


def main() -> None:
    """The generator as a process of its own: requests on stdin as JSON, figures on stdout as JSON."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--total", type=int, default=20_000)
    arguments = parser.parse_args()
    requests = [request.encode() for request in json.load(sys.stdin)]
    figures = run(("127.0.0.1", arguments.port), requests, arguments.connections, arguments.total)
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
