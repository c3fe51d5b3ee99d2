"""Hostile hosts, proxy headers, methods and queries, sent to the live service."""

import pytest

from batchstatus.model.ids import new_job_id
from tests.support.hostile import (
    BAD_REQUEST,
    EVENTS,
    INVALID_REQUEST,
    JOB_NOT_FOUND,
    JOB_ROUTES,
    METHOD_NOT_ALLOWED,
    NOT_FOUND,
    RUN_ROUTES,
    UNAUTHENTICATED,
    ask,
)
from tests.support.rawhttp import RawConnection, exchange, request
from tests.support.service import LiveService

SERVICE_ROUTES = ["/livez", "/readyz", "/metrics", "/openapi.json"]
HISTORY, BY_ID = "/batch-import/jobs", "/batch-import/jobs?ids={}"
ROUTES = [*JOB_ROUTES, *RUN_ROUTES, *(("GET", path) for path in (HISTORY, BY_ID, EVENTS, *SERVICE_ROUTES))]


# Hosts and proxies

EVIL_HOSTS = [
    "evil.test",
    "evil.test:99999",
    "<script>alert(1)</script>",
    "evil.test/path",
    "evil.test, x",
    "é",
    "",
]


@pytest.mark.parametrize("host", EVIL_HOSTS)
def test_the_host_header_has_no_effect_and_is_not_echoed(
    live: LiveService, key: str, job_id: str, host: str
) -> None:
    targets = [HISTORY, BY_ID.format(job_id), f"{HISTORY}?limit=x", f"{HISTORY}/{job_id}", f"{HISTORY}/x"]
    for target in (*targets, "/nothing", "/livez/"):
        usual = ask(live, target, key=key)
        assert ask(live, target, f"Host: {host}".encode("latin-1"), key=key).unnamed == usual.unnamed


def test_http_1_1_needs_one_host_and_http_1_0_none(live: LiveService, key: str, job_id: str) -> None:
    for method, route in ROUTES:
        target = route.format(job_id)
        head = f"{method} {target} HTTP/1.1\r\nAuthorization: Bearer {key}\r\n\r\n"
        assert exchange(live.port, head.encode()).refusal == BAD_REQUEST, target
        two = ask(live, target, "Host: a.test", "Host: b.test", method=method, key=key)
        assert two.refusal == BAD_REQUEST, target
    assert exchange(live.port, b"GET /livez HTTP/1.0\r\n\r\n").json() == {"success": True}


@pytest.mark.parametrize(
    "lines",
    [
        ["X-Forwarded-For: 127.0.0.1", "X-Real-IP: 127.0.0.1", "Forwarded: for=127.0.0.1;host=evil.test"],
        ["X-Forwarded-Host: evil.test", "X-Forwarded-Port: 1", "X-Forwarded-Prefix: /evil"],
        ["X-Forwarded-Proto: https", "X-Forwarded-Ssl: off"],
        ["X-Original-URL: /livez", "X-Rewrite-URL: /livez", "X-Original-Method: POST"],
        ["SCRIPT_NAME: /batch-import", "PATH_INFO: /livez"],
        ["X-HTTP-Method-Override: POST", "X-Method-Override: DELETE", "Upgrade: h2c", "Connection: Upgrade"],
        ["Content-Type: text/html", "Accept: text/html", "Accept-Encoding: gzip, br", "Range: bytes=0-3"],
    ],
    ids=lambda lines: lines[0].partition(":")[0],
)
def test_headers_of_proxies_have_no_effect(live: LiveService, key: str, job_id: str, lines: list[str]) -> None:
    path = f"/batch-import/jobs/{job_id}"
    for target in (path, HISTORY, BY_ID.format(job_id)):
        assert ask(live, target, *lines, key=key).unnamed == ask(live, target, key=key).unnamed
    assert ask(live, f"/batch-import{path}", *lines, key=key).refusal == NOT_FOUND


def test_a_valid_request_id_is_kept_and_any_other_replaced(live: LiveService) -> None:
    assert ask(live, "/livez", "X-Request-Id: trace-1.2:3/4").headers["x-request-id"] == "trace-1.2:3/4"
    for odd in ("", "a b", "x" * 129, "é", "<b>", "a,b"):
        given = ask(live, "/livez", f"X-Request-Id: {odd}".encode("latin-1")).headers["x-request-id"]
        assert given.isalnum()
        assert given != odd


