"""The service as a Flask blueprint, for anybody's application, under any prefix.

    app.register_blueprint(blueprint(store, authorize=current_caller), url_prefix="/imports")

All that Flask runs around a view runs around these: the application's hooks, its error handlers for what is its
own, its extensions, its signals. Below the prefix every error is ours, unknown paths and methods included.
"""

import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import lru_cache
from typing import Any, NoReturn, TypeAlias

import flask
from flask.sansio.blueprints import BlueprintSetupState
from werkzeug.exceptions import HTTPException, InternalServerError, MethodNotAllowed, NotFound, default_exceptions
from werkzeug.routing import BaseConverter, MapAdapter

from batchstatus.model import values
from batchstatus.model.errors import JobNotFound, StoreUnavailable
from batchstatus.model.kinds import Kinds
from batchstatus.store import JobStore
from batchstatus.web.access import Access, ApiKeyAccess, Authorize, HostAccess
from batchstatus.web.breaker import Breaker
from batchstatus.web.call import Call, Parts, request_ids
from batchstatus.web.cors import Cors
from batchstatus.web.errors import response_to
from batchstatus.web.live import Feed, Ticks, Waits
from batchstatus.web.logs import log_request
from batchstatus.web.metrics import metrics_of_process
from batchstatus.web.responses import Response
from batchstatus.web.routing import Route, Router, answer, check_target
from batchstatus.web.views import (
    callers,
    control,
    events,
    failures,
    history,
    jobs,
    openapi,
    ops,
    runs,
    tickets,
    ui,
)


@lru_cache(maxsize=8)
def router_for(kinds: Kinds) -> Router:
    """Return the router with every route of a service that knows these kinds. Made once."""
    of_kinds = (route for module in (history, control, runs, failures, openapi) for route in module.routes(kinds))
    ours = (*events.ROUTES, *jobs.ROUTES, *of_kinds, *tickets.ROUTES, *callers.ROUTES, *ops.ROUTES, *ui.ROUTES)
    return Router(ours)


METHODS = ("DELETE", "GET", "HEAD", "PATCH", "POST", "PUT")
"""The methods that a 405 may name."""


View: TypeAlias = Callable[..., flask.Response]


class Anything(BaseConverter):
    """The rest of a path, whatever it is: empty, or with doubled slashes. Every other rule comes before it."""

    regex = "(?s:.*)"
    part_isolating = False
    weight = 10_000


def parts_of(
    store: JobStore,
    authorize: Authorize | None = None,
    max_held: int | None = None,
    cors_origins: Iterable[str] = (),
) -> Parts:
    """Return what a service over this store has one of. Raises InvalidValue for what is no origin."""
    counts = metrics_of_process()
    store.reader.listen_for_settled(counts.settled.inc)
    access: Access = HostAccess(authorize) if authorize else ApiKeyAccess()
    breaker = Breaker(store, counts.breaker_open.set)
    ticks = Ticks(store, breaker, max_held)
    waits, feed = Waits(ticks, counts.held.set), Feed(ticks, counts.listeners.set)
    cors = Cors(values.origins(cors_origins))
    return Parts(store, access, breaker, waits, feed, counts, cors, request_ids())


def blueprint(
    store: JobStore,
    *,
    authorize: Authorize | None = None,
    name: str = "batchstatus",
    max_held: int | None = None,
    cors_origins: Iterable[str] = (),
) -> flask.Blueprint:
    """Return the service over `store` as a blueprint. Nothing is sent to the store before the first request.

    - `authorize`: called with Flask's request; returns the Caller, or None for 401. Without it, API keys decide.
    - `name`: of two blueprints in one application each needs its own.
    - `max_held`: how many requests each process may hold at once (`Prefer: wait`). A held request occupies a
      thread of the server. Default: 1, and as many as `batchstatus serve` holds under its own worker.
    - `cors_origins`: whose pages may send requests and read the answers, such as `["https://app.example.com"]`.

        def authorize(request):
            return Caller(g.user.org, g.user.permissions) if g.user else None

        app.register_blueprint(blueprint(store, authorize=authorize), url_prefix="/imports")
    """
    made = flask.Blueprint(name, __name__)
    Registered(parts_of(store, authorize, max_held, cors_origins), made)
    return made


