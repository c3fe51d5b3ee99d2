"""What a page of another origin can send with a user's cookie changes nothing in a host.

Without a preflight a browser sends GET, HEAD and POST, and with POST only text/plain and the two types of forms.
"""

from typing import Any

import flask
import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from batchstatus import JobStore
from batchstatus.client import Client
from batchstatus.model.kinds import PUBLISHED
from batchstatus.web import Caller
from batchstatus.web.access import READING
from batchstatus.web.call import StoreAccess
from batchstatus.web.registration import router_for
from tests.hosts.conftest import ORG, PREFIX, Register
from tests.support.serving import served
from tests.support.wire import JOB, bearer, error_of

REFUSED = (415, "UNSUPPORTED_MEDIA_TYPE")
CANCEL = '{"kind":"transaction_batch","action":"cancel"}'
SENT_WITHOUT_PREFLIGHT = (
    None,
    "",
    "text/plain",
    "TEXT/PLAIN;charset=UTF-8",
    "text/plain; application/json",
    "application/x-www-form-urlencoded",
    "multipart/form-data; boundary=application/json",
)
NO_JSON = ("application/xml", "application/jsonx", "text/json", "application/json, text/plain", "json", "+json")
JSON = (
    "application/json",
    "application/json; charset=utf-8",
    "Application/JSON;charset=UTF-8",
    "application/problem+json",
)
CHANGES = [
    route.path.replace("<run_id>", f"1.30000.transaction_batch.{'f' * 32}")
    for route in router_for(PUBLISHED).routes.values()
    if route.method not in READING
]


@pytest.fixture
def job_id(store: JobStore) -> str:
    return store.create(ORG, "transaction_batch", job_id="job-1").job_id


@pytest.fixture
def asked() -> list[str]:
    """The paths for which the host was asked who calls."""
    return []


@pytest.fixture
def browser(register: Register, clerk: Caller, asked: list[str]) -> FlaskClient:
    """A browser that is logged in at the host."""

    def authorize(request: flask.Request) -> Caller | None:
        asked.append(request.path)
        return clerk if request.cookies.get("session") == "s-1" else None

    client = register(authorize=authorize).test_client()
    client.set_cookie("session", "s-1")
    return client


def cancel(browser: FlaskClient, job_id: str, media_type: str | None, **headers: str) -> TestResponse:
    """Send what cancels a job, declared as of this type."""
    path = f"{PREFIX}{JOB.format(job_id)}/control"
    return browser.post(path, data=CANCEL, content_type=media_type, headers=headers)


def status_of(store: JobStore, job_id: str) -> str:
    return str(store.get(ORG, job_id).status)


@pytest.mark.parametrize("media_type", [*SENT_WITHOUT_PREFLIGHT, *NO_JSON])
def test_what_is_not_declared_as_json_changes_nothing(
    browser: FlaskClient, store: JobStore, job_id: str, media_type: str | None
) -> None:
    answer = cancel(browser, job_id, media_type)
    assert error_of(answer) == REFUSED
    assert "Content-Type: application/json" in answer.json["error"]["message"]  # type: ignore[index]
    assert status_of(store, job_id) == "queued"


@pytest.mark.parametrize("media_type", JSON)
def test_what_is_declared_as_json_does(
    browser: FlaskClient, store: JobStore, job_id: str, media_type: str
) -> None:
    assert cancel(browser, job_id, media_type).status_code == 200
    assert status_of(store, job_id) == "cancelled"


@pytest.mark.parametrize("path", CHANGES)
def test_every_route_that_changes_something_refuses_before_anybody_is_asked(
    browser: FlaskClient, asked: list[str], job_id: str, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(StoreAccess, "__enter__", lambda _: pytest.fail("the store was asked"))
    paths = [PREFIX + path.replace("<job_id>", name) for name in (job_id, "unknown", "a b")]
    answers = [browser.post(each, data=CANCEL, content_type="text/plain") for each in paths]
    assert {error_of(each) for each in answers} == {REFUSED}
    assert len({each.data for each in answers}) == 1
    assert asked == []


def test_whoever_is_not_logged_in_is_refused_in_the_same_words(browser: FlaskClient, job_id: str) -> None:
    known = cancel(browser, job_id, "text/plain")
    browser.delete_cookie("session")
    assert cancel(browser, job_id, "text/plain").data == known.data
    assert error_of(cancel(browser, job_id, "application/json")) == (401, "UNAUTHENTICATED")


def test_reading_needs_no_type(browser: FlaskClient, job_id: str) -> None:
    for path in (JOB.format(job_id), "/batch-import/jobs", "/batch-import/caller"):
        for media_type in SENT_WITHOUT_PREFLIGHT:
            assert browser.get(PREFIX + path, content_type=media_type).status_code == 200
            assert browser.head(PREFIX + path, content_type=media_type).status_code == 200
    assert browser.options(PREFIX + JOB.format(job_id)).status_code == 200


@pytest.mark.parametrize("scheme", ["Bearer", "bearer"])
def test_a_bearer_token_is_no_cookie(browser: FlaskClient, store: JobStore, job_id: str, scheme: str) -> None:
    assert cancel(browser, job_id, None, Authorization=f"{scheme} of.the.host").status_code == 200
    assert status_of(store, job_id) == "cancelled"


@pytest.mark.parametrize(
    "headers",
    [
        {"Authorization": "Basic YW5uOnNlY3JldA=="},
        {"Authorization": "Negotiate YIIJvwYGKwYBBQUCoIIJszCCCa"},
        {"Authorization": "Bearer of.the.host", "Origin": "https://evil.example"},
        {"Authorization": "Bearer of.the.host", "Origin": "null"},
        {"Authorization": "Bearer"},
        {"Authorization": ""},
    ],
    ids=["Basic", "Negotiate", "from a page through a proxy", "from a hidden page", "no token", "empty"],
)
def test_authorization_that_a_browser_or_a_proxy_adds_does_not_help(
    browser: FlaskClient, store: JobStore, job_id: str, headers: dict[str, str]
) -> None:
    assert error_of(cancel(browser, job_id, "text/plain", **headers)) == REFUSED
    assert cancel(browser, job_id, "application/json", **headers).status_code == 200


def test_a_ticket_is_answered_as_ever(browser: FlaskClient, job_id: str, asked: list[str]) -> None:
    answer: Any = browser.post(f"{PREFIX}/batch-import/tickets", json={"jobId": job_id})
    ticket = bearer(answer.json["ticket"])
    asked.clear()
    assert browser.get(PREFIX + JOB.format(job_id), headers=ticket).status_code == 200
    for media_type in (None, "text/plain", "application/json"):
        assert error_of(cancel(browser, job_id, media_type, **ticket)) == (403, "FORBIDDEN")
    assert asked == []


def test_our_own_client_shows_a_token_of_the_hosts_and_declares_json(
    register: Register, store: JobStore, clerk: Caller
) -> None:
    def authorize(request: flask.Request) -> Caller | None:
        assert request.is_json == (request.method == "POST")
        return clerk if "of.the.host" in request.headers["Authorization"] else None

    host = register(authorize=authorize)
    with served(host) as url, Client(f"{url}{PREFIX}", "of.the.host") as client:
        job_id = client.create("transaction_batch").job_id
        assert client.control(job_id, "cancel").status == "cancelled"
    assert status_of(store, job_id) == "cancelled"


def test_api_keys_in_a_host_need_no_type(register: Register, store: JobStore, job_id: str, api_key: str) -> None:
    answer = cancel(register().test_client(), job_id, "text/plain", **bearer(api_key))
    assert answer.status_code == 200
    assert status_of(store, job_id) == "cancelled"
