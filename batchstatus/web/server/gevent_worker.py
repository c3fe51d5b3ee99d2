"""gunicorn's gevent worker, with its own errors in our JSON shape, and answers sent in one piece."""

import logging
import re
import secrets
import sys
import time
import warnings
from email.utils import formatdate
from functools import lru_cache
from typing import Any

import orjson
from gevent import GreenletExit
from gevent.monkey import MonkeyPatchWarning
from gevent.server import StreamServer
from gunicorn import util
from gunicorn.http import errors as http
from gunicorn.http import wsgi
from gunicorn.workers.ggevent import GeventWorker

from batchstatus.web import runtime
from batchstatus.web.errors import error_body
from batchstatus.web.server.caller import CallerSocket, throw_away
from batchstatus.web.server.gevent_runtime import GEVENT
from batchstatus.web.server.turns import others_first
from batchstatus.web.waiting import release_held

ACCEPTED_AT_ONCE = 8
"""How many new callers come between two turns of the others; each takes longer than a poll."""

TAKEN_WITHIN_S = 60.0
"""A caller who takes nothing of an answer for so long is hung up on: what is sent next waits in memory."""

_log = logging.getLogger(__name__)

_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
"""What may not stand in a header (RFC 9110 §5.5)."""

# What the parser refuses with a status other than 400.
_STATUSES: dict[type[Exception], tuple[int, str]] = {
    http.LimitRequestLine: (414, "URI Too Long"),
    http.ExpectationFailed: (417, "Expectation Failed"),
    http.LimitRequestHeaders: (431, "Request Header Fields Too Large"),
    http.UnsupportedTransferCoding: (501, "Not Implemented"),
}


class Worker(GeventWorker):  # type: ignore[misc]
    """A gevent worker whose answer to what it cannot parse is JSON, and does not echo what was sent."""

    def init_process(self) -> None:
        """Serve until it is time to stop; called by gunicorn, after the fork."""
        # None changes any more. gunicorn looks for a setting sixteen times with each request, and would go through
        # two functions every time, which together takes nearly as long as to parse it.
        self.cfg.__dict__.update({name: setting.get() for name, setting in self.cfg.settings.items()})
        if self.cfg.reuse_port:
            # Each worker has a listening socket of its own. Beside others gunicorn would take one new connection
            # in each turn of the hub, to leave some to them, and new callers would wait for busy ones.
            self.cfg.__dict__["workers"] = 1
        StreamServer.max_accept = ACCEPTED_AT_ONCE
        runtime.use(GEVENT)
        super().init_process()

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
        release_held()
        super().handle_exit(sig, frame)

    def handle(self, listener: Any, client: Any, addr: Any) -> None:
        """Serve a connection until it is closed; called by gunicorn."""
        super().handle(listener, CallerSocket(client), addr)

    def handle_request(self, listener_name: Any, req: Any, sock: Any, addr: Any) -> None:
        """Answer one request; called by gunicorn. StopIteration ends the connection.

        gunicorn's own does the same with hooks that nobody here uses, and an access log beside ours.
        """
        sock.head_is_read()
        response, environ = wsgi.create(req, sock, addr, listener_name, self.cfg, WorkerResponse)
        body = self.wsgi(environ, response.start_response)
        if not self.alive:  # which may have come to pass while the request was held
            response.force_close()
        try:
            for piece in body:
                response.write(piece)
            response.close()
        except GreenletExit:
            raise StopIteration from None  # its time to stop gracefully is up
        except TimeoutError:
            _log.info("hung up on a caller who takes nothing")
            raise StopIteration from None
        except OSError:
            raise
        except Exception:
            if not response.headers_sent:
                raise
            # Whatever were said now would stand in the middle of the answer.
            _log.exception("an answer broke off")
            util.close(sock)
            raise StopIteration from None
        finally:
            if hasattr(body, "close"):
                body.close()
        if response.should_close() or not throw_away(req.body, self.cfg.keepalive):
            raise StopIteration
        sock.next_request()
        others_first()

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


class WorkerResponse(wsgi.Response):  # type: ignore[misc]
    """A response whose head waits for what comes first of the body, so that both are sent at once.

    gunicorn sends them one after the other, and a `send` costs more than all that a poll does in Python.
    """

    _head = b""
    headers: list[tuple[str, str]]
    headers_sent: bool
    response_length: int | None

    def process_headers(self, headers: list[tuple[str, str]]) -> None:
        """Take the application's headers; called by gunicorn, whose own drops some that ours never has."""
        self.headers = headers
        for name, value in headers:
            if name.lower() == "content-length":
                self.response_length = int(value)

    def send_headers(self) -> None:
        """Make the head; called by gunicorn before the body, and at the end if there is none."""
        if not self.headers_sent:
            lines = [f"{name}: {value}" for name, value in self.headers]
            if _CONTROL.search("".join(lines)):
                raise ValueError("a header with a line break, which would begin another, or the like")
            self._head = "\r\n".join((*self.default_headers(), *lines, "\r\n")).encode("latin-1")
            self.headers_sent = True

    def default_headers(self) -> list[str]:
        """The status and what every response has; called by gunicorn, whose own makes the date anew each time."""
        major, minor = self.req.version
        lines = [
            f"HTTP/{major}.{minor} {self.status}",
            f"Date: {_date(int(time.time()))}",
            f"Connection: {'close' if self.should_close() else 'keep-alive'}",
        ]
        return [*lines, "Transfer-Encoding: chunked"] if self.chunked else lines

    def close(self) -> None:
        """End the response; called by the worker."""
        self.send_headers()
        if self.chunked:
            self._emit(b"0\r\n\r\n")
        elif self._head:
            self._emit(b"")

    def _emit_body(self, data: bytes) -> None:
        """Send some of the body; called by gunicorn."""
        self._emit(b"%X\r\n%b\r\n" % (len(data), data) if self.chunked else data)

    def _emit(self, data: bytes) -> None:
        rest, self._head = memoryview(self._head + data), b""
        self.sock.settimeout(TAKEN_WITHIN_S)
        while rest:  # nearly always once
            rest = rest[self.sock.send(rest) :]
        self.sock.settimeout(None)  # to wait for a request has limits of its own


@lru_cache(maxsize=1)
def _date(second: int) -> str:
    """The date as HTTP words it (RFC 9110 §5.6.7)."""
    return formatdate(second, usegmt=True)


def _response(status: int, reason: str, body: bytes) -> bytes:
    head = (
        f"HTTP/1.1 {status} {reason}\r\nConnection: close\r\nContent-Type: application/json\r\n"
        f"X-Request-Id: {secrets.token_hex(8)}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode("latin-1") + body
