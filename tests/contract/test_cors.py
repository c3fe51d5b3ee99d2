"""CORS (contract §12): what pages of other origins may ask and read. None may, unless the operator names them."""

import subprocess
import sys
from collections.abc import Iterable
from typing import Any

import flask
import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from batchstatus import InvalidValue, JobStore
from batchstatus.settings import Settings
from batchstatus.web import blueprint, create_app
from tests.support.wire import JOB, ORG, bearer

APP = "https://app.example.com"
ORIGINS = (APP, "http://localhost:3000")
READABLE = {"ETag", "Retry-After", "Location", "X-Request-Id", "Preference-Applied"}


def as_service(store: JobStore, origins: Iterable[str]) -> FlaskClient:
    return create_app(store, cors_origins=origins).test_client()


def as_blueprint(store: JobStore, origins: Iterable[str]) -> FlaskClient:
    host = flask.Flask("host")
    host.register_blueprint(blueprint(store, cors_origins=origins))
    host.add_url_rule("/home", "home", lambda: "home")
    return host.test_client()


@pytest.fixture(params=[as_service, as_blueprint], ids=["a service", "a blueprint"])
def pages(request: pytest.FixtureRequest, store: JobStore) -> FlaskClient:
    """The service that two origins may use."""
    client: FlaskClient = request.param(store, ORIGINS)
    return client


def names(answer: TestResponse, header: str) -> set[str]:
    return {each.strip() for each in answer.headers.get(header, "").split(",") if each}


def granted(answer: TestResponse) -> dict[str, Any]:
    return {name: value for name, value in answer.headers.items() if name.startswith("Access-Control-")}


def preflight(client: FlaskClient, path: str, origin: str = APP, method: str = "GET") -> TestResponse:
    return client.options(path, headers={"Origin": origin, "Access-Control-Request-Method": method})


@pytest.mark.parametrize("origin", ORIGINS)
def test_a_named_origin_reads_answers_and_errors(
    pages: FlaskClient, store: JobStore, api_key: str, origin: str
) -> None:
    job = store.create(ORG, "transaction_batch")
    for path, key, status in (
        (JOB.format(job.job_id), api_key, 200),
        (JOB.format("x"), api_key, 404),
        (JOB, "", 401),
    ):
        answer = pages.get(path, headers={**bearer(key), "Origin": origin})
        assert answer.status_code == status
        assert answer.headers["Access-Control-Allow-Origin"] == origin
        assert names(answer, "Access-Control-Expose-Headers") >= READABLE
        assert names(answer, "Vary") == {"Origin"}
        assert "Access-Control-Allow-Credentials" not in answer.headers


@pytest.mark.parametrize(
    "origin", ["https://evil.example", "null", f"{APP}.evil.example", APP.upper(), f"{APP}:443", ""]
)
def test_no_other_origin_is_granted_anything(pages: FlaskClient, api_key: str, origin: str) -> None:
    answer = pages.get("/batch-import/jobs", headers={**bearer(api_key), "Origin": origin})
    assert answer.status_code == 200
    assert granted(answer) == {}
    assert names(answer, "Vary") == {"Origin"}
    refused = preflight(pages, "/batch-import/jobs", origin)
    assert granted(refused) == {}


def test_a_preflight_is_answered_without_a_key(pages: FlaskClient) -> None:
    for path, method in (
        (JOB.format("x"), "GET"),
        (f"{JOB}/control".format("x"), "POST"),
        ("/batch-import/tickets", "POST"),
    ):
        answer = preflight(pages, path, method=method)
        assert (answer.status_code, answer.data) == (204, b"")
        assert method in names(answer, "Access-Control-Allow-Methods")
        allowed = names(answer, "Access-Control-Allow-Headers")
        assert allowed >= {"Authorization", "Content-Type", "If-None-Match", "Prefer", "Last-Event-ID"}
        assert "*" not in allowed
        assert int(answer.headers["Access-Control-Max-Age"]) > 0
        assert answer.headers["X-Request-Id"]


def test_options_without_a_preflight_is_answered_as_before(store: JobStore) -> None:
    with_origins, without = as_service(store, ORIGINS), as_service(store, ())
    for path in (JOB.format("x"), "/nothing"):
        assert with_origins.options(path, headers={"Origin": APP}).status_code == without.options(path).status_code


def test_without_origins_no_answer_has_a_word_of_it(store: JobStore, api_key: str) -> None:
    web = create_app(store).test_client()
    for answer in (
        web.get("/batch-import/jobs", headers={**bearer(api_key), "Origin": APP}),
        preflight(web, "/batch-import/jobs"),
    ):
        assert granted(answer) == {}
        assert "Vary" not in answer.headers


def test_all_origins_may_be_allowed(store: JobStore, api_key: str) -> None:
    web = create_app(store, cors_origins=["*"]).test_client()
    answer = web.get("/batch-import/jobs", headers={**bearer(api_key), "Origin": "https://anyone.example"})
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    assert "Access-Control-Allow-Credentials" not in answer.headers


def test_a_hosts_own_pages_are_left_alone(store: JobStore) -> None:
    host = as_blueprint(store, ORIGINS)
    assert granted(host.get("/home", headers={"Origin": APP})) == {}


# The setting


@pytest.mark.parametrize(
    ("text", "origins"),
    [
        ("", ()),
        (APP, (APP,)),
        (" https://App.example.com , http://localhost:3000,", ORIGINS),
        ("https://[::1]:8443 http://10.0.0.1:8080", ("https://[::1]:8443", "http://10.0.0.1:8080")),
        ("*", ("*",)),
    ],
)
def test_origins_are_read_from_the_environment(text: str, origins: tuple[str, ...]) -> None:
    environ = {"BATCHSTATUS_REDIS_URL": "redis://127.0.0.1:1/0", "BATCHSTATUS_CORS_ORIGINS": text}
    assert Settings.from_env(environ).cors_origins == origins


BAD = [
    f"{APP}/",
    f"{APP}/imports",
    f"{APP}:443",
    "http://a:80",
    "app.example.com",
    "null",
    "https://",
    "https://*.a.com",
]


@pytest.mark.parametrize(
    "bad", [*BAD, "ftp://a.com", "https://a b", "https://user@a.com", "https://a.com:0", "https://é.com"]
)
def test_a_bad_origin_is_refused_by_name(bad: str, store: JobStore) -> None:
    environ = {"BATCHSTATUS_REDIS_URL": "redis://127.0.0.1:1/0", "BATCHSTATUS_CORS_ORIGINS": bad}
    with pytest.raises(InvalidValue, match=r"^BATCHSTATUS_CORS_ORIGINS=.* is not an origin such as"):
        Settings.from_env(environ)
    with pytest.raises(InvalidValue):
        create_app(store, cors_origins=[bad])


def test_a_bad_origin_stops_the_start_with_one_line() -> None:
    environ = {"BATCHSTATUS_REDIS_URL": "redis://127.0.0.1:1/0", "BATCHSTATUS_CORS_ORIGINS": f"{APP}/"}
    run = subprocess.run(
        [sys.executable, "-m", "batchstatus", "serve"], env=environ, capture_output=True, text=True
    )
    assert run.returncode != 0
    assert run.stderr.count("\n") == 1
    assert "BATCHSTATUS_CORS_ORIGINS" in run.stderr
