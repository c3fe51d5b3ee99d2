"""HTTP as bytes over a socket, for what a client library would not send, or would hide."""

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
    """A response; the names of its headers in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        """The body, which says that it is JSON and is."""
        assert self.headers["content-type"] == "application/json", self
        return json.loads(self.body)

    @property
    def refusal(self) -> tuple[int, str]:
        """Status and code of an error, which has the one shape of all errors and no other."""
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
        """All of it but what differs between any two answers: the request's id and the date."""
        same = {name: value for name, value in self.headers.items() if name not in ("x-request-id", "date")}
        return self.status, same, self.body


def connect(port: int, timeout_s: float = TIMEOUT_S, receive_buffer: int | None = None) -> socket.socket:
    """A connection to the service at a loopback port; with a small buffer, what is not read soon stays there."""
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
    """All that still comes, until the other side closes properly."""
    return b"".join(iter(lambda: connection.recv(65_536), b""))


@contextmanager
def download(port: int, request: bytes, receive_buffer: int | None = None) -> Iterator[HTTPResponse]:
    """The response to a request, on a connection of its own; only its head has been read."""
    with connect(port, receive_buffer=receive_buffer) as connection, HTTPResponse(connection) as response:
        connection.sendall(request)
        response.begin()
        yield response


class RawConnection:
    """A connection to the service at a loopback port; enter it with `with`."""

    def __init__(self, port: int, timeout_s: float = TIMEOUT_S) -> None:
        self._socket = connect(port, timeout_s)
        self._stream = self._socket.makefile("rb")

    def send(self, data: bytes) -> None:
        self._socket.sendall(data)

    def end(self) -> None:
        """Say that nothing more will be sent."""
        self._socket.shutdown(socket.SHUT_WR)

    def receive(self, *, to_head: bool = False) -> Answer:
        """The next response; that to a HEAD has no body, whatever its headers say, and no 304 has one."""
        version, status, _ = self._line().split(b" ", 2)
        assert version in (b"HTTP/1.0", b"HTTP/1.1")
        headers: dict[str, str] = {}
        while line := self._line():
            name, value = line.decode("latin-1").split(": ", 1)
            assert name.lower() not in headers, f"{name} twice"
            headers[name.lower()] = value
        if status == b"100":
            return self.receive(to_head=to_head)
        return Answer(int(status), headers, b"" if to_head or status == b"304" else self._body(headers))

    def says_nothing_for(self, seconds: float) -> bool:
        """Whether the service neither sends anything in this time nor closes the connection."""
        return not select.select([self._socket], [], [], seconds)[0]

    def is_closed(self) -> bool:
        """Wait for the service to close the connection; False if it sends something instead."""
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
    """The answer to a request, on a connection of its own."""
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
    """A request, put together without a look at what is in it; `lines` are header lines."""
    raw = [each if isinstance(each, bytes) else each.encode() for each in (target, *lines)]
    head = [b"%s %s HTTP/%s" % (method.encode(), raw[0], version.encode()), *raw[1:]]
    if not any(line.lower().startswith(b"host:") for line in raw[1:]):
        head.append(b"Host: batchstatus.test")
    if key is not None:
        head.append(b"Authorization: Bearer " + key.encode())
    if body and not any(line.lower().startswith((b"content-length:", b"transfer-encoding:")) for line in raw[1:]):
        head.append(b"Content-Length: %d" % len(body))
    return b"\r\n".join([*head, b"", body])
