"""A caller's connection: read in small pieces, so that a long request does not hold up other callers."""

import gevent
from gevent import socket
from gunicorn.http.body import Body, LengthReader
from gunicorn.http.errors import LimitRequestHeaders

from batchstatus.web.server.turns import others_first

PIECE_BYTES = 2_048
"""Most bytes per read: an ordinary request. Parsing a byte may cost more than sending it."""

MAX_HEAD_BYTES = 64 * 1024
"""Most bytes of a request line and its headers; gunicorn scans all of them again after each piece."""

MAX_DISCARDED_BYTES = 1 << 20
"""Most bytes of an unread body to discard; a connection with more is closed."""


class CallerSocket(socket.socket):
    """An accepted connection. Other greenlets run before each further piece of a request is read."""

    _received = 0
    _in_head = False

    @classmethod
    def adopt(cls, accepted: socket.socket) -> "CallerSocket":
        """Return the accepted connection as a CallerSocket; the given socket is detached."""
        adopted = cls(accepted.family, accepted.type, accepted.proto, accepted.detach())
        adopted.expect_head()
        return adopted

    def expect_head(self) -> None:
        """Start the next request: the bytes from here on are its head."""
        self._received, self._in_head = 0, True

    def expect_body(self) -> None:
        """End the head: the bytes from here on are the request's body."""
        self._in_head = False

    def recv(self, bufsize: int, flags: int = 0) -> bytes:
        """Return at most PIECE_BYTES of a request. Raises LimitRequestHeaders when its head gets too long."""
        if self._received:
            others_first()
        if self._in_head and self._received > MAX_HEAD_BYTES:
            raise LimitRequestHeaders("the head has no end")
        received: bytes = super().recv(min(bufsize, PIECE_BYTES), flags)
        self._received += len(received)
        return received


def discard(body: Body, timeout_s: float) -> bool:
    """Read the rest of a request's body. Returns True if all of it came in time and was not too much."""
    if body.failed:
        return False
    if isinstance(body.reader, LengthReader) and not body.reader.length:
        return True
    rest = gevent.with_timeout(timeout_s, body.read, MAX_DISCARDED_BYTES, timeout_value=None)
    return rest is not None and len(rest) < MAX_DISCARDED_BYTES
