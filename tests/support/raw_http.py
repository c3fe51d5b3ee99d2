"""HTTP as bytes on a socket, for what a client library would not send, or would hide."""

import socket
from dataclasses import dataclass
from http.client import HTTPResponse
from typing import Any, BinaryIO, Self

TIMEOUT_S = 30.0


@dataclass(frozen=True)
class Answer:
    """One answer, read to its end."""

    status: int
    headers: dict[str, str]
    body: bytes


def connect(port: int, *, receive_buffer: int | None = None) -> socket.socket:
    """A connection to a service on the loopback; with a small buffer, what is not read soon stays there."""
    connection = socket.socket()
    try:
        if receive_buffer is not None:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        connection.settimeout(TIMEOUT_S)
        connection.connect(("127.0.0.1", port))
    except BaseException:
        connection.close()
        raise
    return connection


def read_to_the_end(connection: socket.socket) -> bytes:
    """All that still comes, until the other side closes properly."""
    return b"".join(iter(lambda: connection.recv(65_536), b""))


def request(path: str, *headers: str, method: str = "GET", version: str = "1.1") -> bytes:
    """A request's bytes."""
    lines = [f"{method} {path} HTTP/{version}", "Host: here", *headers, "", ""]
    return "\r\n".join(lines).encode("latin-1")


class Reader:
    """Reads one answer after the other from a connection, and takes no byte of the next one for its own."""

    def __init__(self, connection: socket.socket) -> None:
        self._file = connection.makefile("rb")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def answer(self, method: str = "GET") -> Answer:
        """The next answer; `method` is what was asked for."""
        response = HTTPResponse(_KeptOpen(self._file), method=method)  # type: ignore[arg-type]
        response.begin()
        return Answer(response.status, dict(response.headers.items()), response.read())


class _KeptOpen:
    """Stands for a socket and for its file, which the end of an answer does not close."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def makefile(self, _mode: str) -> Self:
        return self

    def close(self) -> None:
        pass

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


def exchange(port: int, sent: bytes, method: str = "GET") -> Answer:
    """The answer to these bytes, on a connection of their own."""
    with connect(port) as connection, Reader(connection) as reader:
        connection.sendall(sent)
        return reader.answer(method)
