"""gunicorn's settings for requests do under our worker what they do under gunicorn's own gevent worker."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.support.gunicorns import OURS, Gunicorn
from tests.support.rawhttp import RawConnection, connect, exchange, read_to_the_end, request
from tests.support.waiting import wait_until
from tests.support.wsgi_apps import path_of

pytestmark = pytest.mark.slow

APPLICATION = "tests.support.wsgi_apps:app"
LENGTH = path_of("whole", "length")
DIFFERS = {"pid", "closed", "REMOTE_PORT", "SERVER_PORT"}
PROXIED = b"PROXY TCP4 203.0.113.7 192.0.2.1 1111 2222\r\n"


@contextmanager
def both(*options: str, **more: Any) -> Iterator[tuple[Gunicorn, Gunicorn]]:
    """Yields two servers with the same options: one with our worker, one with gunicorn's gevent worker."""
    with (
        Gunicorn(APPLICATION, *options, **more) as ours,
        Gunicorn(APPLICATION, *options, worker_class="gevent", **more) as gunicorns,
    ):
        yield ours, gunicorns


def environ(server: Gunicorn, sent: bytes) -> dict[str, Any]:
    """What the application is told of a request, without what differs between two servers."""
    told: dict[str, Any] = exchange(server.port, sent).json()
    return {name: value for name, value in told.items() if name not in DIFFERS}


def status(server: Gunicorn, sent: bytes) -> int:
    with connect(server.port) as connection:
        connection.sendall(sent)
        return int(read_to_the_end(connection).split(b" ", 2)[1])


@pytest.mark.parametrize(
    ("trusted", "scheme", "prefix"),
    [("127.0.0.1", "https", "/mount"), ("*", "https", "/mount"), ("192.0.2.1", "http", "")],
)
def test_forwarded_allow_ips_names_the_proxies_that_are_believed(trusted: str, scheme: str, prefix: str) -> None:
    sent = request("GET", "/mount/a", "X-Forwarded-Proto: https", "SCRIPT_NAME: /mount", "X-Forwarded-For: x")
    with both("--forwarded-allow-ips", trusted) as (ours, gunicorns):
        told = environ(ours, sent)
        assert told == environ(gunicorns, sent)
    assert (told["wsgi.url_scheme"], told["SCRIPT_NAME"]) == (scheme, prefix)
    assert told["REMOTE_ADDR"] == "127.0.0.1"


def test_the_environments_script_name_is_the_mount() -> None:
    below = request("GET", "/mount/a?b=c")
    with both(SCRIPT_NAME="/mount", wait_for=below) as (ours, gunicorns):
        told = environ(ours, below)
        assert told == environ(gunicorns, below)
        assert (told["SCRIPT_NAME"], told["PATH_INFO"], told["QUERY_STRING"]) == ("/mount", "/a", "b=c")
        elsewhere = request("GET", "/elsewhere", "Connection: close")
        assert status(ours, elsewhere) == status(gunicorns, elsewhere) == 500


def test_proxy_protocol_tells_the_callers_address_for_the_whole_connection() -> None:
    with both("--proxy-protocol", "auto") as servers:
        told = []
        for server in servers:
            with RawConnection(server.port) as connection:
                connection.send(PROXIED + request())
                told.append([connection.receive().json()])
                connection.send(request())
                told[-1].append(connection.receive().json())
    ours, gunicorns = ([{**each, **dict.fromkeys(DIFFERS)} for each in answers] for answers in told)
    assert ours == gunicorns
    assert [(each["REMOTE_ADDR"], each["REMOTE_PORT"]) for each in told[0]] == [("203.0.113.7", "1111")] * 2


def test_proxy_protocol_of_a_peer_that_is_not_allowed_is_403() -> None:
    with both("--proxy-protocol", "v1", "--proxy-allow-from", "192.0.2.1") as (ours, gunicorns):
        assert status(ours, PROXIED + request()) == status(gunicorns, PROXIED + request()) == 403


def test_the_parsers_limits_refuse_what_exceeds_them() -> None:
    # 100 bytes of a line, of which the target may have 86; Host is one of the three headers
    fits = request("GET", "/" + "a" * 85, "A: " + "b" * 95, "B: b", "Connection: close")[:-2]
    options = ("--limit-request-line", "100", "--limit-request-fields", "4", "--limit-request-field_size", "100")
    refused = {
        414: request("GET", "/" + "a" * 90),
        431: request("GET", "/", "A: " + "b" * 110),
    }
    many = request("GET", "/", *(f"X-{number}: a" for number in range(4)))
    with both(*options) as (ours, gunicorns):
        assert status(ours, fits + b"\r\n") == status(gunicorns, fits + b"\r\n") == 200
        for code, sent in refused.items():
            assert exchange(ours.port, sent).refusal == (code, "BAD_REQUEST")
            assert status(gunicorns, sent) >= 400
        assert exchange(ours.port, many).refusal == (431, "BAD_REQUEST")
        assert status(gunicorns, many) >= 400


