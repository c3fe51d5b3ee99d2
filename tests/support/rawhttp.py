"""HTTP as bytes over a socket, for requests that no client library sends, and details that one would hide."""

import json
import select
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPResponse
from types import TracebackType
from typing import Any, Self

TIMEOUT_S = 20.0


@dataclass(frozen=True)
class Answer:
    """A response. The names of its headers are in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        """Returns the parsed body. Asserts that the content type is JSON."""
        assert self.headers["content-type"] == "application/json", self
        return json.loads(self.body)

    @property
    def refusal(self) -> tuple[int, str]:
        """Status and code of an error. Asserts that the body has exactly the members of an error."""
        body = self.json()
        assert self.status >= 400
        assert self.headers["x-request-id"]
        assert (body.keys(), body["success"]) == ({"success", "error"}, False)
        error = body["error"]
        assert {"code", "message"} <= error.keys() <= {"code", "message", "details"}
        assert isinstance(error["message"], str)
        return self.status, error["code"]

    @property
    def unnamed(self) -> tuple[int, dict[str, str], bytes]:
        """Status, headers and body, without the headers that differ in every answer: request id and date."""
        same = {name: value for name, value in self.headers.items() if name not in ("x-request-id", "date")}
        return self.status, same, self.body


def connect(port: int, timeout_s: float = TIMEOUT_S, receive_buffer: int | None = None) -> socket.socket:
    """Returns a connection to a loopback port. With a small receive buffer, unread data stays at the service."""
    connection = socket.socket()
    try:
        if receive_buffer is not None:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        connection.settimeout(timeout_s)
        connection.connect(("127.0.0.1", port))
    except BaseException:
        connection.close()
        raise
    return connection


def read_to_the_end(connection: socket.socket) -> bytes:
    """Returns all bytes until the other side closes the connection."""
    return b"".join(iter(lambda: connection.recv(65_536), b""))


@contextmanager
def download(port: int, request: bytes, receive_buffer: int | None = None) -> Iterator[HTTPResponse]:
    """Send a request on a new connection. Yields the response, of which only the head has been read."""
    with connect(port, receive_buffer=receive_buffer) as connection, HTTPResponse(connection) as response:
        connection.sendall(request)
        response.begin()
        yield response


class RawConnection:
    """A connection to the service at a loopback port, as a context manager."""

    def __init__(self, port: int, timeout_s: float = TIMEOUT_S) -> None:
        self._socket = connect(port, timeout_s)
        self._stream = self._socket.makefile("rb")

    def send(self, data: bytes) -> None:
        self._socket.sendall(data)

    def end(self) -> None:
        """Close the sending side of the connection."""
        self._socket.shutdown(socket.SHUT_WR)

    def receive(self, *, to_head: bool = False) -> Answer:
        """Returns the next response. A response to HEAD, and a 304, have no body whatever their headers say.

        Of a stream of events, which has no end, only the head is read: close the connection after that.
        """
        version, status, _ = self._line().split(b" ", 2)
        assert version in (b"HTTP/1.0", b"HTTP/1.1")
        headers: dict[str, str] = {}
        while line := self._line():
            name, value = line.decode("latin-1").split(": ", 1)
            assert name.lower() not in headers, f"{name} twice"
            headers[name.lower()] = value
        if status == b"100":
            return self.receive(to_head=to_head)
        to_head = to_head or status == b"304" or headers.get("content-type") == "text/event-stream"
        return Answer(int(status), headers, b"" if to_head else self._body(headers))

    def says_nothing_for(self, seconds: float) -> bool:
        """Returns True if the service neither sends anything nor closes the connection in this time."""
        return not select.select([self._socket], [], [], seconds)[0]

    def is_closed(self) -> bool:
        """Wait until the service closes the connection. Returns False if it sends something instead."""
        try:
            return self._stream.read(1) == b""
        except ConnectionResetError:
            return True

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stream.close()
        self._socket.close()

    def _line(self) -> bytes:
        line = self._stream.readline(65_536)
        assert line.endswith(b"\r\n"), f"no line of HTTP: {line!r:.200}"
        return line[:-2]

    def _body(self, headers: dict[str, str]) -> bytes:
        if headers.get("transfer-encoding") == "chunked":
            return b"".join(iter(self._chunk, b""))
        length = int(headers["content-length"])
        body = self._stream.read(length)
        assert len(body) == length, "cut short"
        return body

    def _chunk(self) -> bytes:
        size = int(self._line(), 16)
        chunk = self._stream.read(size)
        assert self._line() == b""
        return chunk


def exchange(port: int, request: bytes) -> Answer:
    """Send a request on a new connection. Returns the answer."""
    with RawConnection(port) as connection:
        connection.send(request)
        return connection.receive(to_head=request.startswith(b"HEAD "))


def request(
    method: str = "GET",
    target: str | bytes = "/livez",
    *lines: str | bytes,
    key: str | None = None,
    body: bytes = b"",
    version: str = "1.1",
) -> bytes:
    """Returns the bytes of a request without validating them. `lines` are header lines."""
    raw = [each if isinstance(each, bytes) else each.encode() for each in (target, *lines)]
    head = [b"%s %s HTTP/%s" % (method.encode(), raw[0], version.encode()), *raw[1:]]
    if not any(line.lower().startswith(b"host:") for line in raw[1:]):
        head.append(b"Host: batchstatus.test")
    if key is not None:
        head.append(b"Authorization: Bearer " + key.encode())
    if body and not any(line.lower().startswith((b"content-length:", b"transfer-encoding:")) for line in raw[1:]):
        head.append(b"Content-Length: %d" % len(body))
    return b"\r\n".join([*head, b"", body])
