"""A wrapped application under our worker: requests are counted and logged, and held ones answered at a stop."""

import os
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from batchstatus import JobStore
from tests.support.gunicorns import Gunicorn
from tests.support.rawhttp import Answer, exchange, request
from tests.support.waiting import wait_until

pytestmark = pytest.mark.slow

ORG = "org_acme"
HELD, AT_ONCE_S = 5, 15.0
"""A held request is due within a tick of 0.15 s, and would be held for 30 s; the rest is for a busy machine."""

SERVICE = """
import os
import batchstatus
from batchstatus.web import Caller, blueprint, create_app
store = batchstatus.connect(os.environ["STORE"], timeout_s=30)
service = create_app(store)
"""

WRAPPERS = {
    "a callable": "def app(environ, start_response): return service(environ, start_response)",
    "a generator": "def app(environ, start_response): yield from service(environ, start_response)",
    "the dispatcher of werkzeug": (
        "from werkzeug.middleware.dispatcher import DispatcherMiddleware\n"
        "app = DispatcherMiddleware(lambda *_: 1 / 0, {'/mounted': service})"
    ),
    "a Flask host": (
        "import flask\n"
        "app = flask.Flask('host')\n"
        "allow = lambda _: Caller('org_acme', ['transactions:create'])\n"
        "app.register_blueprint(blueprint(store, authorize=allow), url_prefix='/mounted')"
    ),
    "a dispatcher around OpenTelemetry": (
        "from opentelemetry.instrumentation.wsgi import OpenTelemetryMiddleware\n"
        "from werkzeug.middleware.dispatcher import DispatcherMiddleware\n"
        "app = DispatcherMiddleware(lambda *_: 1 / 0, {'/mounted': OpenTelemetryMiddleware(service)})"
    ),
    "OpenTelemetry": (
        "from opentelemetry.instrumentation.wsgi import OpenTelemetryMiddleware\n"
        "app = OpenTelemetryMiddleware(service)"
    ),
    "Sentry": (
        "import sentry_sdk\n"
        "from sentry_sdk.integrations.wsgi import SentryWsgiMiddleware\n"
        "sentry_sdk.init(dsn='http://key@127.0.0.1:1/1')\n"
        "app = SentryWsgiMiddleware(service)"
    ),
}
MOUNTED = {"the dispatcher of werkzeug", "a dispatcher around OpenTelemetry", "a Flask host"}
OPENTELEMETRY = "opentelemetry.instrumentation.wsgi"
NEEDED = {
    "OpenTelemetry": OPENTELEMETRY,
    "a dispatcher around OpenTelemetry": OPENTELEMETRY,
    "Sentry": "sentry_sdk",
}


class Wrapped(Gunicorn):
    """The wrapped service, and callers with a key."""

    def __init__(self, wrapper: str, folder: Path, store_url: str, store: JobStore, *options: str) -> None:
        (folder / "wrapping.py").write_text(f"{SERVICE}\n{WRAPPERS[wrapper]}\n")
        self.prefix = "/mounted" if wrapper in MOUNTED else ""
        up = request("GET", f"{self.prefix}/livez")
        super().__init__("wrapping:app", *options, wait_for=up, directory=folder, STORE=store_url)
        self.key, _ = store.api_keys.create(ORG, ["transactions:create"])
        self.path = f"/batch-import/jobs/{store.create(ORG, 'transaction_batch').job_id}"

    def ask(self, path: str, *lines: str) -> Answer:
        return exchange(self.port, request("GET", self.prefix + path, *lines, key=self.key))

    def hold(self) -> Answer:
        """The answer to a request that waits for a change."""
        tag = self.ask(self.path).headers["etag"]
        return self.ask(self.path, f"If-None-Match: {tag}", "Prefer: wait=30")

    def holds(self, count: int) -> bool:
        return b"batchstatus_held_requests %.1f" % count in self.ask("/metrics").body


@pytest.fixture(params=WRAPPERS)
def wrapped(
    request: pytest.FixtureRequest, tmp_path: Path, redis_url: str, real_store: JobStore
) -> Iterator[Wrapped]:
    if needed := NEEDED.get(request.param):
        pytest.importorskip(needed)
    with Wrapped(request.param, tmp_path, redis_url, real_store, "--access-logfile", "-") as server:
        yield server


def test_each_request_is_counted_and_has_its_line_in_the_access_log(wrapped: Wrapped) -> None:
    assert [wrapped.ask(wrapped.path).status for _ in range(3)] == [200] * 3
    assert wrapped.ask("/batch-import/jobs/unknown").status == 404
    counted = wrapped.ask("/metrics").body
    for status, times in ((200, 3), (404, 1)):
        sample = f'batchstatus_requests_total{{route="/batch-import/jobs/<job_id>",status="{status}"}} {times}.0'
        assert sample.encode() in counted
    line = f'"GET {wrapped.prefix}{wrapped.path} HTTP/1.1" 200 '
    wait_until(lambda: wrapped.log().count(line) == 3, what="three lines in the access log")


def test_a_stop_answers_held_requests_at_once_and_whole(wrapped: Wrapped) -> None:
    with ThreadPoolExecutor(HELD) as threads:
        held = [threads.submit(wrapped.hold) for _ in range(HELD)]
        wait_until(lambda: wrapped.holds(HELD), what="the requests are held")
        wrapped.process.terminate()
        told_at = time.monotonic()
        answers = [each.result(20) for each in held]
        assert time.monotonic() - told_at < AT_ONCE_S
    assert {(each.status, each.headers["connection"]) for each in answers} == {(304, "close")}
    assert wrapped.process.wait(20) == 0
    assert "Traceback" not in wrapped.log()
    assert "Error" not in wrapped.log()


def test_a_process_that_is_replaced_answers_held_requests_at_once(
    tmp_path: Path, redis_url: str, real_store: JobStore
) -> None:
    with Wrapped("a callable", tmp_path, redis_url, real_store) as server, ThreadPoolExecutor(1) as threads:
        held = threads.submit(server.hold)
        wait_until(lambda: server.holds(1), what="the request is held")
        (process,) = server.worker_pids()
        os.kill(process, signal.SIGTERM)
        told_at = time.monotonic()
        assert held.result(20).status == 304
        assert time.monotonic() - told_at < AT_ONCE_S
        wait_until(lambda: process not in server.worker_pids(), 20)


def test_held_requests_are_answered_at_once_when_max_requests_is_reached(
    tmp_path: Path, redis_url: str, real_store: JobStore
) -> None:
    options = ("--max-requests", "200")
    with (
        Wrapped("a callable", tmp_path, redis_url, real_store, *options) as server,
        ThreadPoolExecutor(1) as threads,
    ):
        (process,) = server.worker_pids()
        held = threads.submit(server.hold)
        wait_until(lambda: server.holds(1), what="the request is held")
        while "Autorestarting" not in server.log():
            server.ask("/livez")
        told_at = time.monotonic()
        assert held.result(20).status == 304
        assert time.monotonic() - told_at < AT_ONCE_S
        wait_until(lambda: process not in server.worker_pids(), 20)
