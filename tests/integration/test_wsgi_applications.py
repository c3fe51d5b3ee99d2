"""Any WSGI application under our worker: its responses are those that gunicorn's own gevent worker sends."""

import re
import socket
from collections.abc import Iterator

import pytest

from tests.support.gunicorns import Gunicorn
from tests.support.rawhttp import connect, exchange, read_to_the_end, request
from tests.support.waiting import wait_until
from tests.support.wsgi_apps import CUT, REFUSED, WHOLE, path_of

APPLICATION = "tests.support.wsgi_apps:app"
each_version = pytest.mark.parametrize("version", ["1.1", "1.0"])
each_method = pytest.mark.parametrize("method", ["GET", "HEAD"])


@pytest.fixture(scope="module")
def ours() -> Iterator[Gunicorn]:
    with Gunicorn(APPLICATION) as ours:
        yield ours


@pytest.fixture(scope="module")
def gunicorns() -> Iterator[Gunicorn]:
    with Gunicorn(APPLICATION, worker_class="gevent") as gunicorns:
        yield gunicorns


def response(server: Gunicorn, sent: bytes) -> bytes:
    """All that comes back until the connection is closed, without what differs: the date and the server's name."""
    with connect(server.port) as connection:
        connection.sendall(sent)
        return re.sub(rb"(Date|Server): .*\r\n", b"", read_to_the_end(connection))


@each_version
@each_method
@pytest.mark.parametrize("name", WHOLE)
def test_a_response_is_the_same_byte_for_byte(
    ours: Gunicorn, gunicorns: Gunicorn, name: str, method: str, version: str
) -> None:
    sent = request(method, path_of("whole", name), "Connection: close", version=version)
    assert response(ours, sent) == response(gunicorns, sent) != b""


@pytest.mark.parametrize("name", WHOLE)
def test_the_next_request_on_the_connection_is_answered_where_gunicorn_answers_it(
    ours: Gunicorn, gunicorns: Gunicorn, name: str
) -> None:
    sent = request("GET", path_of("whole", name)) + request("GET", path_of("whole", "length"), "Connection: close")
    assert response(ours, sent) == response(gunicorns, sent) != b""


@each_method
@pytest.mark.parametrize("name", REFUSED)
def test_an_application_that_breaks_before_anything_is_sent_is_500(ours: Gunicorn, name: str, method: str) -> None:
    got = response(ours, request(method, path_of("refused", name)))
    assert got.startswith(b"HTTP/1.1 500 ")
    assert b"Connection: close\r\n" in got
    assert b"INTERNAL_ERROR" in got
    assert b"X-Kept" not in got


@each_version
@pytest.mark.parametrize("name", CUT)
def test_an_answer_that_breaks_off_is_cut_and_nothing_is_put_into_it(
    ours: Gunicorn, name: str, version: str
) -> None:
    got = response(ours, request("GET", path_of("cut", name), version=version))
    assert got.startswith(f"HTTP/{version} 200 OK\r\n".encode())
    assert got.endswith(b"\r\n\r\n3\r\nabc\r\n" if version == "1.1" else b"\r\n\r\nabc")


def test_a_body_is_closed_whether_it_was_sent_or_broke_off(ours: Gunicorn) -> None:
    paths = [path_of("whole", "closing"), path_of("cut", "an exception in a body with close")]
    before = closings(ours)
    for path in paths:
        response(ours, request("GET", path, "Connection: close"))
    wait_until(lambda: len(closings(ours)) == len(before) + 2)
    assert closings(ours)[-2:] == paths


def closings(server: Gunicorn) -> list[str]:
    """The paths whose bodies have been closed."""
    found: list[str] = exchange(server.port, request()).json()["closed"]
    return found


def test_a_second_start_response_replaces_the_first_where_nothing_is_sent_yet(ours: Gunicorn) -> None:
    got = response(ours, request("GET", path_of("others", "replaced"), "Connection: close"))
    assert got.startswith(b"HTTP/1.1 502 Bad Gateway\r\n")
    assert b"X-Second: 1\r\n" in got
    assert b"X-First" not in got
    assert b"text/plain" not in got


def test_a_body_shorter_than_its_length_ends_the_connection(ours: Gunicorn) -> None:
    got = response(ours, request("GET", path_of("others", "short")))
    assert got.endswith(b"Content-Length: 6\r\n\r\nabc")


def test_a_file_without_a_descriptor_is_sent_as_well(ours: Gunicorn) -> None:
    assert exchange(ours.port, request("GET", path_of("others", "file in memory"))).body == b"x" * 10_000


def test_early_hints_come_before_the_response(ours: Gunicorn) -> None:
    got = response(ours, request("GET", path_of("whole", "early hints"), "Connection: close"))
    hints, final = got.split(b"\r\n\r\n", 1)
    assert hints == b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload"
    assert final.startswith(b"HTTP/1.1 200 OK\r\n")


def test_an_application_may_take_the_connection_over(ours: Gunicorn) -> None:
    """As WebSocket libraries do: by a duplicate of `gunicorn.socket`, then StopIteration."""
    sent = b"x" * 200_000  # more than a head may have
    with connect(ours.port) as connection:
        connection.sendall(request("GET", path_of("others", "raw")))
        assert connection.recv(5, socket.MSG_WAITALL) == b"hello"
        connection.sendall(sent)
        connection.shutdown(socket.SHUT_WR)
        assert read_to_the_end(connection) == sent


def test_a_request_with_a_body_reaches_the_application_whole(ours: Gunicorn) -> None:
    body = bytes(range(256)) * 400
    chunked = b"%X\r\n%b\r\n0\r\n\r\n" % (len(body), body)
    for sent in (
        request("POST", "/say", body=body),
        request("POST", "/say", "Transfer-Encoding: chunked") + chunked,
        request("POST", "/say", "Expect: 100-continue", body=body),
    ):
        assert exchange(ours.port, sent).json()["body"].encode("latin-1") == body