def test_keepalive_closes_a_connection_that_is_idle_for_so_long() -> None:
    with Gunicorn(APPLICATION, "--keep-alive", "1") as server, RawConnection(server.port) as connection:
        for _ in range(3):
            connection.send(request("GET", LENGTH))
            answer = connection.receive()
            assert (answer.headers["connection"], answer.body) == ("keep-alive", b"abcdef")
        assert connection.is_closed()


def test_keepalive_is_no_limit_for_an_answer() -> None:
    with Gunicorn(APPLICATION, "--keep-alive", "1") as server:
        assert exchange(server.port, request("GET", f"{path_of('others', 'slow')}?2.5")).body == b"abcdef"


def test_worker_connections_limits_how_many_are_served_at_a_time() -> None:
    with Gunicorn(APPLICATION, "--worker-connections", "2", "--keep-alive", "60") as server:
        with RawConnection(server.port) as first, RawConnection(server.port) as second:
            for each in (first, second):
                each.send(request())
                assert each.receive().status == 200
            third = RawConnection(server.port)
            third.send(request())
            assert third.says_nothing_for(0.5)
        with third:  # the first two have hung up
            assert third.receive().status == 200


# Logs

ATOMS = (
    "%(h)s|%(l)s|%(u)s|%(r)s|%(m)s|%(U)s|%(q)s|%(H)s|%(s)s|%(B)s|%(b)s|%(f)s|%(a)s|%({x-a}i)s|%({content-type}o)s"
    "|%({REQUEST_METHOD}e)s|%({wsgi.url_scheme}e)s"
)
LOGGED = [
    (
        request("GET", f"{LENGTH}?a=b", "X-A: 1", "User-Agent: me", "Referer: http://x/"),
        "|200|6|6|http://x/|me|1|",
    ),
    (request("HEAD", LENGTH), "|200|0|0|"),
    (request("GET", path_of("whole", "chunks")), "|200|6|6|"),
    (request("GET", path_of("whole", "no content")), "|204|"),
    (request("GET", LENGTH, "Authorization: Basic dXNlcjpwYXNz"), "|user|"),
]


def test_each_line_of_the_access_log_has_what_its_format_asks_for() -> None:
    with both("--access-logfile", "-", "--access-logformat", f"line: {ATOMS}") as servers:
        lines = []
        for server in servers:
            for sent, _ in LOGGED:
                status(server, sent.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
            wait_until(lambda server=server: len(logged(server)) > len(LOGGED), what="all lines are there")
            lines.append(logged(server)[-len(LOGGED) :])
    ours, gunicorns = lines
    assert ours == gunicorns
    for line, (_, part) in zip(ours, LOGGED, strict=True):
        assert part in line


def logged(server: Gunicorn) -> list[str]:
    """The lines of the access log; the first is that of the request that waits for the start."""
    return re.findall(r"^line: (.*)$", server.log(), re.MULTILINE)


def test_a_logger_class_of_ones_own_is_told_of_each_request(tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(
        "from gunicorn.glogging import Logger\n"
        "class Own(Logger):\n"
        "    def access(self, resp, req, environ, request_time):\n"
        "        took = request_time.total_seconds() >= 0\n"
        "        self.error_log.info('own: %s %s %s %s', resp.status, resp.sent, req.path, took)\n"
    )
    server = Gunicorn(APPLICATION, "--logger-class", "own.Own", "--pythonpath", str(tmp_path))
    with server:
        exchange(server.port, request("GET", LENGTH))
        exchange(server.port, request("GET", path_of("refused", "an exception")))
        exchange(server.port, b"NONSENSE\r\n\r\n")
        wait_until(lambda: f"own: 200 OK 6 {LENGTH} True" in server.log(), what=server.log())
        wait_until(lambda: "own: 500 Internal Server Error" in server.log())


@pytest.mark.parametrize("worker_class", [OURS, "gevent"], ids=["ours", "gunicorn's"])
def test_the_error_log_tells_of_a_request_that_broke(tmp_path: Path, worker_class: str) -> None:
    file = tmp_path / "errors.log"
    with Gunicorn(APPLICATION, "--error-logfile", str(file), worker_class=worker_class) as server:
        assert status(server, request("GET", path_of("refused", "an exception"))) == 500
        wait_until(lambda: "RuntimeError: a mishap" in file.read_text())
        assert server.log() == ""
