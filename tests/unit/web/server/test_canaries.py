"""What our worker overrides in gunicorn and gevent is still there, and still called as we expect.

Each test fails with a word on what changed; then `batchstatus.web.server` has to be held against the new release.
"""

import inspect
import sys
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import gevent
import pytest
from gevent import socket
from gevent.event import AsyncResult
from gevent.monkey import MonkeyPatchWarning
from gevent.pool import Pool
from gevent.server import StreamServer
from gevent.socket import socketpair
from gunicorn import arbiter, util
from gunicorn.app.base import BaseApplication
from gunicorn.config import Config, PostRequest, PreRequest
from gunicorn.errors import HaltServer
from gunicorn.glogging import Logger
from gunicorn.http import errors as http
from gunicorn.http import get_parser, message, wsgi
from gunicorn.http.body import Body, LengthReader
from gunicorn.http.unreader import SocketUnreader
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
    GEVENT.handle_quit: ["self", "sig", "frame"],
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
    RESPONSE.is_chunked: ["self"],
    wsgi.create: ["req", "sock", "client", "server", "cfg", "response_class", "response_args"],
    wsgi.default_environ: ["req", "sock", "cfg"],
    Logger.setup: ["self", "cfg"],
    Logger.access: ["self", "resp", "req", "environ", "request_time"],
    BaseApplication.load_config: ["self"],
    BaseApplication.load: ["self"],
    util.write_nonblock: ["sock", "data", "chunked"],
    util.is_hoppish: ["header"],
    util.close: ["sock"],
    gevent.with_timeout: ["seconds", "function"],
    gevent.spawn: [],
    http.LimitRequestHeaders.__init__: ["self", "msg"],
    Config.set: ["self", "name", "value"],
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
    Worker: (
        GEVENT,
        {"init_process", "patch", "handle_exit", "handle_quit", "handle", "handle_request", "handle_error"},
    ),
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
        (ASYNC.handle, "timeout_ctx"),
        (GEVENT.handle_quit, "spawn"),
        (GEVENT.init_process, "self.patch()"),
        (GEVENT.run, "self.alive"),
        (GEVENT.run, "graceful_timeout"),
        (GEVENT.run, "worker_connections"),
        (base.Worker.init_process, "self.load_wsgi()"),
        (base.Worker.init_signals, "handle_exit"),
        (base.Worker.init_signals, "handle_quit"),
        (Logger.__init__, "self.setup(cfg)"),
        (RESPONSE.write, "send_headers"),
        (RESPONSE.start_response, "process_headers"),
        (RESPONSE.start_response, "is_chunked"),
    ],
    ids=lambda each: each if isinstance(each, str) else each.__qualname__,
)
def test_gunicorn_still_calls_what_we_override(caller: Callable[..., Any], called: str) -> None:
    assert called in inspect.getsource(caller), f"gunicorn's {caller.__qualname__} does not use {called} any more"


def test_a_worker_has_the_members_that_we_read_and_set() -> None:
    worker = GEVENT(1, 1, [], None, 30, Config(), None)
    worker.tmp.close()
    found = vars(worker)
    expected = {"alive": True, "booted": False, "nr": 0, "max_requests": sys.maxsize}
    assert {name: found.get(name, "missing") for name in expected} == expected, "gunicorn's Worker has changed"
    assert {"cfg", "log", "pid"} <= {*found} | {*dir(GEVENT)}
    assert "self.wsgi =" in inspect.getsource(base.Worker.load_wsgi), "gunicorn's Worker keeps no `wsgi` any more"


def test_a_response_has_the_members_that_we_read_and_set() -> None:
    request = SimpleNamespace(version=(1, 1), method="GET", should_close=lambda: False)
    found = vars(RESPONSE(request, None, Config()))
    expected = {
        "status": None,
        "chunked": False,
        "headers": [],
        "headers_sent": False,
        "response_length": None,
        "sent": 0,
        "upgrade": False,
        "_omits_body": False,
    }
    assert {name: found.get(name, "missing") for name in expected} == expected, "gunicorn's Response has changed"
    assert {"req", "sock", "cfg"} <= found.keys()


