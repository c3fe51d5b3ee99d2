"""What our worker overrides in gunicorn and gevent is still there, and still called as we expect.

Each test fails with a word on what changed; then `batchstatus.web.server` has to be held against the new release.
"""

import inspect
from collections.abc import Callable
from typing import Any

import gevent
import pytest
from gevent.pool import Pool
from gevent.server import StreamServer
from gunicorn import util
from gunicorn.app.base import BaseApplication
from gunicorn.config import Config, PostRequest, PreRequest
from gunicorn.glogging import Logger
from gunicorn.http import errors as http
from gunicorn.http import message, wsgi
from gunicorn.http.body import Body, LengthReader
from gunicorn.workers import base, base_async, ggevent

from batchstatus.web.server.gevent_worker import Worker
from batchstatus.web.server.logger import GunicornLogger
from batchstatus.web.server.response import WorkerResponse
from batchstatus.web.server.serve import Server

GEVENT, ASYNC, RESPONSE = ggevent.GeventWorker, base_async.AsyncWorker, wsgi.Response

PARAMETERS: dict[Callable[..., Any], list[str]] = {
    base.Worker.__init__: ["self", "age", "ppid", "sockets", "app", "timeout", "cfg", "log"],
    GEVENT.init_process: ["self"],
    GEVENT.patch: ["self"],
    GEVENT.handle_exit: ["self", "sig", "frame"],
    GEVENT.handle: ["self", "listener", "client", "addr"],
    ASYNC.handle_request: ["self", "listener_name", "req", "sock", "addr"],
    base.Worker.handle_error: ["self", "req", "client", "addr", "exc"],
    RESPONSE.__init__: ["self", "req", "sock", "cfg"],
    RESPONSE.process_headers: ["self", "headers"],
    RESPONSE.send_headers: ["self"],
    RESPONSE.default_headers: ["self"],
    RESPONSE.close: ["self"],
    RESPONSE.force_close: ["self"],
    RESPONSE.should_close: ["self"],
    RESPONSE.write: ["self", "arg"],
    wsgi.create: ["req", "sock", "client", "server", "cfg"],
    wsgi.default_environ: ["req", "sock", "cfg"],
    Logger.setup: ["self", "cfg"],
    Logger.access: ["self", "resp", "req", "environ", "request_time"],
    BaseApplication.load_config: ["self"],
    BaseApplication.load: ["self"],
    util.write_nonblock: ["sock", "data", "chunked"],
    util.is_hoppish: ["header"],
    PreRequest.pre_request: ["worker", "req"],
    PostRequest.post_request: ["worker", "req", "environ", "resp"],
}
"""Every function that we override or call, and its parameters; more at the end do no harm."""


@pytest.mark.parametrize(
    ("function", "expected"), PARAMETERS.items(), ids=lambda each: getattr(each, "__qualname__", "")
)
def test_gunicorn_calls_it_with_these(function: Callable[..., Any], expected: list[str]) -> None:
    found = list(inspect.signature(function).parameters)
    assert found[: len(expected)] == expected, f"gunicorn has changed the parameters of {function.__qualname__}"


OVERRIDDEN: dict[type, tuple[type, set[str]]] = {
    Worker: (GEVENT, {"init_process", "patch", "handle_exit", "handle", "handle_request", "handle_error"}),
    WorkerResponse: (RESPONSE, {"process_headers", "send_headers", "default_headers", "close"}),
    GunicornLogger: (Logger, {"setup"}),
    Server: (BaseApplication, {"load_config", "load"}),
}


@pytest.mark.parametrize("ours", OVERRIDDEN, ids=lambda each: each.__name__)
def test_what_we_override_is_gunicorns(ours: type) -> None:
    theirs, names = OVERRIDDEN[ours]
    missing = {name for name in names if not hasattr(theirs, name)}
    assert missing == set(), f"gunicorn's {theirs.__name__} has lost {missing}: nothing calls our version"
    assert {name for name in names if name not in vars(ours)} == set()


