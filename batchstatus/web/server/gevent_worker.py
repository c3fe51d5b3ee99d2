"""A gunicorn worker class: gevent, errors as JSON, answers sent in one piece, no caller starves the others."""

import sys
import time
import warnings
from collections.abc import Iterable
from datetime import timedelta
from functools import partial
from typing import Any

from gevent import GreenletExit
from gevent.monkey import MonkeyPatchWarning
from gevent.pool import Pool
from gevent.server import StreamServer
from gunicorn import util
from gunicorn.config import PostRequest, PreRequest
from gunicorn.errors import HaltServer
from gunicorn.glogging import Logger
from gunicorn.http import wsgi
from gunicorn.workers.base_async import ALREADY_HANDLED
from gunicorn.workers.ggevent import GeventWorker

from batchstatus.web import runtime
from batchstatus.web.live.ticking import release_held
from batchstatus.web.server.caller import CallerSocket, discard
from batchstatus.web.server.gevent_runtime import GEVENT
from batchstatus.web.server.refusals import BROKEN, refusal_of
from batchstatus.web.server.response import PeerStalled, WorkerResponse
from batchstatus.web.server.turns import others_first
from batchstatus.web.server.unsupported import unsupported

ACCEPTED_AT_ONCE = 8
"""Most connections to accept before other greenlets run: to accept one takes longer than to answer a poll."""


