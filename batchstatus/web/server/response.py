"""An HTTP/1 response that sends its head and the first piece of its body together.

gunicorn sends them one after the other, and a `send` costs more than all that a poll does in Python.
"""

import time
from collections.abc import Iterable
from email.utils import formatdate
from functools import lru_cache
from typing import Any

from gunicorn import util
from gunicorn.http import wsgi
from gunicorn.http.message import TOKEN_RE

SEND_TIMEOUT_S = 60.0
"""Close a connection whose peer reads nothing for this long: what is left to send stays in memory."""


class PeerStalled(TimeoutError):
    """The peer read nothing for SEND_TIMEOUT_S."""


class WorkerResponse(wsgi.Response):  # type: ignore[misc]
    """The response of any WSGI application, framed as gunicorn frames it."""

    _head = b""
    headers: list[tuple[str, str]]
    headers_sent: bool
    response_length: int | None
    sent: int
    status: str | None

    def __init__(self, req: Any, sock: Any, cfg: Any, worker: Any) -> None:
        super().__init__(req, sock, cfg)
        self._worker = worker

    def process_headers(self, headers: Iterable[tuple[str, str]]) -> None:
        """Check the application's headers and keep them; called by gunicorn.

        gunicorn's method checks each name anew each time, and keeps the headers of an earlier `start_response`.
        """
        self._head, self.headers = b"", [*headers]
        names, values = zip(*self.headers, strict=True) if self.headers else ((), ())
        length_at = _length_at(names)
        if length_at is not None and wsgi.HEADER_VALUE_RE.fullmatch("".join(values)):
            self.response_length = int(values[length_at]) if length_at >= 0 else None
        else:
            given, self.headers, self.response_length = self.headers, [], None
            super().process_headers(given)

    def send_headers(self) -> None:
        """Make the head; called by gunicorn before the body, and at the end if there is none."""
        if self.status is None:
            raise RuntimeError("the application did not call start_response")
        if not self.headers_sent and not self._head:
            lines = [f"{name}: {value}\r\n" for name, value in self.headers]
            self._head = f"{self.default_headers()}{''.join(lines)}\r\n".encode("latin-1")

    def default_headers(self) -> str:
        """Return the status line and the headers of every response; called by `send_headers`.

        gunicorn's method formats the date anew for each response, and names the server. Whether the connection
        stays open is decided here, for a stop may come while the application holds the request.
        """
        if not self._worker.alive or not self.cfg.keepalive:
            self.force_close()
        major, minor = self.req.version
        connection = "upgrade" if self.upgrade else "close" if self.should_close() else "keep-alive"
        framing = "Transfer-Encoding: chunked\r\n" if self.chunked else ""
        date = _date(int(time.time()))
        return f"HTTP/{major}.{minor} {self.status}\r\nDate: {date}\r\nConnection: {connection}\r\n{framing}"

    def close(self) -> None:
        """End the response, and the connection too if the body is short of its Content-Length."""
        self.send_headers()
        if self.sent < (self.response_length or 0) and not self._omits_body:
            self.force_close()
        if self.chunked:
            self._emit(b"0\r\n\r\n")
        elif not self.headers_sent:
            self._emit(b"")

    def _emit_body(self, data: bytes) -> None:
        """Send a piece of the body; called by gunicorn."""
        self._emit(b"%X\r\n%b\r\n" % (len(data), data) if self.chunked else data)

    def _emit(self, data: bytes) -> None:
        rest, self._head, self.headers_sent = memoryview(self._head + data), b"", True
        self.sock.settimeout(SEND_TIMEOUT_S)
        try:
            while rest:  # nearly always once
                rest = rest[self.sock.send(rest) :]
        except TimeoutError:
            raise PeerStalled from None
        self.sock.settimeout(None)  # waiting for a request has limits of its own


@lru_cache(maxsize=256)
def _length_at(names: tuple[str, ...]) -> int | None:
    """Return the index of Content-Length among header names, -1 if it is missing; None if gunicorn has to look."""
    if not all(TOKEN_RE.fullmatch(name) and not util.is_hoppish(name) for name in names):
        return None
    lower = [name.lower() for name in names]
    return lower.index("content-length") if "content-length" in lower else -1


@lru_cache(maxsize=1)
def _date(second: int) -> str:
    """Return the time as an HTTP date (RFC 9110 §5.6.7)."""
    return formatdate(second, usegmt=True)