@pytest.mark.parametrize(
    ("caller", "called"),
    [
        (GEVENT.run, "server_class"),
        (GEVENT.handle, "super().handle"),
        (ASYNC.handle, "handle_request("),
        (ASYNC.handle, "handle_error("),
        (ASYNC.handle, "StopIteration"),
        (ASYNC.handle, "keepalive"),
        (RESPONSE.write, "send_headers"),
        (RESPONSE.start_response, "process_headers"),
        (RESPONSE.start_response, "is_chunked"),
    ],
    ids=lambda each: each if isinstance(each, str) else each.__qualname__,
)
def test_gunicorn_still_calls_what_we_override(caller: Callable[..., Any], called: str) -> None:
    assert called in inspect.getsource(caller), f"gunicorn's {caller.__qualname__} does not use {called} any more"


def test_a_body_is_sent_by_the_method_that_we_override() -> None:
    assert hasattr(RESPONSE, "_emit_body"), "gunicorn's Response sends its body in another way"
    assert "_emit_body" in inspect.getsource(RESPONSE.write)


def test_settings_are_looked_up_so_that_an_attribute_of_the_instance_wins() -> None:
    cfg = Config()
    cfg.__dict__["keepalive"] = 77
    assert cfg.keepalive == 77, "gunicorn's Config does not fall back to __getattr__ for its settings any more"


@pytest.mark.parametrize(
    "name",
    [
        *("reuse_port", "keepalive", "graceful_timeout", "limit_request_line", "limit_request_field_size"),
        *("secure_scheme_headers", "forwarder_headers", "forwarded_allow_ips", "control_socket_disable"),
        *("worker_connections", "http_protocols", "http2_cleartext", "preload_app", "pre_request", "post_request"),
        *(
            "max_requests",
            "max_requests_jitter",
            "logger_class",
            "worker_exit",
            "child_exit",
            "on_exit",
            "loglevel",
        ),
    ],
)
def test_the_setting_is_there(name: str) -> None:
    assert name in Config().settings, f"gunicorn has no setting {name} any more"


@pytest.mark.parametrize(
    "name",
    [
        *("InvalidResponseHeader", "InvalidResponseHeaderName", "ConfigurationProblem", "ForbiddenProxyRequest"),
        *("LimitRequestLine", "ExpectationFailed", "LimitRequestHeaders", "UnsupportedTransferCoding"),
    ],
)
def test_the_parsers_error_is_there(name: str) -> None:
    assert issubclass(getattr(http, name), http.ParseException), f"gunicorn's {name} is no ParseException any more"


def test_a_body_says_how_much_of_it_is_left() -> None:
    reader = LengthReader(None, 5)
    assert reader.length == 5, "gunicorn's LengthReader does not count down `length` any more"
    assert Body(reader).reader is reader
    assert Body(reader).failed is False, "gunicorn's Body does not note its failure any more"


def test_the_patterns_for_headers_are_there() -> None:
    assert message.TOKEN_RE.fullmatch("X-Request-Id")
    assert wsgi.HEADER_VALUE_RE.fullmatch("a b")
    assert not wsgi.HEADER_VALUE_RE.fullmatch("a\r\nb")


def test_gevent_accepts_as_many_connections_at_once_as_max_accept_says() -> None:
    assert isinstance(StreamServer.max_accept, int), "gevent's servers have no max_accept any more"
    assert "max_accept" in inspect.getsource(StreamServer.__mro__[1]), (
        "gevent's BaseServer does not read max_accept"
    )
    assert {"handle", "spawn"} <= {*inspect.signature(StreamServer.__init__).parameters}
    assert hasattr(Pool, "spawn")


def test_a_timer_of_gevent_has_a_priority_and_is_waited_for() -> None:
    hub = gevent.get_hub()
    timer = hub.loop.timer(0, priority=-1)
    try:
        hub.wait(timer)
    finally:
        timer.close()


def test_an_exclusive_limit_of_gevent_is_no_exception() -> None:
    assert not issubclass(gevent.Timeout, Exception), "gevent.Timeout would be caught by `except Exception`"
