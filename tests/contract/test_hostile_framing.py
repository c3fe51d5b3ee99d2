"""Bytes that are not, or not quite, HTTP: the service never guesses where a request ends."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack

import pytest

from batchstatus import JobStore
from batchstatus.settings import StoreSettings
from batchstatus.web.breaker import FAILURES
from batchstatus.web.requests import BODY_S
from tests.conftest import ORG
from tests.support.hostile import BAD_REQUEST, JOB_NOT_FOUND, UNAUTHENTICATED, ask
from tests.support.rawhttp import Answer, RawConnection, exchange, request
from tests.support.service import LiveService

PAUSE = b'{"kind":"transaction_batch","action":"pause"}'
SMUGGLED = b"GET /livez HTTP/1.1\r\nHost: batchstatus.test\r\n\r\n"
HEAD_S = 15.0
"""The service's time limit for the head of a request."""


def control(job_id: str, key: str | None, *lines: str | bytes, body: bytes = PAUSE) -> bytes:
    """Returns a request to pause the job."""
    return request("POST", f"/batch-import/jobs/{job_id}/control", *lines, key=key, body=body)


def only_answer(live: LiveService, data: bytes) -> Answer:
    """Send bytes and return the answer. Asserts that the service then closes the connection."""
    with RawConnection(live.port) as connection:
        connection.send(data)
        answer = connection.receive()
        assert connection.is_closed()
    return answer


# Lengths


@pytest.mark.parametrize(
    "lines",
    [
        pytest.param(["Content-Length: 45", "Content-Length: 46"], id="two lengths"),
        pytest.param(["Content-Length: 45", "Content-Length: 45"], id="one length twice"),
        pytest.param(["Content-Length: 45, 45"], id="a list of lengths"),
        pytest.param(["Content-Length: 45", "Transfer-Encoding: chunked"], id="a length and chunks"),
        pytest.param(["Transfer-Encoding: chunked", "Content-Length: 0"], id="chunks and a length"),
        pytest.param(["Content-Length: -1"], id="less than nothing"),
        pytest.param(["Content-Length: +45"], id="a sign"),
        pytest.param(["Content-Length: 4_5"], id="an underscore"),
        pytest.param(["Content-Length: 0x2d"], id="hexadecimal"),
        pytest.param(["Content-Length: 4 5"], id="a space inside"),
        pytest.param(["Content-Length: \xb2"], id="a superscript"),
        pytest.param(["Content-Length: " + "9" * 5_000], id="5,000 digits"),
        pytest.param(["Content-Length:"], id="no length"),
        pytest.param(["Content-Length : 45"], id="a space before the colon"),
        pytest.param(["Content-Length: 45\r\n 6"], id="a folded length"),
        pytest.param(["Transfer-Encoding: chunked, chunked"], id="chunks of chunks"),
        pytest.param(["Transfer-Encoding: chunked", "Transfer-Encoding: chunked"], id="chunks twice"),
        pytest.param(["Transfer-Encoding: chunked, identity"], id="something after chunks"),
        pytest.param(["Transfer-Encoding: gzip"], id="no chunks at all"),
        pytest.param(["Transfer-Encoding: identity"], id="no coding"),
        pytest.param(["Transfer-Encoding:"], id="an empty coding"),
        pytest.param(["Transfer-Encoding: \x0bchunked"], id="a vertical tab"),
    ],
)
def test_a_body_of_ambiguous_length_is_refused_and_the_connection_closed(
    live: LiveService, real_store: JobStore, key: str, job_id: str, lines: list[str]
) -> None:
    encoded = [line.encode("latin-1") for line in lines]
    answer = only_answer(live, control(job_id, key, *encoded) + SMUGGLED)
    assert answer.status in (400, 501)
    assert answer.refusal[1] == "BAD_REQUEST"
    assert real_store.get(ORG, job_id).rev == 1