def test_a_parsed_request_has_the_members_that_we_read() -> None:
    accepted, there = socketpair()
    with accepted, there:
        there.sendall(b"GET /a?b=c HTTP/1.1\r\nHost: x\r\n\r\n")
        parsed = next(get_parser(Config(), accepted, ("127.0.0.1", 1)))
    assert (parsed.version, parsed.path, parsed.method) == ((1, 1), "/a", "GET"), "gunicorn's Request has changed"
    assert isinstance(parsed.body, Body), "gunicorn's Request has no `body` to discard any more"


def test_the_parser_reads_a_connection_with_recv() -> None:
    """Our connection limits each read, and counts its bytes."""
    assert "recv(" in inspect.getsource(SocketUnreader.chunk), "gunicorn reads a connection in another way"


def test_a_logger_says_whether_it_writes_an_access_log() -> None:
    cfg = Config()
    assert Logger(cfg).access_log_enabled is False, "gunicorn's Logger has no access_log_enabled any more"
    cfg.set("accesslog", "-")
    assert Logger(cfg).access_log_enabled is True


def test_what_a_worker_raises_at_its_start_ends_the_arbiter() -> None:
    source = inspect.getsource(arbiter.Arbiter)
    assert "HaltServer" in source, "gunicorn's arbiter does not stop on HaltServer any more"
    assert issubclass(HaltServer, BaseException)


def test_a_response_that_took_the_connection_over_is_known_by_its_identity() -> None:
    assert "ALREADY_HANDLED" in inspect.getsource(ASYNC.is_already_handled), (
        "gunicorn marks a connection that was taken over in another way"
    )


def test_a_setting_has_its_value() -> None:
    assert {name: setting.get() for name, setting in Config().settings.items()}["keepalive"] == 2, (
        "gunicorn's settings do not give their values by get() any more"
    )


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
        *("bind", "workers", "worker_class", "certfile", "keyfile"),
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


def test_what_ends_a_greenlet_and_warns_of_a_patch_is_what_we_catch() -> None:
    assert not issubclass(gevent.GreenletExit, Exception), "gevent.GreenletExit would be caught as a bug"
    assert issubclass(MonkeyPatchWarning, Warning)
    assert "GreenletExit" in inspect.getsource(Pool.kill.__globals__["Group"].kill), (
        "gevent's pools end their greenlets with another exception"
    )


def test_gevents_time_limit_returns_a_value_or_raises_the_given_error() -> None:
    assert gevent.with_timeout(0.001, gevent.sleep, 30, timeout_value="late") == "late"
    with pytest.raises(LookupError), gevent.Timeout(0.001, LookupError()):
        gevent.sleep(30)


def test_a_socket_of_gevent_is_made_from_the_descriptor_of_another() -> None:
    here, there = socketpair()
    with there, socket.socket(here.family, here.type, here.proto, here.detach()) as made:
        there.sendall(b"abc")
        assert made.recv(2, 0) + made.recv(1) == b"abc", "gevent's sockets are made or read in another way"


def test_an_async_result_is_waited_for() -> None:
    result: AsyncResult[int] = AsyncResult()
    gevent.spawn(result.set, 1)
    assert result.get(timeout=30) == 1


def test_an_exclusive_limit_of_gevent_is_no_exception() -> None:
    assert not issubclass(gevent.Timeout, Exception), "gevent.Timeout would be caught by `except Exception`"


def test_the_arbiter_says_where_it_listens_in_a_message_that_our_logger_completes() -> None:
    said = 'self.log.info("Listening at: %s (%s)", listeners_str, self.pid)'
    assert said in inspect.getsource(arbiter.Arbiter.start), "gunicorn tells in another way where it listens"
