"""A service that answers from a script, and a clock that moves only when somebody sleeps or is held."""

import threading
from collections import deque
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.unit.client.answers import Answer

KEY = "bsk_verysecret"
TIMEOUT_S = 1.0
"""The `timeout_s` of clients that meet silence, in real seconds; an answer of the script takes milliseconds."""


@dataclass
class Request:
    target: str
    headers: dict[str, str]
    connection: int
    method: str = "GET"
    body: bytes = b""


@dataclass
class Clock:
    """Time that passes only when the client sleeps or a scripted answer is held; sleeps are recorded."""

    now: float = 1000.0
    sleeps: list[float] = field(default_factory=list)
    jitters: list[tuple[float, float]] = field(default_factory=list)

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.sleeps.append(seconds)
        self.now += seconds

    def most(self, least: float, most: float) -> float:
        self.jitters.append((least, most))
        return most


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: "Server"

    def setup(self) -> None:
        super().setup()
        self.server.connections += 1
        self.number = self.server.connections

    def finish(self) -> None:
        super().finish()
        self.server.ended.release()

    def do_GET(self) -> None:
        given = {name.lower(): value for name, value in self.headers.items()}
        body = self.rfile.read(int(given.get("content-length", 0)))
        self.server.requests.append(Request(self.path, given, self.number, self.command, body))
        step = self.server.script.popleft() if self.server.script else None
        if step is None:
            self.server.overrun = True
        else:
            step.hold()
            if step.silent:
                self.connection.recv(1)  # until the client hangs up
            self.server.clock.now += step.held_s
            self.wfile.write(step.raw)
        self.close_connection = step is None or step.cut

    def do_POST(self) -> None:
        self.do_GET()

    def log_message(self, *_: object) -> None:
        pass


class Server(ThreadingHTTPServer):
    daemon_threads = False  # closing the server joins its threads, so that the script is read to its end

    def __init__(self, clock: Clock) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.clock = clock
        self.script: deque[Answer] = deque()
        self.requests: list[Request] = []
        self.connections = 0
        self.ended = threading.Semaphore(0)
        self.overrun = False
        self.url = f"http://127.0.0.1:{self.server_port}"

    def says(self, *answers: Answer) -> None:
        self.script.extend(answers)

    def asked(self, header: str) -> list[str | None]:
        return [request.headers.get(header) for request in self.requests]

    def handle_error(self, request: Any, client_address: Any) -> None:
        pass  # a client that went away