class Worker(GeventWorker):  # type: ignore[misc]
    """gunicorn's gevent worker, for any WSGI application; `unsupported` names the settings that it refuses."""

    alive: bool
    _pre_request: Any
    _post_request: Any

    def __init__(self, age: int, ppid: int, sockets: Any, app: Any, timeout: float, cfg: Any, log: Any) -> None:
        if reason := unsupported(cfg):
            raise HaltServer(reason)
        super().__init__(age, ppid, sockets, app, timeout, cfg, log)
        # Hooks and logs that do nothing are not called for each request.
        self._pre_request = None if cfg.pre_request is PreRequest.pre_request else cfg.pre_request
        self._post_request = None if cfg.post_request is PostRequest.post_request else cfg.post_request
        self._quits = False
        self._logs_access = type(log).access is not Logger.access or log.access_log_enabled

    def init_process(self) -> None:
        """Serve until it is time to stop; called by gunicorn, after the fork."""
        # The settings do not change any more. gunicorn looks one up sixteen times with each request, each time
        # through two functions, which together takes nearly as long as to parse the request.
        self.cfg.__dict__.update({name: setting.get() for name, setting in self.cfg.settings.items()})
        runtime.use(GEVENT)
        super().init_process()

    def patch(self) -> None:
        """Patch the standard library for gevent; called by gunicorn, after the fork."""
        with warnings.catch_warnings():
            # gevent warns that ssl was imported before. The one module that it names as past mending is
            # redis-py's asyncio client, which nothing here uses.
            warnings.simplefilter("ignore", MonkeyPatchWarning)
            super().patch()

    def server_class(self, listener: Any, *, spawn: Pool, **_: Any) -> StreamServer:
        """Return the server that accepts the connections of a listening socket; called by gunicorn."""
        server = StreamServer(listener, handle=partial(self.handle, listener), spawn=spawn)
        # Processes that share a listening socket leave connections to each other by accepting one at a time. With
        # `reuse_port` each process has its own socket, and new callers would only wait for busy ones.
        server.max_accept = 1 if self.cfg.workers > 1 and not self.cfg.reuse_port else ACCEPTED_AT_ONCE
        return server

    def handle_exit(self, sig: Any, frame: Any) -> None:
        """Stop gracefully, and answer the held requests at once; called by gunicorn on SIGTERM."""
        if not self.booted:
            sys.exit(0)  # no connection has been accepted
        release_held()
        super().handle_exit(sig, frame)

    def handle_quit(self, sig: Any, frame: Any) -> None:
        """Stop at once, unless that is under way; called by gunicorn on SIGQUIT and SIGINT.

        Ctrl-C in a terminal sends SIGINT to all processes, and the arbiter then sends SIGQUIT. gunicorn's method,
        called twice, would exit a second time while the interpreter is ending, which prints a traceback.
        """
        if not self._quits:
            self._quits = True
            super().handle_quit(sig, frame)

    def handle(self, listener: Any, client: Any, addr: Any) -> None:
        """Serve a connection until it is closed; called by gunicorn."""
        super().handle(listener, CallerSocket.adopt(client), addr)

    def handle_request(self, listener_name: Any, req: Any, sock: Any, addr: Any) -> None:
        """Answer a request; called by gunicorn. Raises StopIteration to close the connection."""
        sock.expect_body()
        started = self._logs_access and time.monotonic()
        response, environ = None, {}
        try:
            if self._pre_request:
                self._pre_request(self, req)
            response, environ = wsgi.create(req, sock, addr, listener_name, self.cfg, WorkerResponse, (self,))
            environ["wsgi.multithread"] = True
            taken_over = self._respond(environ, response)
        except GreenletExit:
            raise StopIteration from None  # the time for a graceful stop is up
        finally:
            if started and response and response.headers_sent:
                self.log.access(response, req, environ, timedelta(seconds=time.monotonic() - started))
            if self._post_request:
                self._call_post_request(req, environ, response)
        if not taken_over and (response.should_close() or not discard(req.body, self.cfg.keepalive)):
            raise StopIteration
        sock.expect_head()
        others_first()

    def handle_error(self, req: Any, client: Any, addr: Any, exc: BaseException) -> None:
        """Answer a request that the parser refused, or that an exception of the application ended."""
        refusal = refusal_of(exc)
        if refusal is BROKEN:
            self.log.error("a request broke", exc_info=exc)
        else:
            self.log.info("refused a request from %s: %s", addr and addr[0], type(exc).__name__)
        if req and self._logs_access:
            environ = wsgi.default_environ(req, client, self.cfg) | {"REMOTE_ADDR": addr[0] if addr else ""}
            response = WorkerResponse(req, client, self.cfg, self)
            response.status, response.sent = f"{refusal.status} {refusal.reason}", len(refusal.body)
            self.log.access(response, req, environ, timedelta())
        try:
            util.write_nonblock(client, refusal.response)
        except OSError as error:
            self.log.debug("the caller has gone: %s", error)

    def _respond(self, environ: dict[str, Any], response: WorkerResponse) -> bool:
        """Call the application and send its response. Returns True if it has taken the connection over."""
        self.nr += 1
        if self.nr >= self.max_requests and self.alive:
            self._retire()
        body = self.wsgi(environ, response.start_response)
        if body is ALREADY_HANDLED:
            return True
        try:
            self._send(body, response)
        finally:
            if hasattr(body, "close"):
                body.close()
        return False

    def _send(self, body: Iterable[bytes], response: WorkerResponse) -> None:
        """Send the pieces of the body. Raises StopIteration where the response breaks off."""
        try:
            for piece in body:
                response.write(piece)
            response.close()
        except PeerStalled:
            self.log.info("closed a connection: its peer reads nothing")
            raise StopIteration from None
        except OSError:
            raise
        except (Exception, SystemExit):
            if not response.headers_sent:
                raise
            # An error response would stand in the middle of the answer.
            self.log.exception("an answer broke off")
            util.close(response.sock)
            raise StopIteration from None

    def _retire(self) -> None:
        """Stop as on SIGTERM after `max_requests` requests; gunicorn starts a new process."""
        self.log.info("Autorestarting worker after current request.")
        self.alive = False
        release_held()

    def _call_post_request(self, req: Any, environ: dict[str, Any], response: WorkerResponse | None) -> None:
        try:
            self._post_request(self, req, environ, response)
        except Exception:
            self.log.exception("Exception in post_request hook")