def test_an_unknown_transfer_coding_is_501(live: LiveService, key: str, job_id: str) -> None:
    answer = only_answer(live, control(job_id, key, "Transfer-Encoding: xchunked") + SMUGGLED)
    assert answer.refusal == (501, "BAD_REQUEST")


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"zz\r\n%s\r\n0\r\n\r\n", id="no number"),
        pytest.param(b"-2d\r\n%s\r\n0\r\n\r\n", id="a negative number"),
        pytest.param(b"0x2d\r\n%s\r\n0\r\n\r\n", id="a prefix"),
        pytest.param(b"2d \r\n%s\r\n0\r\n\r\n", id="a space"),
        pytest.param(b"2d\n%s\n0\n\n", id="bare LF"),
        pytest.param(b"2c\r\n%s\r\n0\r\n\r\n", id="too short"),
        pytest.param(b"2d\r\n%sXX0\r\n\r\n", id="no end of the chunk"),
        pytest.param(b"2d;a\rb\r\n%s\r\n0\r\n\r\n", id="bare CR in an extension"),
        pytest.param(b"2d;" + b"a" * 20_000 + b"\r\n%s\r\n0\r\n\r\n", id="a long extension"),
        pytest.param(b"2d\r\n%s\r\n0\r\nContent-Length: 5\r\n\r\n", id="a length as a trailer"),
        pytest.param(b"2d\r\n%s\r\n0\r\n" + b"X: y\r\n" * 200 + b"\r\n", id="200 trailers"),
        pytest.param(b"2d\r\n%s\r\n0\r\nno trailer\r\n\r\n", id="a trailer that is none"),
    ],
)
def test_broken_chunks_are_refused_and_the_connection_closed(
    live: LiveService, real_store: JobStore, key: str, job_id: str, body: bytes
) -> None:
    chunked = control(job_id, key, "Transfer-Encoding: chunked", body=body.replace(b"%s", PAUSE))
    assert only_answer(live, chunked + SMUGGLED).refusal == BAD_REQUEST
    assert real_store.get(ORG, job_id).rev == 1


def test_broken_chunks_of_an_unread_body_are_found_before_the_next_request(live: LiveService, job_id: str) -> None:
    broken = control(job_id, None, "Transfer-Encoding: chunked", body=b"2c\r\n%s\r\n0\r\n\r\n" % PAUSE)
    with RawConnection(live.port) as connection:
        connection.send(broken + SMUGGLED)
        assert connection.receive().refusal == UNAUTHENTICATED
        assert connection.receive().refusal == BAD_REQUEST
        assert connection.is_closed()


def test_a_valid_chunked_body_is_accepted(live: LiveService, key: str, job_id: str) -> None:
    pieces = b"".join(b"1\r\n%c\r\n" % byte for byte in PAUSE) + b"0;last\r\nX-Checksum: 1\r\n\r\n"
    with RawConnection(live.port) as connection:
        connection.send(control(job_id, key, "Transfer-Encoding: Chunked", body=pieces) + SMUGGLED)
        assert connection.receive().json()["job"]["metadata"] == {"batchPauseRequested": True}
        assert connection.receive().json() == {"success": True}  # SMUGGLED was read as a second request


@pytest.mark.parametrize(
    "lines", [["Content-Length: 46"], ["Transfer-Encoding: chunked"]], ids=["length", "chunks"]
)
def test_a_truncated_body_is_refused(
    live: LiveService, real_store: JobStore, key: str, job_id: str, lines: list[str]
) -> None:
    body = PAUSE if "Content" in lines[0] else b"2d\r\n%s\r\n" % PAUSE
    with RawConnection(live.port) as connection:
        connection.send(control(job_id, key, *lines, body=body))
        connection.end()
        assert connection.receive().refusal == BAD_REQUEST
    assert real_store.get(ORG, job_id).rev == 1


def test_the_next_request_starts_after_an_unread_body(live: LiveService, key: str) -> None:
    with RawConnection(live.port) as connection:
        for _ in range(3):
            connection.send(request("GET", "/batch-import/jobs/x", key=key, body=SMUGGLED))
            connection.send(control("x", key, body=SMUGGLED))
            connection.send(control("x", None, body=SMUGGLED))
        found = [connection.receive().refusal for _ in range(9)]
    assert found == [JOB_NOT_FOUND, JOB_NOT_FOUND, UNAUTHENTICATED] * 3


