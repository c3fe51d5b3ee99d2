"""A caller's connection as a gevent worker reads it: however much comes, others are not kept waiting."""

import gevent
from gevent import socket
from gunicorn.http.body import Body, LengthReader
from gunicorn.http.errors import LimitRequestHeaders

from batchstatus.web.server.turns import others_first

PIECE_BYTES = 2_048
"""The most that is read at once: an ordinary request. A byte may cost the reader more than the caller."""

MOST_HEAD_BYTES = 64 * 1024
"""The most that a request line and headers may have together; gunicorn goes through all of it with each piece."""

MOST_LEFT_BYTES = 1 << 20
"""So much of a body that nobody wanted is thrown away; a caller with more is hung up on."""


class CallerSocket(socket.socket):
    """An accepted connection; others have a turn before each further piece of a request is read."""

    def __init__(self, accepted: socket.socket) -> None:
        super().__init__(accepted.family, accepted.type, accepted.proto, accepted.detach())
        self.next_request()

    def next_request(self) -> None:
        """What comes from here on is another request."""
        self._received, self._is_head = 0, True

    def head_is_read(self) -> None:
        """What comes from here on is the request's body."""
        self._is_head = False

    def recv(self, bufsize: int, flags: int = 0) -> bytes:
        """Receive some of a request, less than is asked for if that is much. LimitRequestHeaders."""
        if self._received:
            others_first()
        if self._is_head and self._received > MOST_HEAD_BYTES:
            raise LimitRequestHeaders("the head has no end")
        received: bytes = super().recv(min(bufsize, PIECE_BYTES), flags)
        self._received += len(received)
        return received


def throw_away(body: Body, within_s: float) -> bool:
    """Read what is left of a request's body; whether that was all, and came in time."""
    if body.failed:
        return False
    if isinstance(body.reader, LengthReader) and not body.reader.length:
        return True
    left = gevent.with_timeout(within_s, body.read, MOST_LEFT_BYTES, timeout_value=None)
    return left is not None and len(left) < MOST_LEFT_BYTES
