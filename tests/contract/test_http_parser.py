"""Answers of the server itself, outside the application: JSON with a request id, never HTML (contract §7)."""

import re
import socket

import pytest
import redis

from batchstatus import JobStore, Kind
from tests.support.rawhttp import Answer, RawConnection, connect, exchange, read_to_the_end, request
from tests.support.service import LiveService
from tests.support.wire import EVENTS, FAILURES, JOB, JOB_ROUTES, OPS, ORG, checked_error, put_job, routes_of


def error_in(answer: Answer) -> tuple[int, str]:
    """Returns status and code of an error. Asserts the error body, the request id and the Content-Length."""
    assert re.fullmatch(r"[A-Za-z0-9-]{16,64}", answer.headers["x-request-id"])
    assert int(answer.headers["content-length"]) == len(answer.body)
    return answer.status, checked_error(answer.headers["content-type"], answer.body)


NOT_HTTP = {
    "no HTTP at all": b"hello\r\n\r\n",
    "a TLS handshake": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 100 + b"\r\n\r\n",
    "no version": b"GET /livez\r\n\r\n",
    "HTTP of another age": b"GET /livez HTTP/3.0\r\n\r\n",
    "HTTP/2 without being asked": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "a method in lower case": b"get /livez HTTP/1.1\r\n\r\n",
    "a path that does not start at the root": b"GET livez HTTP/1.1\r\n\r\n",
    "a path with a space": b"GET /secret place HTTP/1.1\r\n\r\n",
    "a path that is no ASCII": b"GET /caf\xe9 HTTP/1.1\r\n\r\n",
    "a header without a colon": b"GET /livez HTTP/1.1\r\nsecret\r\n\r\n",
    "a header with a space in its name": b"GET /livez HTTP/1.1\r\nX secret: 1\r\n\r\n",
    "a folded header": b"GET /livez HTTP/1.1\r\nX: 1\r\n secret\r\n\r\n",
    "a header with a NUL": b"GET /livez HTTP/1.1\r\nX: se\x00cret\r\n\r\n",
    "two hosts": b"GET /livez HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
    "a length that is no number": b"POST /livez HTTP/1.1\r\nContent-Length: secret\r\n\r\n",
    "a length below 0": b"POST /livez HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
    "two lengths": b"POST /livez HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
    "chunks with a length": b"PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n",
}


@pytest.mark.parametrize("sent", NOT_HTTP.values(), ids=NOT_HTTP.keys())
def test_bytes_that_are_not_http_are_refused_in_json_and_not_echoed(live: LiveService, sent: bytes) -> None:
    answer = exchange(live.port, sent)
    assert error_in(answer) == (400, "BAD_REQUEST")
    assert b"secret" not in answer.body
    assert answer.headers["connection"] == "close"


TOO_MUCH = {
    "a long path": (b"GET /" + b"a" * 9_000 + b" HTTP/1.1\r\n\r\n", 414),
    "a long query": (b"GET /livez?" + b"a" * 9_000 + b" HTTP/1.1\r\n\r\n", 414),
    "a long header": (b"GET /livez HTTP/1.1\r\nX: " + b"a" * 9_000 + b"\r\n\r\n", 431),
    "a very long header": (b"GET /livez HTTP/1.1\r\nX: " + b"a" * 60_000 + b"\r\n\r\n", 431),
    "many headers": (b"GET /livez HTTP/1.1\r\n" + b"".join(b"X-%d: 1\r\n" % n for n in range(200)) + b"\r\n", 431),
    "an unknown expectation": (b"GET /livez HTTP/1.1\r\nExpect: miracles\r\n\r\n", 417),
    "an unknown transfer coding": (b"POST /livez HTTP/1.1\r\nTransfer-Encoding: secret\r\n\r\n", 501),
}


@pytest.mark.parametrize(("sent", "status"), TOO_MUCH.values(), ids=TOO_MUCH.keys())
def test_each_limit_and_each_unknown_feature_has_its_own_status(
    live: LiveService, sent: bytes, status: int
) -> None:
    assert error_in(exchange(live.port, sent)) == (status, "BAD_REQUEST")