# Lines and headers


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"GET /livez HTTP/1.1\nHost: a.test\n\n", id="bare LF"),
        pytest.param(b"GET /livez HTTP/1.1\r\nHost: a.test\nX: y\r\n\r\n", id="bare LF in the head"),
        pytest.param(b"GET /livez HTTP/1.1\r\nHost: a.test\r\nX: a\rb\r\n\r\n", id="bare CR in the head"),
        pytest.param(b"GET /livez\r\n\r\n", id="HTTP/0.9"),
        pytest.param(b"GET /livez HTTP/2.0\r\nHost: a.test\r\n\r\n", id="HTTP/2.0"),
        pytest.param(b"GET /livez HTTP/1.1 \r\nHost: a.test\r\n\r\n", id="a space after the version"),
        pytest.param(b"GET  /livez HTTP/1.1\r\nHost: a.test\r\n\r\n", id="two spaces"),
        pytest.param(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", id="the preface of HTTP/2"),
        pytest.param(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", id="TLS"),
        pytest.param(b"\x00" * 64 + b"\r\n\r\n", id="NUL"),
        pytest.param(b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\n" + SMUGGLED, id="the PROXY protocol"),
        pytest.param(b"*1\r\n$4\r\nPING\r\n", id="Redis"),
    ],
)
def test_bytes_that_are_not_http_are_refused_and_the_connection_closed(live: LiveService, data: bytes) -> None:
    assert only_answer(live, data).refusal == BAD_REQUEST


@pytest.mark.parametrize(
    "line", [b"X: a\r\n b", b"X : a", b": a", b"X", b"X\x00: a", b"X: \x00", b"X(): a", b"X\xe9: a", b" X: a"]
)
def test_a_malformed_header_is_refused(live: LiveService, line: bytes) -> None:
    assert only_answer(live, request("GET", "/livez", line)).refusal == BAD_REQUEST


@pytest.mark.parametrize("count", [101, 5_000])
def test_more_than_100_headers_are_431(live: LiveService, count: int) -> None:
    assert ask(live, "/livez", *(f"X-{n}: y" for n in range(90))).status == 200
    assert ask(live, "/livez", *(f"X-{n}: y" for n in range(count))).refusal == (431, "BAD_REQUEST")


def test_a_header_of_a_megabyte_is_431(live: LiveService) -> None:
    assert ask(live, "/livez", "X: " + "y" * 1_000_000).refusal == (431, "BAD_REQUEST")


def test_the_head_of_every_request_is_limited_to_64_kib(live: LiveService) -> None:
    for size, status in ((700, 200), (2_000, 431)):
        many = request("GET", "/livez", *(f"X-{n}: {'y' * size}" for n in range(80)))
        with RawConnection(live.port) as connection:
            connection.send(request())
            assert connection.receive().status == 200
            connection.send(many)
            assert connection.receive().status == status


def test_the_rest_of_an_unread_body_is_discarded(live: LiveService) -> None:
    long = b"x" * 200_000
    chunks = b"%x\r\n%s\r\n0\r\n\r\n" % (len(long), long)
    with RawConnection(live.port) as connection:
        for body, line in ((long, "X: y"), (chunks, "Transfer-Encoding: chunked")):
            connection.send(request("POST", "/livez", line, body=body))
            assert connection.receive().status == 405
            connection.send(request())
            assert connection.receive().status == 200


def test_an_unknown_expectation_is_417(live: LiveService, key: str, job_id: str) -> None:
    assert exchange(live.port, control(job_id, key, "Expect: 100-continue")).status == 200
    assert ask(live, "/livez", "Expect: the unexpected").refusal == (417, "BAD_REQUEST")


# Slow callers


@pytest.mark.slow
def test_callers_with_unfinished_bodies_disturb_nobody_else(redis_url: str, key: str, job_id: str) -> None:
    # Longer than a busy machine takes, and shorter than a body, which must not be taken for a store that is away.
    timeout_s = BODY_S / 2
    with LiveService(redis_url, store_timeout_s=timeout_s) as service:
        unfinished_bodies(service, key, job_id)


def unfinished_bodies(live: LiveService, key: str, job_id: str) -> None:
    """Send many, and poll until all have been given up."""

    def stall(_: int) -> Answer:
        with RawConnection(live.port, BODY_S + 20) as connection:
            connection.send(control(job_id, key, "Content-Length: 45", body=PAUSE[:44]))
            answer = connection.receive()
            assert connection.is_closed()
        return answer

    # Given more stalling callers than the failures that open the circuit breaker
    with ThreadPoolExecutor(4 * FAILURES) as stalling:
        answers = [stalling.submit(stall, number) for number in range(4 * FAILURES)]
        # When another caller polls meanwhile
        seen = set()
        while not all(answer.done() for answer in answers):
            seen.add(ask(live, f"/batch-import/jobs/{job_id}", key=key).status)
    # Then the polls are answered, and the stalling callers get 408 in the end
    assert seen == {200}
    assert {answer.result().refusal for answer in answers} == {(408, "BAD_REQUEST")}


@pytest.mark.slow
def test_a_body_may_take_longer_than_the_store_timeout(live: LiveService, key: str, job_id: str) -> None:
    with RawConnection(live.port) as connection:
        connection.send(control(job_id, key, "Content-Length: 45", body=PAUSE[:20]))
        assert connection.says_nothing_for(2.5 * StoreSettings.timeout_s)
        connection.send(PAUSE[20:])
        assert connection.receive().status == 200


@pytest.mark.slow
def test_a_head_that_never_ends_is_cut_off(live: LiveService) -> None:
    connections: list[RawConnection] = []
    with ExitStack() as stack:
        for start in (b"", b"GET /livez HT", b"GET /livez HTTP/1.1\r\nHost: a.test\r\nX"):
            connections.append(stack.enter_context(RawConnection(live.port, HEAD_S + 20)))
            connections[-1].send(start)
        assert all(connection.is_closed() for connection in connections)
