"""Receivers of webhooks on the loopback. What one does with a request is its behaviour, which a test may change.

with receiver(answers(204)) as r:
    ...
    assert r.requests[0].body == b"{}"
"""

import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from itertools import chain, repeat
from typing import Any, BinaryIO

from batchstatus.embedded.encrypted import Certificates

HOST = "127.0.0.1"
SMALL_BUFFER = 4096


@dataclass(frozen=True)
class Received:
    """A request as it came; the names of headers in lower case."""

    line: str
    headers: list[tuple[str, str]]
    body: bytes

    def header(self, name: str) -> str:
        """Returns the value of a header, which must be there exactly once."""
        (value,) = [value for each, value in self.headers if each == name]
        return value


class Peer:
    """A connection as a behaviour sees it."""

    def __init__(self, connection: socket.socket, receiver: "Receiver") -> None:
        self._connection, self._receiver = connection, receiver

    def read(self) -> None:
        """Read a request and note it."""
        with self._connection.makefile("rb") as stream:
            line, *lines = [each.decode("latin-1") for each in self._lines(stream)]
            headers = [(name.lower(), value) for name, _, value in (each.partition(": ") for each in lines)]
            length = int(dict(headers)["content-length"])
            body = stream.read(length)
            if len(body) < length:
                raise ConnectionAbortedError
        self._receiver.requests.append(Received(line, headers, body))

    def _lines(self, stream: BinaryIO) -> Iterator[bytes]:
        """Yield the lines of a head."""
        for line in iter(stream.readline, b"\r\n"):
            if not line.endswith(b"\r\n"):
                raise ConnectionAbortedError
            yield line[:-2]

    def send(self, data: bytes) -> None:
        self._connection.sendall(data)

    def wait(self, seconds: float) -> None:
        """Wait; ConnectionAbortedError if the receiver is closed meanwhile."""
        if self._receiver.closing.wait(seconds):
            raise ConnectionAbortedError

    def hold(self) -> None:
        """Do nothing until the receiver is closed."""
        self.wait(60)


Behaviour = Callable[[Peer], None]


@dataclass
class Receiver:
    """What `receiver` yields. `behaviour` may be changed while it runs."""

    behaviour: Behaviour
    certificates: Certificates | None = None
    buffer: int | None = None
    requests: list[Received] = field(default_factory=list)
    connections: int = 0
    names: list[str | None] = field(default_factory=list)
    """The name in each TLS handshake; None where it had none."""

    def __post_init__(self) -> None:
        self.closing = threading.Event()
        self._threads: list[threading.Thread] = []
        self._open: set[socket.socket] = set()
        self._listener = socket.create_server((HOST, 0), backlog=128)
        if self.buffer is not None:
            self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self.buffer)
        self.port: int = self._listener.getsockname()[1]
        self.tls = None
        if self.certificates is not None:
            self.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self.tls.load_cert_chain(self.certificates.certificate, self.certificates.key)
            self.tls.sni_callback = lambda _, name, __: self.names.append(name)

    @property
    def url(self) -> str:
        """The URL of the receiver, with a path and a query."""
        return self.url_for(HOST)

    def url_for(self, host: str) -> str:
        """The URL of the receiver under another name."""
        return f"{'https' if self.certificates else 'http'}://{host}:{self.port}/imports?from=acme"

    def start(self) -> None:
        self._start(self._accept)

    def close(self) -> None:
        """Close all connections, and wait for the end of all threads."""
        self.closing.set()
        for each in (self._listener, *self._open):
            with suppress(OSError):
                socket.socket.shutdown(each, socket.SHUT_RDWR)  # that of an SSLSocket forgets its keys as well
        self._listener.close()
        for thread in self._threads:
            thread.join()

    def _accept(self) -> None:
        while True:
            connection, _ = self._listener.accept()
            self.connections += 1
            self._start(self._serve, connection)

    def _serve(self, connection: socket.socket) -> None:
        if self.tls:
            connection = self.tls.wrap_socket(connection, server_side=True, do_handshake_on_connect=False)
        with connection:
            self._open.add(connection)
            if isinstance(connection, ssl.SSLSocket):
                connection.do_handshake()
            if not self.closing.is_set():
                self.behaviour(Peer(connection, self))
        self._open.discard(connection)

    def _start(self, work: Callable[..., None], *arguments: Any) -> None:
        def until_closed() -> None:
            with suppress(OSError):  # raised when the sender, or the test, has closed the connection
                work(*arguments)

        thread = threading.Thread(target=until_closed)
        self._threads.append(thread)
        thread.start()


