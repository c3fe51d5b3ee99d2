"""Past Flask's contexts or through them: the same bytes on every route, whatever is sent."""

from collections.abc import Iterable
from typing import Any

import pytest
from flask import Flask
from flask.testing import EnvironBuilder
from werkzeug.test import run_wsgi_app
from werkzeug.wrappers import Response

from batchstatus import Job, JobStore, Kind, StoreUnavailable
from batchstatus.web import Caller, create_app
from tests.support.wire import (
    CSV,
    FAILURES,
    INCLUDE_FAILURES,
    JOB,
    LEGACY_CSV,
    ORG,
    STATES,
    bearer,
    job_in,
    put_job,
)

PATHS = (
    *(
        JOB,
        INCLUDE_FAILURES,
        f"{JOB}?include=rows",
        f"{JOB}/control",
        *FAILURES.values(),
        *CSV.values(),
        LEGACY_CSV,
    ),
    *(
        "/batch-import/jobs",
        "/batch-import/jobs?ids={},b",
        "/batch-import/jobs?limit=0",
        "/batch-import/jobs?limit=1",
    ),
    *("/livez", "/readyz", "/openapi.json", "/", "/nothing", "/livez/", "//livez", "/batch-import//jobs", "/é"),
    *(
        "/batch-import/tickets",
        "/batch-import/tickets/",
        "/batch-import/caller",
        "/ui",
        "/ui/",
        "/ui/jobs/x",
        "/ui/jobs/x/",
        "/ui/job.js",
        "/ui/job.html",
        "/batch-import/jobs/a%2Fb",
        "/batch-import/jobs/a b",
        "/batch-import/jobs/",
        f"{JOB}/",
    ),
)
METHODS = ("GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "PROPFIND", "BREW")
HOSTS = (
    "localhost",
    "a b",
    "",
    "exa\u00dfmple.com",
    "x" * 300,
    "[::1",
    "a:b:c",
    "\xff",
    "evil.example:99999",
    "..",
)


def as_sent(response: Response) -> tuple[str, list[tuple[str, str]], bytes]:
    """Returns all that is sent of an answer, in its order, but for the request's id, which is always another."""
    headers = [(name, value) for name, value in response.headers.items() if name != "X-Request-Id"]
    assert response.headers["X-Request-Id"]
    return response.status, headers, response.data


def answer_of(app: Flask, path: str, **options: Any) -> Response:
    """Returns the answer, without Werkzeug's test client: releases before 3.1.9 raise at a malformed host."""
    environ = EnvironBuilder(app, path, **options).get_environ()
    return Response(*run_wsgi_app(app, environ, buffered=True))


class Both:
    """Two services over one store: one as it is made, one through all of Flask, by a hook that does nothing."""

    def __init__(self, store: JobStore, **options: Any) -> None:
        direct, flasks = create_app(store, **options), create_app(store, **options)
        flasks.before_request(lambda: None)
        if "authorize" in options:  # which goes through Flask, for it may need the contexts: not this one
            assert not direct._may_go_directly
            direct._may_go_directly = True
        self.direct, self.flasks = direct, flasks
        assert self.get("/livez").status_code == 200
        assert direct._goes_directly()
        assert not flasks._goes_directly()

    def get(self, path: str, **options: Any) -> Response:
        return self.open(path, method="GET", **options)

    def open(self, path: str, **options: Any) -> Response:
        """Sends a request both ways, and returns the answer, which is the same."""
        one, other = (answer_of(each, path, **options) for each in (self.direct, self.flasks))
        assert as_sent(one) == as_sent(other)
        return one


@pytest.fixture
def both(store: JobStore) -> Both:
    return Both(store)


@pytest.fixture
def job_id(store: JobStore) -> str:
    return store.create(ORG, "transaction_batch", job_id="job_1").job_id


def headers_for(key: str) -> Iterable[dict[str, str]]:
    """Yields what a caller may send with its key, and without one."""
    yield {}
    for extra in ({}, {"If-None-Match": "*"}, {"If-None-Match": '"'}, {"X-Request-Id": "a b"}):
        yield {**bearer(key), **extra}


@pytest.mark.parametrize("method", METHODS)
def test_every_path_and_method_has_one_answer(both: Both, api_key: str, job_id: str, method: str) -> None:
    for path in PATHS:
        for headers in headers_for(api_key):
            both.open(path.format(job_id), method=method, headers=headers)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("origin", ["https://app.example.com", "https://evil.example", "null"])
def test_a_page_of_another_origin_has_one_answer(
    store: JobStore, api_key: str, job_id: str, method: str, origin: str
) -> None:
    both = Both(store, cors_origins=["https://app.example.com"])
    for path in (JOB.format(job_id), f"{JOB}/control".format(job_id), "/nothing", "/batch-import/tickets"):
        for asked in ({}, {"Access-Control-Request-Method": "POST"}):
            both.open(path, method=method, headers={**bearer(api_key), "Origin": origin, **asked})


@pytest.mark.parametrize("kind", Kind)
@pytest.mark.parametrize("state", STATES)
def test_a_job_in_any_state_has_one_answer(
    both: Both, store: JobStore, api_key: str, state: str, kind: Kind
) -> None:
    with job_in(state, store, kind) as job:
        for path in (JOB, INCLUDE_FAILURES, FAILURES[kind], CSV[kind]):
            answer = both.get(path.format(job.job_id), headers=bearer(api_key))
            assert answer.status_code == 200
            tag = answer.headers.get("ETag", "*")
            both.get(path.format(job.job_id), headers={**bearer(api_key), "If-None-Match": tag})


@pytest.mark.parametrize("host", HOSTS)
def test_the_host_makes_no_difference(both: Both, api_key: str, job_id: str, host: str) -> None:
    for path in (JOB.format(job_id), "/nothing", "/livez"):
        both.get(path, headers=bearer(api_key), environ_overrides={"HTTP_HOST": host})


@pytest.mark.parametrize(
    "body",
    [b"", b"{}", b"[]", b"{", b'{"kind":"transaction_batch","action":"pause"}', b'{"kind":"x"}', b"x" * 70_000],
    ids=["none", "empty", "a list", "broken", "good", "bad fields", "too large"],
)
def test_a_body_has_one_answer(both: Both, api_key: str, job_id: str, body: bytes) -> None:
    for path in (f"{JOB}/control", JOB, "/nothing"):
        both.open(path.format(job_id), method="POST", data=body, headers=bearer(api_key))


@pytest.mark.parametrize("path", [f"{JOB}/control", "/batch-import/jobs", "/batch-import/tickets", JOB, "/no"])
@pytest.mark.parametrize("media_type", [None, "text/plain", "multipart/form-data", "application/json"])
def test_a_body_of_any_type_has_one_answer(
    store: JobStore, api_key: str, job_id: str, path: str, media_type: str | None
) -> None:
    body = {"data": b'{"kind":"transaction_batch","action":"pause"}', "content_type": media_type}
    with_key = Both(store).open(path.format(job_id), method="POST", headers=bearer(api_key), **body)
    assert with_key.status_code in (200, 400, 404, 405)  # a key is no cookie: it needs no type
    of_a_host = Both(store, authorize=lambda _: Caller(ORG, ["transactions:create"]))
    answer = of_a_host.open(path.format(job_id), method="POST", **body)
    refused = media_type != "application/json" and with_key.status_code in (200, 400)
    assert answer.status_code == (415 if refused else with_key.status_code)


def test_a_request_without_a_host_has_one_answer(both: Both) -> None:
    for app in (both.direct, both.flasks):  # an environment of Werkzeug's always has one: it is removed below
        app.wsgi_app = _without_host(app.wsgi_app)  # type: ignore[method-assign]
    assert both.get("/livez").status_code == 400


def _without_host(app: Any) -> Any:
    return lambda environ, start: app({k: v for k, v in environ.items() if k != "HTTP_HOST"}, start)


def test_a_bug_has_one_answer(both: Both, store: JobStore, api_key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "get", lambda *_: 1 / 0)
    assert both.get(JOB.format("job_1"), headers=bearer(api_key)).status_code == 500


def test_a_damaged_job_has_one_answer(both: Both, client: Any, api_key: str) -> None:
    put_job(client, "damaged", succeeded="many")
    assert both.get(JOB.format("damaged"), headers=bearer(api_key)).status_code == 500


def test_a_store_that_is_away_has_one_answer(both: Both, api_key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(both.direct.parts.store.connection, "command", _away)  # type: ignore[attr-defined]
    monkeypatch.setattr(both.direct.parts.store, "get", _away)  # type: ignore[attr-defined]
    assert both.get(JOB.format("job_1"), headers=bearer(api_key)).status_code == 503


def _away(*_: object) -> Any:

    raise StoreUnavailable("the store is away")


def test_both_ways_agree_while_a_job_runs(both: Both, store: JobStore, api_key: str) -> None:
    made: Job = store.create(ORG, "transaction_batch", total_items=10)
    with store.run(ORG, made.job_id) as run:
        run.succeeded(3)
        path = JOB.format(made.job_id)
        store.control(ORG, made.job_id, "pause")
        body: Any = both.get(path, headers=bearer(api_key)).json
        assert body["job"]["metadata"]["batchPauseRequested"] is True
