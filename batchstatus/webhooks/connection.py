"""A connection that is given up at one moment, however its peer deals out bytes; plain, or with TLS.

Each wait gets the time that is left. A timeout of the socket alone would start anew with every byte of a peer that
sends one a second.
"""

import socket
import ssl
from collections.abc import Callable
from time import monotonic
from typing import Any, TypeVar

_RECORD = 16_384  # bytes: the most that a TLS record holds

_T = TypeVar("_T")


class Deadline:
    """The moment, `timeout_s` from now, at which to give up."""

    def __init__(self, timeout_s: float) -> None:
        self._at = monotonic() + timeout_s

    def left_s(self) -> float:
        """Returns the seconds that are left, more than 0. Raises TimeoutError if there are none."""
        left_s = self._at - monotonic()
        if left_s <= 0:
            raise TimeoutError
        return left_s


def connected(family: int, address: Any, timeout_s: float) -> socket.socket:
    """Returns a socket that is connected to an address. Raises OSError."""
    peer = socket.socket(family, socket.SOCK_STREAM)
    try:
        peer.settimeout(timeout_s)
        peer.connect(address)
    except BaseException:
        peer.close()
        raise
    return peer


class Connection:
    """An open socket with a deadline. Its methods raise OSError, of which TimeoutError is one."""

    def __init__(self, peer: socket.socket, deadline: Deadline) -> None:
        self._peer, self._deadline = peer, deadline

    def send(self, data: bytes) -> None:
        """Send all of the data."""
        left = memoryview(data)
        while left:
            self._peer.settimeout(self._deadline.left_s())
            left = left[self._peer.send(left) :]

    def receive(self, most: int) -> bytes:
        """Returns what has come, at most this many bytes; none at the end."""
        self._peer.settimeout(self._deadline.left_s())
        return self._peer.recv(most)


class EncryptedConnection:
    """TLS over a connection, after the handshake with `host`, whose certificate the context checks.

    An SSLSocket would not do: under gevent, its timeout starts anew with each byte.
    """

    def __init__(self, plain: Connection, context: ssl.SSLContext, host: str) -> None:
        self._plain = plain
        self._received, self._to_send = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._received, self._to_send, server_hostname=host)
        self._until_done(self._tls.do_handshake)

    def send(self, data: bytes) -> None:
        """Send all of the data."""
        left = memoryview(data)
        while left:
            left = left[self._until_done(self._tls.write, left) :]

    def receive(self, most: int) -> bytes:
        """Returns what has come, at most this many bytes; none at the end."""
        try:
            return self._until_done(self._tls.read, most)
        except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
            return b""

    def _until_done(self, step: Callable[..., _T], *given: object) -> _T:
        """Returns what a step of TLS returns, after it has been given all that it wants to read."""
        while True:
            try:
                return step(*given)
            except ssl.SSLWantReadError:
                pass
            finally:
                self._plain.send(self._to_send.read())  # the alert, too, that tells a peer why it was refused
            if data := self._plain.receive(_RECORD):
                self._received.write(data)
            else:
                self._received.write_eof()


AnyConnection = Connection | EncryptedConnection