# Methods


def allowed(known: str, route: str) -> set[str]:
    """The methods of a route: jobs are created where history is read."""
    if route.partition("?")[0] == HISTORY.partition("?")[0]:
        return {"GET", "HEAD", "POST"}
    return {"POST"} if known == "POST" else {"GET", "HEAD"}


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "CONNECT", "PROPFIND", "BREW"])
def test_every_other_method_is_405_with_allow(live: LiveService, key: str, job_id: str, method: str) -> None:
    for known, route in ROUTES:
        answer = ask(live, route.format(job_id), "Cookie: secret", method=method, key=key)
        assert answer.refusal == METHOD_NOT_ALLOWED
        assert set(answer.headers["allow"].split(", ")) == allowed(known, route)
        assert b"secret" not in answer.body


def test_post_cannot_read_and_get_cannot_control(live: LiveService, key: str, job_id: str) -> None:
    for known, route in ROUTES:
        if {"GET", "POST"} <= allowed(known, route):
            continue
        other = "GET" if known == "POST" else "POST"
        for body in (b"", b"{", b"x" * 70_000):
            answer = ask(live, route.format(job_id), method=other, key=key, body=body)
            assert answer.refusal == METHOD_NOT_ALLOWED, route
    head = ask(live, f"/batch-import/jobs/{job_id}/control", method="HEAD", key=key)
    assert (head.status, head.headers["allow"], head.body) == (405, "POST", b"")


@pytest.mark.parametrize("method", ["get", "G@T", "GET\0", "M" * 40, ""])
def test_a_malformed_method_is_400(live: LiveService, method: str) -> None:
    assert ask(live, "/livez", method=method).refusal == BAD_REQUEST


def test_head_is_get_without_the_body(live: LiveService, key: str, job_id: str) -> None:
    paths = [route.format(job_id) for method, route in JOB_ROUTES if method == "GET"]
    paths += [HISTORY, BY_ID.format(job_id), f"{HISTORY}?limit=x", EVENTS]
    for path in [*paths, "/livez", "/openapi.json", "/nothing", "/batch-import/jobs/x"]:
        for more in ({"key": key}, {}):
            with RawConnection(live.port) as connection:
                connection.send(request("HEAD", path, **more) + request("GET", path, **more))
                head, get = connection.receive(to_head=True), connection.receive()
            assert (head.status, head.body) == (get.status, b"")
            get.headers.pop("transfer-encoding", None)  # optional in the answer to a HEAD (RFC 9110 §9.3.2)
            assert head.unnamed[1] == get.unnamed[1], path


# The query


@pytest.mark.parametrize(
    "query",
    [
        "include=failures,failures",
        "include=failures&include=failures",
        "include=,failures,",
        "x=1&include=failures",
    ],
)
def test_include_may_be_repeated(live: LiveService, key: str, job_id: str, query: str) -> None:
    usual = ask(live, f"/batch-import/jobs/{job_id}?include=failures", key=key)
    assert usual.json()["failures"] == []
    assert ask(live, f"/batch-import/jobs/{job_id}?{query}", key=key).unnamed == usual.unnamed


@pytest.mark.parametrize(
    "value",
    [
        *("rows", "FAILURES", "failures,rows", "failures&include=rows", "failures%00", "%00", "%20failures"),
        *("failures%0d%0aX-Evil:%20yes", "%ff", "<script>", "failures;", "*", "x" * 7_000, ",".join("x" * 3_000)),
    ],
    ids=lambda value: value[:24],
)
def test_an_unknown_include_is_400_and_named(live: LiveService, key: str, job_id: str, value: str) -> None:
    answer = ask(live, f"/batch-import/jobs/{job_id}?include={value}", key=key)
    assert answer.refusal == INVALID_REQUEST
    assert answer.json()["error"]["details"].keys() == {"include"}


def test_404_comes_before_errors_of_the_query(live: LiveService, key: str) -> None:
    target = f"/batch-import/jobs/{new_job_id()}?include=rows"
    assert ask(live, target).refusal == UNAUTHENTICATED
    assert ask(live, target, key=key).refusal == JOB_NOT_FOUND
