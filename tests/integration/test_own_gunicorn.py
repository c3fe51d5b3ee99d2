"""Our worker under one's own gunicorn: its settings count, and an application may be wrapped."""

import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from batchstatus import JobStore
from tests.support.gunicorns import Gunicorn
from tests.support.rawhttp import RawConnection, exchange, request
from tests.support.waiting import wait_until
from tests.support.wsgi_apps import path_of

pytestmark = pytest.mark.slow

APPLICATION = "tests.support.wsgi_apps:app"
ORG = "org_acme"

WRAPPERS = """
import os
import batchstatus
from batchstatus.web import create_app
from werkzeug.middleware.dispatcher import DispatcherMiddleware

service = create_app(batchstatus.connect(os.environ["STORE"], timeout_s=30))

class Wrapped:
    def __init__(self, app):
        self._app = app
    def __call__(self, environ, start_response):
        return self._app(environ, start_response)

plain = Wrapped(service.wsgi_app)
mounted = DispatcherMiddleware(Wrapped(service), {"/m": service})
"""


def said(server: Gunicorn) -> dict[str, object]:
    found: dict[str, object] = exchange(server.port, request()).json()
    return found


def pids(server: Gunicorn, times: int) -> list[object]:
    return [said(server)["pid"] for _ in range(times)]


def test_max_requests_replaces_the_process() -> None:
    with Gunicorn(APPLICATION, "--max-requests", "3") as server:
        first = said(server)["pid"]
        wait_until(lambda: said(server)["pid"] != first, what="another process answers")


def test_keep_alive_0_closes_after_each_answer() -> None:
    with Gunicorn(APPLICATION, "--keep-alive", "0") as server, RawConnection(server.port) as connection:
        connection.send(request())
        assert connection.receive().headers["connection"] == "close"
        assert connection.is_closed()


@pytest.mark.parametrize(("processes", "several"), [(1, False), (2, True)])
def test_an_application_is_told_truly_whether_there_are_other_processes(processes: int, several: bool) -> None:
    with Gunicorn(APPLICATION, "--workers", str(processes), "--reuse-port") as server:
        assert said(server)["wsgi.multiprocess"] is several
        assert said(server)["wsgi.multithread"] is True


def test_hooks_run_around_each_request(tmp_path: Path) -> None:
    config = tmp_path / "hooks.py"
    config.write_text(
        "def pre_request(worker, req): worker.log.warning('before %s', req.path)\n"
        "def post_request(worker, req, environ, resp): worker.log.warning('after %s', resp.status)\n"
    )
    with Gunicorn(APPLICATION, "--config", str(config)) as server:
        exchange(server.port, request("GET", path_of("whole", "length")))
        wait_until(lambda: "before /whole/length" in server.log() and "after 200 OK" in server.log())


def test_the_access_log_is_written() -> None:
    with Gunicorn(APPLICATION, "--access-logfile", "-") as server:
        exchange(server.port, request("GET", path_of("whole", "length")))
        wait_until(lambda: '"GET /whole/length HTTP/1.1" 200 6' in server.log(), what=server.log())


@pytest.mark.parametrize(
    ("options", "named"),
    [(("--preload",), "preload_app"), (("--limit-request-line", "0"), "limit_request_line")],
    ids=["preload", "no limit for the request line"],
)
def test_a_setting_that_the_worker_does_not_support_stops_the_start(options: tuple[str, ...], named: str) -> None:
    server = Gunicorn(APPLICATION, *options).start()
    try:
        assert server.process.wait(30) != 0
        assert f"unsupported setting {named}" in server.log()
    finally:
        server.__exit__()


# A wrapped application


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "wrapping.py").write_text(WRAPPERS)
    return tmp_path


@pytest.fixture(params=["plain", "mounted"])
def wrapped(request: pytest.FixtureRequest, folder: Path, redis_url: str) -> Iterator[Gunicorn]:
    name, livez = f"wrapping:{request.param}", b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n"
    with Gunicorn(name, wait_for=livez, directory=folder, STORE=redis_url) as server:
        yield server


def test_a_stop_answers_held_callers_of_a_wrapped_application_at_once(
    wrapped: Gunicorn, real_store: JobStore
) -> None:
    key, _ = real_store.api_keys.create(ORG, ["transactions:create"])
    path = f"/batch-import/jobs/{real_store.create(ORG, 'transaction_batch').job_id}"
    tag = exchange(wrapped.port, request("GET", path, f"Authorization: Bearer {key}")).headers["etag"]
    waiting = request("GET", path, f"Authorization: Bearer {key}", f"If-None-Match: {tag}", "Prefer: wait=30")
    with ThreadPoolExecutor(1) as threads:
        held = threads.submit(exchange, wrapped.port, waiting)
        metrics = request("GET", "/metrics")
        wait_until(lambda: b"batchstatus_held_requests 1.0" in exchange(wrapped.port, metrics).body)
        began = time.monotonic()
        assert wrapped.stop() == 0
        answer = held.result(10)
    assert answer.status == 304
    assert time.monotonic() - began < 15
    assert "Traceback" not in wrapped.log()


def test_the_metrics_of_a_wrapped_application_are_its_own(wrapped: Gunicorn) -> None:
    assert json.loads(exchange(wrapped.port, request("GET", "/readyz")).body) == {"success": True}
    body = exchange(wrapped.port, request("GET", "/metrics")).body
    assert b'batchstatus_requests_total{route="/readyz",status="200"} 1.0' in body