@contextmanager
def receiver(
    behaviour: Behaviour, certificates: Certificates | None = None, buffer: int | None = None
) -> Iterator[Receiver]:
    """Yield a receiver that listens; with certificates, over TLS. `buffer` is what the kernel reads for it."""
    found = Receiver(behaviour, certificates, buffer)
    found.start()
    try:
        yield found
    finally:
        found.close()


# Behaviours


def answers(status: int, *lines: str, body: bytes = b"", after_s: float = 0.0) -> Behaviour:
    """Answer with a status, further header lines, and a body."""
    head = [f"HTTP/1.1 {status} As Told", f"Content-Length: {len(body)}", *lines]

    def behave(peer: Peer) -> None:
        peer.read()
        peer.wait(after_s)
        peer.send("\r\n".join([*head, "", ""]).encode() + body)

    return behave


def in_turn(*behaviours: Behaviour) -> Behaviour:
    """Behave like each of these, one a connection, and then like the last for ever."""
    turns = chain(behaviours, repeat(behaviours[-1]))
    return lambda peer: next(turns)(peer)


def says(*pieces: bytes) -> Behaviour:
    """Send these bytes in answer, whatever they are, and close."""

    def behave(peer: Peer) -> None:
        peer.read()
        for piece in pieces:
            peer.send(piece)

    return behave


def drips(data: bytes) -> Behaviour:
    """Send these bytes in answer, one at a time and with pauses, over and over."""

    def behave(peer: Peer) -> None:
        peer.read()
        drip(peer, data)

    return behave


def drips_at_once(data: bytes) -> Behaviour:
    """Send these bytes so without having read anything."""
    return lambda peer: drip(peer, data)


def drip(peer: Peer, data: bytes) -> None:
    while True:
        for number in range(len(data)):
            peer.send(data[number : number + 1])
            peer.wait(0.05)


def floods(start: bytes, again: bytes) -> Behaviour:
    """Send the start of an answer, and then the same for as long as anybody reads."""

    def behave(peer: Peer) -> None:
        peer.read()
        peer.send(start)
        while True:
            peer.send(again)

    return behave


def hangs(after: bytes = b"") -> Behaviour:
    """Read the request, send these bytes, and nothing more."""

    def behave(peer: Peer) -> None:
        peer.read()
        peer.send(after)
        peer.hold()

    return behave


def reads_nothing(peer: Peer) -> None:
    """Accept the connection, and neither read nor send."""
    peer.hold()


def closes_at_once(peer: Peer) -> None:
    """Close the connection without having read from it."""


def refuses_unread(peer: Peer) -> None:
    """Answer 410 and close the connection, without having read from it."""
    peer.send(b"HTTP/1.1 410 Gone\r\n\r\n")


@contextmanager
def accepting_nobody(host: str = HOST, port: int = 0) -> Iterator[int]:
    """Yield a port where nobody accepts, and whose queue is full: to connect there takes for ever."""
    with socket.create_server((host, port), backlog=0) as listener:
        waiting = [socket.socket() for _ in range(4)]
        for each in waiting:
            each.setblocking(False)
            with suppress(BlockingIOError):
                each.connect(listener.getsockname())
        yield listener.getsockname()[1]
        for each in waiting:
            each.close()
