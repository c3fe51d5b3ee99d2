"""Builds the Flask application."""

import itertools
import re
import secrets
import time
from collections.abc import Callable, Iterable
from typing import Any, cast
from urllib.parse import unquote_to_bytes, urlsplit
from wsgiref.types import StartResponse, WSGIEnvironment

import gevent
from flask import Flask

from batchstatus.errors import StoreUnavailable
from batchstatus.store import JobStore
from batchstatus.web import errors
from batchstatus.web.access import Access
from batchstatus.web.breaker import Breaker
from batchstatus.web.context import ApiRequest, Parts
from batchstatus.web.logs import log_request
from batchstatus.web.metrics import Metrics
from batchstatus.web.responses import Response
from batchstatus.web.views import control, failures, history, jobs, openapi, ops
from batchstatus.web.waiting import Hold, Waits

_REQUEST_ID = re.compile(r"[A-Za-z0-9._:/+=-]{1,128}")


class Service(Flask):
    """The application over `store`, with a bound on how long a request may wait for it.

    Its views are called with the request, so that Flask's contexts are not needed, and there are none: neither
    `flask.request` and `g`, nor hooks (`before_request` and the like).
    """

    def __init__(self, store: JobStore) -> None:
        super().__init__("batchstatus", static_folder=None)
        counts = Metrics()
        store.reader.listen_for_settled(counts.settled.inc)
        breaker, waits = Breaker(store, counts.breaker_open.set), Waits(store, counts.held.set)
        self.parts = Parts(store, Access(store.api_keys), breaker, waits, counts, _request_ids())

    def wsgi_app(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer a request; called by the server."""
        _keep_encoded_slashes(environ)
        return self._respond(ApiRequest(environ))(environ, start_response)

    def release_held(self) -> None:
        """Answer every held request at once, and hold none from now on; the process is about to end."""
        self.parts.waits.close()

    def _respond(self, request: ApiRequest) -> Response:
        """The response, whatever happens."""
        request.started = time.perf_counter()
        request.parts = self.parts
        try:
            self._check(request)
            response = self._view(request)
        except Exception as error:
            response = errors.response_to(request, error)
        response.headers.append(("X-Request-Id", request.id))
        seconds = time.perf_counter() - request.started
        self.parts.metrics.answered(request.route, response.status, seconds)
        log_request(request, response, seconds)
        return response

    def _check(self, request: ApiRequest) -> None:
        environ = request.environ
        given = environ.get("HTTP_X_REQUEST_ID")
        request.id = given if given and _REQUEST_ID.fullmatch(given) else self.parts.new_request_id()
        if "HTTP_HOST" not in environ and environ["SERVER_PROTOCOL"] == "HTTP/1.1":
            raise errors.bad_request("A request in HTTP/1.1 needs a Host (RFC 9112 §3.2).")
        # Werkzeug strips leading slashes before it routes, so that //livez would pass for /livez.
        if "//" in environ["PATH_INFO"]:
            raise errors.ApiError(404, "NOT_FOUND", "There is nothing at this path.")

    def _view(self, request: ApiRequest) -> Response:
        """What the request's view responds, once it has been held if the view says so."""
        found = self._view_in_time(request)
        if isinstance(found, Hold):
            request.held = self.parts.waits.hold(found)
            # Asked anew from the start: the key may have been revoked meanwhile.
            found = self._view_in_time(request)
        return cast("Response", found)

    def _view_in_time(self, request: ApiRequest) -> Response | Hold:
        """Call the view, with 503 once the store has kept it waiting for `timeout_s` in all.

        Each command has its own time limit, but a request may send several, and wait for a connection. In a
        gevent worker this limit covers them all; elsewhere the limits of the commands hold.
        """
        limit = gevent.Timeout(self.parts.store.settings.timeout_s)
        try:
            found = self._view_within(limit, request)
        except StoreUnavailable as error:
            self.parts.breaker.failed(error)
            self.parts.metrics.store_errors.inc()
            raise
        if request.asks_the_store:
            self.parts.breaker.succeeded()
        return found

    def _view_within(self, limit: gevent.Timeout, request: ApiRequest) -> Response | Hold:
        # As long as it is on its way up it is no Exception: redis-py's Cluster would take that for trouble of
        # the server that it asked, and go on with the next.
        try:
            with limit as request.store_limit:
                view = self._route(request)
                return cast("Response | Hold", view(request, **(request.view_args or {})))
        except gevent.Timeout as reached:
            if reached is not limit:
                raise
            raise StoreUnavailable("the store took too long") from None

    def _route(self, request: ApiRequest) -> Callable[..., Any]:
        """The view for a request, by its path alone: its Host decides nothing. HTTPException if there is none."""
        path, method = request.environ["PATH_INFO"], request.environ["REQUEST_METHOD"]
        adapter = self.url_map.bind("", path_info=path, default_method=method, query_args="")
        request.url_rule, arguments = adapter.match(return_rule=True)
        request.view_args = {**arguments}
        return self.view_functions[request.url_rule.endpoint]


def create_app(store: JobStore) -> Service:
    """The service over `store`. Nothing is sent to the store before the first request."""
    app = Service(store)
    app.config["PROVIDE_AUTOMATIC_OPTIONS"] = False
    app.url_map.merge_slashes = False
    for module in (jobs, history, control, failures, ops, openapi):
        app.register_blueprint(module.blueprint)
    return app


def _keep_encoded_slashes(environ: WSGIEnvironment) -> None:
    """Leave `%2F` as it is: part of a segment (RFC 3986 §2.2), so of a malformed job id and of no other path.

    A WSGI server decodes it, and then `jobs/x%2Fcontrol` would pass for `jobs/x/control`.
    """
    target: str = environ.get("RAW_URI", "")
    if "%2f" in target.lower():
        path = target.partition("?")[0] if target.startswith("/") else urlsplit(target).path
        kept = path.replace("%2F", "%252F").replace("%2f", "%252f")
        environ["PATH_INFO"] = unquote_to_bytes(kept).decode("latin-1")


def _request_ids() -> Callable[[], str]:
    """Ids that no other process and no other request has; a random one each would cost a system call each."""
    process, numbers = secrets.token_hex(5), itertools.count(1)
    return lambda: f"{process}{next(numbers):06x}"