@pytest.mark.parametrize("host", ["", "<script>", "a b", "evil.example:99999999", "[::1", "caf\xe9"])
def test_the_host_header_has_no_effect_and_is_not_echoed(live: LiveService, host: str) -> None:
    for path, status in (("/livez", 200), ("/nothing", 404), ("/livez/", 404)):
        answer = exchange(live.port, f"GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode("latin-1"))
        assert answer.status == status
        assert not host or host.encode("latin-1") not in answer.body + repr(answer.headers).encode()


@pytest.mark.parametrize(
    "path", ["//livez", "///livez", "/livez//", "//batch-import/jobs/job_1", "/%2Flivez", "//x/livez"]
)
def test_doubled_slashes_are_404(live: LiveService, path: str) -> None:
    assert error_in(exchange(live.port, request("GET", path))) == (404, "NOT_FOUND")


@pytest.mark.parametrize("method", ["OPTIONS", "TRACE", "POST", "PUT", "DELETE", "PATCH", "CONNECT"])
def test_other_methods_are_405_and_nothing_is_echoed(live: LiveService, method: str) -> None:
    for route in (*JOB_ROUTES, *OPS):
        sent = request(method, route.format("job_1"), "X-Secret: secret", body=b"secret")
        answer = exchange(live.port, sent)
        assert error_in(answer) == (405, "METHOD_NOT_ALLOWED")
        assert answer.headers["allow"] in ("GET, HEAD", "HEAD, GET")
        assert b"secret" not in answer.body


def test_options_for_the_whole_server_is_404(live: LiveService) -> None:
    assert error_in(exchange(live.port, request("OPTIONS", "*"))) == (404, "NOT_FOUND")


@pytest.mark.parametrize(
    ("given", "kept"), [("req-1", True), ("x" * 128, True), ("a b", False), ("caf\xe9", False)]
)
def test_a_valid_request_id_is_returned(live: LiveService, given: str, kept: bool) -> None:
    for path in (*OPS, "/nothing", JOB.format("job_1")):
        answer = exchange(live.port, request("GET", path, f"X-Request-Id: {given}".encode("latin-1")))
        assert (answer.headers["x-request-id"] == given) is kept
        assert re.fullmatch(r"[A-Za-z0-9-]{5,128}", answer.headers["x-request-id"])


def test_head_sends_no_body_before_the_next_answer(
    live: LiveService, real_store: JobStore, redis_client: "redis.Redis"
) -> None:
    key, _ = real_store.api_keys.create(ORG, ["events:create"])
    put_job(redis_client, "job_1", kind="entity_automatic", failures=["a row"] * 2_500)
    routes = [each.format("job_1") for each in routes_of(Kind.ENTITY_AUTOMATIC) if each != EVENTS]  # it has no end
    with RawConnection(live.port) as connection:
        for path in (*routes, "/livez", "/nothing", JOB.format("no_such_job")):
            for own_key in (key, None):
                connection.send(request("GET", path, key=own_key))
                got = connection.receive()
                connection.send(request("HEAD", path, key=own_key))
                asked = connection.receive(to_head=True)
                assert (asked.status, asked.body) == (got.status, b"")
                lengths = [each.headers.get("content-length") for each in (asked, got)]
                assert lengths[0] == lengths[1]
                assert lengths[0] is None or int(lengths[0]) == len(got.body)


def test_pipelined_requests_are_answered_in_order(live: LiveService) -> None:
    with RawConnection(live.port) as connection:
        asked = (("GET", "/livez"), ("GET", "/nothing"), ("GET", "/readyz"), ("PUT", "/livez"))
        connection.send(b"".join(request(method, path) for method, path in asked))
        assert [connection.receive().status for _ in range(4)] == [200, 404, 200, 405]


def test_an_unread_body_is_not_taken_for_the_next_request(live: LiveService) -> None:
    with RawConnection(live.port) as connection:
        connection.send(request("POST", "/livez", body=request("GET", "/nothing")))
        connection.send(request("GET", "/livez"))
        assert [connection.receive().status for _ in range(2)] == [405, 200]


def test_an_http_1_0_connection_is_closed_after_the_answer(live: LiveService) -> None:
    with connect(live.port) as connection:
        connection.sendall(b"GET /livez HTTP/1.0\r\n\r\n")
        head, _, body = read_to_the_end(connection).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.0 200 ")
    assert body == b'{"success":true}'


def test_a_caller_that_leaves_in_mid_request_disturbs_nobody(live: LiveService) -> None:
    for part in (b"", b"GET /li", request("GET", "/livez")[:-2], request("GET", FAILURES[Kind.TRANSACTION_BATCH])):
        with connect(live.port) as connection:
            connection.sendall(part)
            connection.shutdown(socket.SHUT_RDWR)
    assert {exchange(live.port, request("GET", "/readyz")).status for _ in range(10)} == {200}
