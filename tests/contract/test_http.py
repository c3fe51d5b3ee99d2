"""HTTP behaviour of every route: methods, paths, request ids (contract §7)."""

import re

import pytest
import redis
from flask.testing import FlaskClient

from tests.support.wire import (
    JOB,
    JOB_ROUTES,
    OPS,
    bearer,
    error_of,
    get,
    put_job,
    shown,
)

ROUTES = (*JOB_ROUTES, *OPS)
OTHER_METHODS = ("OPTIONS", "TRACE", "POST", "PUT", "DELETE", "PATCH", "CONNECT", "PROPFIND")


@pytest.fixture
def job_id(client: "redis.Redis") -> str:
    return put_job(client, "job_1", kind="entity_automatic", failures=["a row"])


@pytest.mark.parametrize("route", [*ROUTES, "/nothing"])
def test_head_is_get_without_the_body(web: FlaskClient, api_key: str, job_id: str, route: str) -> None:
    for path in map(route.format, (job_id, "no_such_job", "not.an.id")):
        for headers in ({}, bearer(api_key)):
            got, asked = web.get(path, headers=headers), web.head(path, headers=headers)
            assert shown(asked) == (*shown(got)[:2], b"")
            streamed = got.mimetype in ("text/csv", "text/event-stream")
            assert streamed or int(asked.headers["Content-Length"]) == len(got.data) > 0


@pytest.mark.parametrize("method", OTHER_METHODS)
def test_any_other_method_is_405_with_allow(web: FlaskClient, api_key: str, job_id: str, method: str) -> None:
    for route in ROUTES:
        for headers in ({}, bearer(api_key)):
            refused = web.open(route.format(job_id), method=method, headers=headers, data=b"x" * 100)
            assert error_of(refused) == (405, "METHOD_NOT_ALLOWED")
            assert {each.strip() for each in refused.headers["Allow"].split(",")} == {"GET", "HEAD"}


@pytest.mark.parametrize(
    "path",
    [
        "/", "/nothing", "/LIVEZ", "/livez.", "/batch-import", "/batch-import/jobs/job_1/nothing",
        "/batch-import/transaction-jobs/job_1", "/batch-import/transaction-jobs/job_1/failures.json",
        "/batch-import/entity-jobs//failures", "/entities/automatic/bulk/imports/job_1/failures",
        "/static/x", "/<script>", "/%00", "/caf%C3%A9", "/%FF", "/..",
        "/" + "a/" * 500,
    ],
)  # fmt: skip
def test_an_unknown_path_is_404_and_not_echoed(web: FlaskClient, path: str) -> None:
    for method in ("GET", *OTHER_METHODS):
        refused = web.open(path, method=method)
        assert error_of(refused) == (404, "NOT_FOUND")
        assert refused.data == web.get("/nothing").data


@pytest.mark.parametrize("route", ROUTES)
def test_a_trailing_or_doubled_slash_is_404(web: FlaskClient, api_key: str, job_id: str, route: str) -> None:
    path, _, query = route.format(job_id).partition("?")
    for other in (f"{path}/", f"/{path}", f"{path}//", path.replace("/", "//"), f"/./{path}"):
        # Not through the client's own reading of a URL, which takes //livez for a host.
        answer = web.open(
            "/", headers=bearer(api_key), environ_overrides={"PATH_INFO": other, "QUERY_STRING": query}
        )
        assert error_of(answer) == (404, "NOT_FOUND"), other


@pytest.mark.parametrize("given", ["a", "0199-f00d", "req:1/2+3=4_5.6", "x" * 128])
def test_a_valid_request_id_is_kept(web: FlaskClient, api_key: str, job_id: str, given: str) -> None:
    for route in (*ROUTES, "/nothing"):
        for headers in ({}, bearer(api_key)):
            answer = web.get(route.format(job_id), headers={**headers, "X-Request-Id": given})
            assert answer.headers.getlist("X-Request-Id") == [given]


@pytest.mark.parametrize(
    "given", [None, "", " ", "two words", "x" * 129, "<script>", "caf\xe9", "a,b", "a;b", '"a"']
)
def test_any_other_request_id_is_replaced_by_a_new_one(
    web: FlaskClient, api_key: str, job_id: str, given: str | None
) -> None:
    headers = {} if given is None else {"X-Request-Id": given}
    answers = [web.get(route.format(job_id), headers=headers) for route in (*ROUTES, *ROUTES, "/nothing")]
    answers += [web.post("/livez", headers=headers), get(web, JOB.format(job_id), api_key)]
    ids = [answer.headers["X-Request-Id"] for answer in answers]
    assert all(re.fullmatch(r"[A-Za-z0-9-]{16,64}", each) for each in ids)
    assert len(set(ids)) == len(ids)


@pytest.mark.parametrize(
    ("size", "error"), [(64 * 1024, (400, "INVALID_REQUEST")), (64 * 1024 + 1, (413, "PAYLOAD_TOO_LARGE"))]
)
def test_a_body_above_64_kib_is_413(
    web: FlaskClient, api_key: str, job_id: str, size: int, error: tuple[int, str]
) -> None:
    answer = web.post(f"/batch-import/jobs/{job_id}/control", data=b"x" * size, headers=bearer(api_key))
    assert error_of(answer) == error
