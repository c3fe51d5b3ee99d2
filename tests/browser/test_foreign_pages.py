"""Pages of another origin in a real browser, and the pages of a host where the user is logged in by a cookie."""

from collections.abc import Iterator
from typing import Any

import flask
import pytest

from batchstatus import JobStore
from batchstatus.web import Caller, blueprint
from tests.support.serving import served
from tests.support.waiting import wait_until
from tests.support.wire import JOB, ORG

pytestmark = pytest.mark.slow

SEND = """([to, type]) => fetch(to, {
    method: "POST", mode: type === "text/plain" ? "no-cors" : "cors", credentials: "include",
    headers: { "Content-Type": type }, body: JSON.stringify({ kind: "transaction_batch", action: "cancel" }),
}).then((answer) => answer.type, () => "not sent")"""
FORM = """<form method="post" enctype="text/plain" action="{}" target="there">
<input name='{{"kind":"transaction_batch","action":"cancel"}}' value=""></form><iframe name="there"></iframe>"""


def by_cookie(request: flask.Request) -> Caller | None:
    return Caller(ORG, ["transactions:create"]) if request.cookies.get("session") == "s-1" else None


@pytest.fixture
def seen() -> list[tuple[str, str, bool]]:
    """Method, type and True if the cookie was there, of each request for control that has reached the host."""
    return []


@pytest.fixture
def host(store: JobStore, seen: list[tuple[str, str, bool]]) -> Iterator[str]:
    """A host that knows callers by a cookie, which every page of this machine sends along: it is one site."""
    app = flask.Flask("host")

    @app.get("/")
    def home() -> flask.Response:
        answer = flask.Response("<title>home</title>", mimetype="text/html")
        answer.set_cookie("session", "s-1", httponly=True, samesite="Lax")
        return answer

    @app.before_request
    def note() -> None:
        if flask.request.path.endswith("/control"):
            of = flask.request
            seen.append((of.method, of.mimetype, by_cookie(of) is not None))

    app.register_blueprint(blueprint(store, authorize=by_cookie), url_prefix="/imports")
    with served(app) as url:
        yield url


@pytest.fixture
def elsewhere(host: str, job_id: str) -> Iterator[str]:
    """Another origin, whose page has a form for the host."""
    app = flask.Flask("elsewhere")
    app.add_url_rule("/", "page", lambda: FORM.format(f"{host}/imports{JOB.format(job_id)}/control"))
    app.add_url_rule("/favicon.ico", "icon", lambda: "")
    with served(app) as url:
        yield url


@pytest.fixture
def job_id(store: JobStore) -> str:
    return store.create(ORG, "transaction_batch", job_id="job-1").job_id


def test_a_foreign_page_cannot_cancel_and_the_hosts_own_page_can(
    chromium: Any, host: str, elsewhere: str, store: JobStore, job_id: str, seen: list[tuple[str, str, bool]]
) -> None:
    context = chromium.new_context(locale="en-GB")
    context.set_default_timeout(20_000)
    page, control = context.new_page(), f"{host}/imports{JOB.format(job_id)}/control"
    page.goto(host)
    page.goto(elsewhere)
    assert page.evaluate(SEND, [control, "text/plain"]) == "opaque"
    assert page.evaluate(SEND, [control, "application/json"]) == "not sent"
    with page.expect_response(control) as answered:
        page.evaluate("document.forms[0].submit()")
    assert answered.value.status == 415
    assert seen == [("POST", "text/plain", True), ("OPTIONS", "", False), ("POST", "text/plain", True)]
    assert store.get(ORG, job_id).status == "queued"

    page.goto(f"{host}/imports/ui/jobs/{job_id}")
    page.locator("#cancel").click()
    page.locator("#ask-yes").click()
    wait_until(lambda: store.get(ORG, job_id).status == "cancelled")
    context.close()
