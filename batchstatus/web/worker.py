"""gunicorn's gevent worker, with its own errors in our JSON shape."""

import logging
import secrets
import sys
import warnings
from typing import Any

import orjson
from gevent.monkey import MonkeyPatchWarning
from gunicorn import util
from gunicorn.http import errors as http
from gunicorn.workers.ggevent import GeventWorker

from batchstatus.web.errors import error_body

_log = logging.getLogger(__name__)

# What the parser refuses with a status other than 400.
_STATUSES: dict[type[Exception], tuple[int, str]] = {
    http.LimitRequestLine: (414, "URI Too Long"),
    http.ExpectationFailed: (417, "Expectation Failed"),
    http.LimitRequestHeaders: (431, "Request Header Fields Too Large"),
    http.UnsupportedTransferCoding: (501, "Not Implemented"),
}


class Worker(GeventWorker):  # type: ignore[misc]
    """A gevent worker whose answer to what it cannot parse is JSON, and does not echo what was sent."""

    def patch(self) -> None:
        """Patch the standard library for gevent; called by gunicorn, after the fork."""
        with warnings.catch_warnings():
            # It warns that ssl was imported before. The one module that it names as past mending is
            # redis-py's asyncio client, which nothing here uses.
            warnings.simplefilter("ignore", MonkeyPatchWarning)
            super().patch()

    def handle_exit(self, sig: Any, frame: Any) -> None:
        """Stop gracefully, and answer at once whoever is held; called by gunicorn on SIGTERM."""
        if not self.booted:
            sys.exit(0)  # nobody has been accepted, and there may be no application yet
        self.wsgi.release_held()
        super().handle_exit(sig, frame)

    def handle_request(self, listener_name: Any, req: Any, sock: Any, addr: Any) -> None:
        """Answer one request; called by gunicorn."""
        client = _Client(sock)
        try:
            super().handle_request(listener_name, req, client, addr)
        finally:
            client.flush()

    def handle_error(self, req: Any, client: Any, addr: Any, exc: BaseException) -> None:
        """Answer a request that did not reach the application, or that broke outside of it."""
        if isinstance(exc, http.ParseException):
            status, reason = _STATUSES.get(type(exc), (400, "Bad Request"))
            body = error_body("BAD_REQUEST", "This is not HTTP as this server speaks it.")
            _log.info("refused a request from %s: %s", addr and addr[0], type(exc).__name__)
        else:
            status, reason = 500, "Internal Server Error"
            body = error_body("INTERNAL_ERROR", "Something went wrong on our side.")
            _log.error("a request broke", exc_info=exc)
        try:
            util.write_nonblock(client, _response(status, reason, orjson.dumps(body)))
        except OSError as error:
            _log.debug("the caller has gone: %s", error)


class _Client:
    """A caller's socket that keeps the head of a response until the body comes, and sends both at once.

    gunicorn sends them one after the other, and a `send` costs more than all that a poll does in Python.
    """

    def __init__(self, sock: Any) -> None:
        self._sock = sock
        self._head: bytes | None = None
        self._begun = False

    def sendall(self, data: bytes) -> None:
        """Send, or keep what comes first; called by gunicorn."""
        if not self._begun:
            self._begun, self._head = True, data
            return
        head, self._head = self._head, None
        self._sock.sendall(head + data if head else data)

    def flush(self) -> None:
        """Send a head that no body has followed."""
        head, self._head = self._head, None
        if head:
            self._sock.sendall(head)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sock, name)


def _response(status: int, reason: str, body: bytes) -> bytes:
    head = (
        f"HTTP/1.1 {status} {reason}\r\nConnection: close\r\nContent-Type: application/json\r\n"
        f"X-Request-Id: {secrets.token_hex(8)}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode("latin-1") + body
