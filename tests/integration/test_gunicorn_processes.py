"""gunicorn's settings for processes, under our worker: time limits, replacement, reload and hooks."""

import os
import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.support.gunicorns import Gunicorn
from tests.support.rawhttp import RawConnection, connect, exchange, read_to_the_end, request
from tests.support.waiting import wait_until
from tests.support.wsgi_apps import path_of

pytestmark = pytest.mark.slow

APPLICATION = "tests.support.wsgi_apps:app"
SLOW, BUSY = path_of("others", "slow"), path_of("others", "busy")
LONG_S = 600
BROKEN = b"HTTP/1.1 500 "
HOOKS = {
    "on_starting": 1,
    "on_reload": 1,
    "when_ready": 1,
    "pre_fork": 2,
    "post_fork": 2,
    "post_worker_init": 1,
    "worker_int": 1,
    "worker_abort": 1,
    "pre_request": 2,
    "post_request": 4,
    "child_exit": 2,
    "worker_exit": 2,
    "nworkers_changed": 3,
    "on_exit": 1,
}
"""The hooks, and how many arguments each is called with."""


def answered(port: int, sent: bytes) -> bytes:
    """Returns all that comes back until the connection is closed or reset."""
    with connect(port, timeout_s=90) as connection:
        connection.sendall(sent)
        try:
            return read_to_the_end(connection)
        except ConnectionResetError:
            return b""


def test_timeout_ends_a_process_that_gives_nobody_a_turn_and_no_request_that_waits() -> None:
    with Gunicorn(APPLICATION, "--timeout", "3") as server, ThreadPoolExecutor(1) as thread:
        (process,) = server.worker_pids()
        # A request that waits for longer is answered
        assert exchange(server.port, request("GET", f"{SLOW}?4")).body == b"abcdef"
        assert server.worker_pids() == [process]
        # A request that hangs without waiting ends with its process, and a new process answers the next one
        hanging = thread.submit(answered, server.port, request("GET", f"{BUSY}?{LONG_S}"))
        assert hanging.result(90).startswith(BROKEN)
        wait_until(lambda: server.worker_pids() not in ([], [process]), what="a new process")
        assert exchange(server.port, request()).status == 200
        assert "WORKER TIMEOUT" in server.log()


def test_graceful_timeout_is_what_a_stop_gives_a_request() -> None:
    with Gunicorn(APPLICATION, "--graceful-timeout", "1") as server, ThreadPoolExecutor(1) as thread:
        waiting = thread.submit(answered, server.port, request("GET", f"{SLOW}?{LONG_S}"))
        wait_until(lambda: in_service(server) == 1, what="the request is being served")
        assert server.stop() == 0
        assert waiting.result(90) == b""


def test_a_request_that_ends_within_graceful_timeout_is_answered() -> None:
    with Gunicorn(APPLICATION, "--graceful-timeout", "60") as server, ThreadPoolExecutor(1) as thread:
        waiting = thread.submit(answered, server.port, request("GET", f"{SLOW}?3"))
        wait_until(lambda: in_service(server) == 1, what="the request is being served")
        assert server.stop() == 0
        assert waiting.result(90).endswith(b"abcdef")


def in_service(server: Gunicorn) -> int:
    """How many of the application's slow requests have begun and not ended."""
    return int(exchange(server.port, request()).json()["slow"])


def test_max_requests_jitter_lets_each_process_answer_some_more() -> None:
    with Gunicorn(APPLICATION, "--max-requests", "5", "--max-requests-jitter", "5") as server:
        answers = 1  # the one that the start waited for
        while "Autorestarting worker" not in server.log():
            assert exchange(server.port, request()).status == 200
            answers += 1
        assert 5 <= answers <= 10


def test_reload_serves_the_changed_application(tmp_path: Path) -> None:
    source = "def app(environ, start): start('200 OK', [('Content-Length', '{}')]); return [b'{}']"
    (tmp_path / "changing.py").write_text(source.format(6, "before"))
    with Gunicorn("changing:app", "--reload", directory=tmp_path) as server:
        assert exchange(server.port, request()).body == b"before"
        (tmp_path / "changing.py").write_text(source.format(9, "and after"))
        wait_until(lambda: body(server) == b"and after", what="the new application answers")


def body(server: Gunicorn) -> bytes | None:
    """The answer's body; None while no process answers."""
    try:
        return exchange(server.port, request()).body
    except (OSError, AssertionError):
        return None


# Hooks


def test_each_hook_is_called(tmp_path: Path) -> None:
    (tmp_path / "hooks.py").write_text("import sys\n" + "".join(map(hook, HOOKS)))
    config = ("--config", str(tmp_path / "hooks.py"), "--timeout", "3")
    with Gunicorn(APPLICATION, *config) as server:
        assert exchange(server.port, request()).status == 200
        os.kill(server.pid, signal.SIGHUP)
        wait_until(lambda: "hook on_reload" in server.log())
        wait_until(lambda: server.log().count("hook post_worker_init") == 2, what="the new process is ready")
        wait_until(lambda: server.log().count("hook child_exit") == 1, what="the old process has ended")
        os.kill(server.worker_pids()[0], signal.SIGQUIT)
        wait_until(lambda: "hook worker_int" in server.log())
        wait_until(lambda: server.log().count("hook post_worker_init") == 3, what="the next process is ready")
        assert answered(server.port, request("GET", f"{BUSY}?{LONG_S}")).startswith(BROKEN)
        wait_until(lambda: "hook worker_abort" in server.log())
        assert server.stop() == 0
        assert {name for name in HOOKS if f"hook {name}" not in server.log()} == set()


def hook(name: str) -> str:
    arguments = ", ".join("abcd"[: HOOKS[name]])
    return f"def {name}({arguments}): print('hook {name}', file=sys.stderr, flush=True)\n"


@pytest.mark.parametrize(
    ("hook", "arguments", "status"), [("pre_request", "worker, req", 500), ("post_request", "worker, req", 200)]
)
def test_a_hook_that_raises_is_logged_and_ends_no_more_than_its_request(
    tmp_path: Path, hook: str, arguments: str, status: int
) -> None:
    (tmp_path / "hooks.py").write_text(
        f"def {hook}({arguments}):\n    if req.path == '/raises': raise ValueError('a hook')\n"
    )
    with Gunicorn(APPLICATION, "--config", str(tmp_path / "hooks.py")) as server:
        with RawConnection(server.port) as connection:
            connection.send(request("GET", "/raises"))
            assert connection.receive().status == status
            wait_until(lambda: "ValueError: a hook" in server.log())
        assert exchange(server.port, request()).status == 200