class Registered:
    """What a blueprint runs: its routes, and what comes before, after, and in place of them.

    With `owns_app` the application is the service itself: unknown paths anywhere are ours, and so is what the
    application runs around each request; whoever adds an error handler replaces ours.
    """

    def __init__(self, parts: Parts, made: flask.Blueprint, *, owns_app: bool = False) -> None:
        self._parts = parts
        self._owns_app = owns_app
        self.router = router_for(parts.store.settings.kinds)
        # Where a request's Call is kept, in its WSGI environment: one for each service that the request passes.
        self._key = f"batchstatus.call.{id(parts):x}"
        for route in self.router.routes.values():
            options = {"strict_slashes": True, "merge_slashes": False, "provide_automatic_options": False}
            made.add_url_rule(
                route.path, route.name, self._view(made.name, route), methods=[route.method], **options
            )
        if not owns_app:
            made.before_request(self._begin)
            made.after_request(self._end)
            # By status as well: Flask looks there first, and would find a handler of the host's for its own pages.
            for error in (JobNotFound, StoreUnavailable, HTTPException):
                made.register_error_handler(error, self._error)
            for status in default_exceptions:
                made.register_error_handler(status, self._error)
            made.register_error_handler(Exception, _raise)
        made.record(self._add_rest)

    def call(self) -> Call:
        """Return the Call of the request that is under way."""
        environ = flask.request.environ
        call: Call | None = environ.get(self._key)
        if call is None:
            request = flask.request._get_current_object()  # type: ignore[attr-defined]
            call = environ[self._key] = Call(self._parts, request)
        return call

    def _begin(self) -> flask.Response | None:
        call = self.call()
        check_target(call.request.environ)
        preflight = self._parts.cors.preflight(call.request)
        return _as_flask(preflight) if preflight else None

    def _view(self, blueprint_name: str, route: Route) -> View:
        """Return the view as Flask calls it. Variables of the prefix are for the host's `authorize` to see."""
        variables = route.variables()

        def view(**values: Any) -> flask.Response:
            call = self.call()
            try:
                return _as_flask(answer(call, route, {name: values[name] for name in variables}))
            except Exception as error:
                # Whatever reports it (the host's log, Sentry) says which request met it.
                error.add_note(f"request {call.id}")
                raise

        # Extensions that exempt or limit a view know it by its name (Flask-Limiter, Flask-WTF).
        view.__name__, view.__doc__ = route.name, route.view.__doc__
        view.__qualname__ = f"{blueprint_name}.{route.name}"
        return view

    def _elsewhere(self, **_: Any) -> flask.Response:
        """Answer what has no route: 404, or 405 with the methods that there are."""
        app = flask.current_app
        adapter = app.create_url_adapter(flask.request)
        methods = _methods_known(adapter, flask.request.path) if adapter else []
        if not methods:
            raise NotFound
        if flask.request.method == "OPTIONS" and app.config["PROVIDE_AUTOMATIC_OPTIONS"]:
            response = app.response_class()
            response.allow.update([*methods, "OPTIONS"])
            return response
        raise MethodNotAllowed(methods)

    def _error(self, error: Exception) -> flask.Response:
        if isinstance(error, HTTPException) and error.response is not None:
            return flask.make_response(error.response)  # what somebody has aborted with is meant as it is
        if isinstance(error, InternalServerError):
            error = InternalServerError()  # Flask has logged what it was
        return _as_flask(response_to(self.call(), error))

    def _end(self, response: flask.Response) -> flask.Response:
        if "X-Request-Id" in response.headers:  # another service in this application has answered
            return response
        call = self.call()
        finish(call, response.status_code)
        response.headers["X-Request-Id"] = call.id
        for name, value in self._parts.cors.headers(call.request):
            response.headers.add(name, value)
        return response

    def _add_rest(self, state: BlueprintSetupState) -> None:
        """Add what Flask's blueprints cannot have: every other path and method below the prefix."""
        app: flask.Flask = state.app  # type: ignore[assignment]
        app.url_map.converters["batchstatus_anything"] = Anything
        prefix = "" if self._owns_app else (state.url_prefix or "").rstrip("/")
        # Without a prefix there is no more of the application ours than what only we have.
        above = "/" if prefix or self._owns_app else "/batch-import/"
        endpoint = f"{state.name_prefix}.{state.name}.elsewhere".lstrip(".")
        path = f"{prefix}{above}<batchstatus_anything:rest>"
        rule = app.url_rule_class(path, endpoint=endpoint, subdomain=state.subdomain)  # for every method
        app.url_map.add(rule)
        app.view_functions[endpoint] = self._elsewhere
        if self._owns_app:
            app.before_request(self._begin)
            app.after_request(self._end)
            for error in (JobNotFound, StoreUnavailable, HTTPException):
                app.register_error_handler(error, self._error)


def finish(call: Call, status: int) -> None:
    """Count and log a request that has been answered."""
    seconds = time.perf_counter() - call.started
    call.parts.metrics.answered(call.route, status, seconds)
    log_request(call, status, seconds)


def _methods_known(adapter: MapAdapter, path: str) -> list[str]:
    """Return the methods for which a path has a route, ours or the host's. Ours for every method is none."""
    known = []
    for method in METHODS:
        with suppress(HTTPException):
            rule, _ = adapter.match(path, method, return_rule=True)
            if rule.methods is not None:
                known.append(method)
    return known


def _as_flask(response: Response) -> flask.Response:
    return response.as_flask(flask.current_app.response_class)


def _raise(error: Exception) -> NoReturn:
    """Have Flask treat a bug as one: log and signal it, and ask for the handler of 500, which is ours."""
    raise error
