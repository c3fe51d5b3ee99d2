"""The service as a Flask application: `create_app(store)`, and `open_service(settings)` with all that it needs."""

import inspect
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Any
from wsgiref.types import StartResponse, WSGIEnvironment

import flask
from flask import signals
from werkzeug.exceptions import HTTPException
from werkzeug.routing import MapAdapter

from batchstatus.model.errors import InvalidValue
from batchstatus.reaper import Reaper
from batchstatus.settings import Settings
from batchstatus.store import JobStore
from batchstatus.web import runtime
from batchstatus.web.access import Authorize
from batchstatus.web.call import Call
from batchstatus.web.errors import log_bug, response_to
from batchstatus.web.proxied import behind_proxy
from batchstatus.web.registration import Registered, finish, parts_of
from batchstatus.web.responses import Response
from batchstatus.web.routing import answer, check_target, keep_encoded_slashes
from batchstatus.webhooks.dispatcher import Dispatcher
from batchstatus.webhooks.secrets import Secrets

_SIGNALS = (
    *(signals.request_started, signals.request_finished, signals.request_tearing_down),
    *(signals.got_request_exception, signals.appcontext_pushed, signals.appcontext_popped),
    signals.appcontext_tearing_down,
)


_METHODS = (
    *("full_dispatch_request", "preprocess_request", "dispatch_request", "finalize_request", "process_response"),
    *("make_response", "handle_exception", "handle_user_exception", "handle_http_exception", "request_context"),
    *("do_teardown_request", "do_teardown_appcontext"),
)
"""What Flask runs for a request."""


class Service(flask.Flask):
    """The service as an ordinary Flask application: hooks, error handlers, signals and extensions work in it.

    Flask's contexts and hooks take nearly half of a poll's time. So there is one rule: while the application is as
    `create_app` made it, and nobody listens to Flask's signals, requests go past them (`_directly`), to the same
    views. Whatever is added, set or replaced before the first request makes every request go Flask's way.
    """

    def __init__(
        self,
        store: JobStore,
        authorize: Authorize | None,
        max_held: int | None,
        cors_origins: Iterable[str] = (),
    ) -> None:
        super().__init__("batchstatus", static_folder=None)
        bare = _is_flasks_own(self)
        self.config["PROVIDE_AUTOMATIC_OPTIONS"] = False
        self.url_map.merge_slashes = False
        self.parts = parts_of(store, authorize, max_held, cors_origins)
        made = flask.Blueprint("batchstatus", __name__)
        self._registered = Registered(self.parts, made, owns_app=True)
        self._router = self._registered.router
        self.register_blueprint(made)
        self._may_go_directly = bare and authorize is None
        self._plain: bool | None = None
        self._as_made = _setup_of(self)

    def wsgi_app(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer a request. Called by the server."""
        keep_encoded_slashes(environ)
        # Flask's test client asks for the context to be kept.
        if self._goes_directly() and "werkzeug.debug.preserve_context" not in environ:
            return self._directly(environ)(environ, start_response)
        return super().wsgi_app(environ, start_response)

    def _goes_directly(self) -> bool:
        """Return True if nothing of Flask's would run but what is ours."""
        if self._plain is None:
            as_made = type(self) is Service and _setup_of(self) == self._as_made
            self._plain = as_made and self._may_go_directly and not (self.debug or self.testing)
            self._got_first_request = True  # from here on Flask refuses to have anything added
        return self._plain and not any(signal.receivers for signal in _SIGNALS)

    def _directly(self, environ: WSGIEnvironment) -> Response:
        """Return the response, whatever happens; without Flask's contexts."""
        call = Call(self.parts, self.request_class(environ))
        try:
            check_target(environ)
            response = self.parts.cors.preflight(call.request) or self._routed(call)
        except Exception as error:
            response = response_to(call, error)
        response.headers += [("X-Request-Id", call.id), *self.parts.cors.headers(call.request)]
        finish(call, response.status)
        return response

    def _routed(self, call: Call) -> Response:
        environ = call.request.environ
        route, values = self._router.find(environ["PATH_INFO"], environ["REQUEST_METHOD"])
        return answer(call, route, values)

    def create_url_adapter(self, request: flask.Request | None) -> MapAdapter | None:
        """Bind the routes to a request, whatever its Host. Called by Flask."""
        try:
            return super().create_url_adapter(request)
        except HTTPException:
            if request is None or self.config["TRUSTED_HOSTS"] is not None:
                raise
            environ = request.environ
            return self.url_map.bind("", path_info=request.path, default_method=environ["REQUEST_METHOD"])

    def log_exception(self, exc_info: tuple[type, BaseException, TracebackType] | tuple[None, None, None]) -> None:
        """Log an error that no handler took, with the request that met it. Called by Flask."""
        log_bug(self.logger, self._registered.call(), exc_info[1])


def create_app(
    store: JobStore,
    *,
    authorize: Authorize | None = None,
    max_held: int | None = None,
    cors_origins: Iterable[str] = (),
) -> Service:
    """Return the service over `store` as a Flask application. Nothing is sent before the first request.

    `authorize`, `max_held` and `cors_origins` as for `blueprint`.

        app = create_app(batchstatus.connect("redis://127.0.0.1:6379/0"))
        app.before_request(note_the_caller)
    """
    return Service(store, authorize, max_held, cors_origins)


def open_service(settings: Settings) -> Service:
    """Return the service that the settings describe, its reaper started. InvalidValue names a wrong URL."""
    try:
        store = runtime.in_use().open_store(settings.redis_url, settings.store)
    except InvalidValue as error:
        raise InvalidValue(f"BATCHSTATUS_REDIS_URL: {error}") from None
    app = create_app(store, cors_origins=settings.cors_origins)
    Reaper(store, app.parts.metrics.ended).start()
    if settings.webhooks_keys:
        known, count = Secrets(settings.webhooks_keys), app.parts.metrics.count_webhook_try
        Dispatcher.of(store.connection, known, settings.webhooks_allow, count).start()
    if settings.trust_proxy:
        app.wsgi_app = behind_proxy(app.wsgi_app)  # type: ignore[method-assign,assignment]
    return app


def _is_flasks_own(app: flask.Flask) -> bool:
    """Return True if Flask is as it was released: its constructor hooks nothing in, nothing is patched.

    Tools that instrument every application (OpenTelemetry's and others) replace the class or its methods.
    """
    base = type(app).__mro__[1]
    hooks = (app.before_request_funcs, app.after_request_funcs, app.teardown_request_funcs)
    folder = str(Path(flask.__file__).parent)
    functions = [inspect.getattr_static(base, name) for name in _METHODS]
    untouched = all(
        inspect.isfunction(each) and each.__code__.co_filename.startswith(folder) for each in functions
    )
    return base.__module__ == "flask.app" and untouched and not any(hooks) and not app.teardown_appcontext_funcs


def _setup_of(app: flask.Flask) -> dict[str, Any]:
    """Return what has been set up in an application: hooks, handlers, routes, settings, classes."""
    hooks: tuple[dict[Any, list[Any]], ...] = (
        *(app.before_request_funcs, app.after_request_funcs),
        *(app.teardown_request_funcs, app.url_value_preprocessors),
    )
    handlers = {
        (name, code, error): handler
        for name, by_code in app.error_handler_spec.items()
        for code, by_error in by_code.items()
        for error, handler in by_error.items()
    }
    session = app.session_interface
    # A middleware around `wsgi_app` is outside of all this.
    own = {name: value for name, value in vars(app).items() if isinstance(value, type) or callable(value)}
    own.pop("wsgi_app", None)
    return {
        "hooks": [{name: [*functions] for name, functions in each.items() if functions} for each in hooks],
        "teardown": [*app.teardown_appcontext_funcs],
        "handlers": handlers,
        "views": dict(app.view_functions),
        "rules": len(list(app.url_map.iter_rules())),
        "config": dict(app.config),
        "classes": (app.request_class, app.response_class),
        "session": (session, dict(vars(session))),
        "own": own,
    }
