"""The blueprint in somebody else's application: below its prefix all is ours, above it nothing."""

import json
from collections.abc import Iterator
from typing import Any

import fakeredis
import flask
import pytest
from flask.cli import routes_command
from flask.testing import FlaskClient

from batchstatus import Job, JobStore, Kind
from batchstatus.web import Caller, blueprint, create_app
from tests.hosts.conftest import ORG, PREFIX, Register
from tests.support.wire import CSV, FAILURES, INCLUDE_FAILURES, JOB, LEGACY_CSV, bearer, error_of, get, shown


@pytest.fixture
def host(register: Register) -> FlaskClient:
    """A host whose callers have API keys."""
    return register().test_client()


@pytest.mark.parametrize(
    "path", [JOB, INCLUDE_FAILURES, FAILURES[Kind.TRANSACTION_BATCH], CSV[Kind.TRANSACTION_BATCH]]
)
def test_a_job_reads_as_in_the_service(
    host: FlaskClient, web: FlaskClient, api_key: str, job: Job, path: str
) -> None:
    there = get(host, PREFIX + path.format(job.job_id), api_key)
    assert there.status_code == 200
    assert shown(there) == shown(get(web, path.format(job.job_id), api_key))


def test_every_other_route_is_there(host: FlaskClient, api_key: str, store: JobStore) -> None:
    entity = store.create(ORG, "entity_automatic").job_id
    for path in (LEGACY_CSV.format(entity), "/batch-import/jobs", f"/batch-import/jobs?ids={entity}"):
        assert get(host, PREFIX + path, api_key).status_code == 200
    for path in ("/livez", "/readyz", "/metrics", "/openapi.json"):
        assert host.get(PREFIX + path).status_code == 200
    body = {"kind": "entity_automatic", "action": "cancel"}
    key, _ = store.api_keys.create(ORG, ["entities:bulk_import"])
    path = f"{PREFIX}{JOB.format(entity)}/control"
    assert host.post(path, json=body, headers=bearer(key)).json["job"]["status"] == "cancelled"  # type: ignore[index]


def test_the_hosts_own_pages_stay_its_own(host: FlaskClient) -> None:
    assert host.get("/").data == b"home"
    for path in ("/nothing", "/import", "/importsx", "/batch-import/jobs"):
        assert host.get(path).data == b"the host's own page"


@pytest.mark.parametrize(
    "path",
    ["/", "/nothing", "/batch-import/", "/batch-import/jobs/", "//livez", "/batch-import//jobs", "/livez/x"],
)
@pytest.mark.parametrize("method", ["GET", "POST", "BREW"])
def test_an_unknown_path_below_the_prefix_is_our_404(host: FlaskClient, path: str, method: str) -> None:
    assert error_of(host.open(PREFIX + path, method=method)) == (404, "NOT_FOUND")


@pytest.mark.parametrize("method", ["PUT", "DELETE", "BREW"])
def test_a_wrong_method_below_the_prefix_is_our_405(host: FlaskClient, method: str) -> None:
    answer = host.open(f"{PREFIX}/batch-import/jobs/x", method=method)
    assert error_of(answer) == (405, "METHOD_NOT_ALLOWED")
    assert {*answer.headers["Allow"].split(", ")} == {"GET", "HEAD"}


def test_options_names_the_methods_as_in_the_rest_of_the_host(host: FlaskClient) -> None:
    answer = host.options(f"{PREFIX}/batch-import/jobs/x/control")
    assert answer.status_code == 200
    assert {*answer.headers["Allow"].split(", ")} == {"OPTIONS", "POST"}


def test_every_answer_has_a_request_id_and_is_counted(host: FlaskClient, api_key: str, job: Job) -> None:
    for path in (JOB.format(job.job_id), "/nothing"):
        assert get(host, PREFIX + path, api_key).headers["X-Request-Id"]
    text = host.get(f"{PREFIX}/metrics").text
    assert 'batchstatus_requests_total{route="/batch-import/jobs/<job_id>",status="200"} 1.0' in text


def test_a_bug_of_ours_is_500_in_json(
    host: FlaskClient, api_key: str, store: JobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store, "get", lambda *_: 1 / 0)
    assert error_of(get(host, PREFIX + JOB.format("x"), api_key)) == (500, "INTERNAL_ERROR")


# Who calls


def test_the_host_says_who_calls(register: Register, job: Job, clerk: Caller) -> None:
    host = register(authorize=lambda request: clerk if request.cookies.get("session") == "s-1" else None)
    client = host.test_client()
    path = PREFIX + JOB.format(job.job_id)
    refused = client.get(path)
    assert error_of(refused) == (401, "UNAUTHENTICATED")
    assert "API key" not in refused.text
    assert refused.headers["WWW-Authenticate"]
    client.set_cookie("session", "s-1")
    assert client.get(path).json["job"]["jobId"] == job.job_id  # type: ignore[index]


def test_a_hosts_login_mints_tickets_which_work_without_it(
    register: Register, store: JobStore, job: Job, clerk: Caller
) -> None:
    host = register(authorize=lambda request: clerk if request.cookies.get("session") == "s-1" else None)
    browser, other = host.test_client(), host.test_client()
    browser.set_cookie("session", "s-1")
    answer = browser.post(f"{PREFIX}/batch-import/tickets", json={"jobId": job.job_id})
    assert answer.status_code == 201
    ticket = answer.json["ticket"]  # type: ignore[index]
    assert get(other, PREFIX + JOB.format(job.job_id), ticket).json["job"]["status"] == "completed"  # type: ignore[index]
    unknown = get(other, PREFIX + JOB.format("unknown"), ticket)
    assert error_of(unknown) == (404, "JOB_NOT_FOUND")
    # A ticket counts as what it is although the host knows the browser, and an API key is nothing to the host.
    assert error_of(browser.post(f"{PREFIX}/batch-import/tickets", json={}, headers=bearer(ticket)))[0] == 403
    key, _ = store.api_keys.create(ORG, ["transactions:create"])
    assert error_of(get(other, PREFIX + JOB.format(job.job_id), key)) == (401, "UNAUTHENTICATED")
    assert error_of(get(other, PREFIX + JOB.format(job.job_id), f"bst_{'A' * 43}")) == (401, "UNAUTHENTICATED")


def test_a_hosts_login_opens_the_pages(register: Register, clerk: Caller) -> None:
    browser = register(
        authorize=lambda request: clerk if request.cookies.get("session") == "s-1" else None
    ).test_client()
    assert browser.get(f"{PREFIX}/ui/").status_code == 200
    assert browser.get(f"{PREFIX}/ui").headers["Location"] == "ui/"
    assert error_of(browser.get(f"{PREFIX}/batch-import/caller")) == (401, "UNAUTHENTICATED")
    browser.set_cookie("session", "s-1")
    told: Any = browser.get(f"{PREFIX}/batch-import/caller").json
    assert told["caller"] == {"org": ORG, "ticket": False, "jobId": None}
    assert [each["name"] for each in told["kinds"] if each["controls"]] == ["transaction_batch"]


def test_another_organizations_job_is_not_found(register: Register, job: Job) -> None:
    host = register(authorize=lambda _: Caller("org_other", ["transactions:create"])).test_client()
    assert error_of(host.get(PREFIX + JOB.format(job.job_id))) == (404, "JOB_NOT_FOUND")


def test_a_caller_without_permissions_may_not_read(register: Register, job: Job) -> None:
    host = register(authorize=lambda _: Caller(ORG, [])).test_client()
    assert error_of(host.get(PREFIX + JOB.format(job.job_id))) == (403, "FORBIDDEN")


def test_a_caller_controls_jobs_of_its_own_kind_only(register: Register, store: JobStore, clerk: Caller) -> None:
    host = register(authorize=lambda _: clerk).test_client()
    for kind, status in ((Kind.TRANSACTION_BATCH, 200), (Kind.USER_EVENT_BATCH, 403)):
        job_id = store.create(ORG, kind).job_id
        path = f"{PREFIX}{JOB.format(job_id)}/control"
        assert host.post(path, json={"kind": kind, "action": "cancel"}).status_code == status


@pytest.mark.parametrize("given", ["clerk", ("org_acme", []), True], ids=["a text", "a tuple", "True"])
def test_what_is_no_caller_is_a_bug_of_the_hosts(
    register: Register, given: Any, caplog: pytest.LogCaptureFixture
) -> None:
    host = register(authorize=lambda _: given).test_client()
    assert error_of(host.get(PREFIX + JOB.format("x"))) == (500, "INTERNAL_ERROR")
    assert "not batchstatus.web.Caller or None" in caplog.text


@pytest.mark.parametrize(
    ("org", "permissions"), [("a b", []), ("", []), ("acme", "transactions:create"), ("a", [1])]
)
def test_a_caller_that_cannot_be_is_refused_where_it_is_made(org: str, permissions: Any) -> None:
    with pytest.raises(ValueError, match=r"org|permissions"):
        Caller(org, permissions)


@pytest.mark.parametrize(
    ("status", "error"),
    [(401, "UNAUTHENTICATED"), (403, "FORBIDDEN"), (429, "TOO_MANY_REQUESTS"), (418, "BAD_REQUEST")],
)
def test_an_abort_in_the_hosts_code_is_an_error_of_ours(register: Register, status: int, error: str) -> None:
    host = register(authorize=lambda _: flask.abort(status)).test_client()
    assert error_of(host.get(PREFIX + JOB.format("x"))) == (status, error)


def test_a_redirect_that_the_host_aborts_with_is_kept(register: Register) -> None:
    host = register(authorize=lambda _: flask.abort(flask.redirect("/login"))).test_client()
    answer = host.get(PREFIX + JOB.format("x"))
    assert (answer.status_code, answer.location) == (302, "/login")


def test_variables_of_the_prefix_are_for_the_host(store: JobStore, job: Job) -> None:
    def by_path(request: flask.Request) -> Caller:
        return Caller((request.view_args or {})["org"], ["transactions:create"])

    host = flask.Flask("host")
    host.register_blueprint(blueprint(store, authorize=by_path), url_prefix="/orgs/<org>")
    client = host.test_client()
    assert client.get(f"/orgs/{ORG}{JOB.format(job.job_id)}").status_code == 200
    assert error_of(client.get(f"/orgs/other{JOB.format(job.job_id)}")) == (404, "JOB_NOT_FOUND")
    assert error_of(client.get("/orgs/other/nothing")) == (404, "NOT_FOUND")


# Several, nested, without a prefix


@pytest.fixture
def other_store() -> Iterator[JobStore]:
    with fakeredis.FakeRedis(server=fakeredis.FakeServer()) as client:
        yield JobStore(client)


def test_two_stores_in_one_application(
    register: Register, store: JobStore, other_store: JobStore, clerk: Caller
) -> None:
    host = register(authorize=lambda _: clerk)
    host.register_blueprint(
        blueprint(other_store, authorize=lambda _: clerk, name="archive"), url_prefix="/archive"
    )
    here = store.create(ORG, "transaction_batch", job_id="here").job_id
    there = other_store.create(ORG, "transaction_batch", job_id="there").job_id
    client = host.test_client()
    found = {
        (prefix, job_id): client.get(f"{prefix}{JOB.format(job_id)}").status_code
        for prefix in (PREFIX, "/archive")
        for job_id in (here, there)
    }
    assert found == {(PREFIX, here): 200, (PREFIX, there): 404, ("/archive", here): 404, ("/archive", there): 200}


def test_two_under_one_name_are_refused_by_flask(register: Register, other_store: JobStore) -> None:
    with pytest.raises(ValueError, match="unique name"):
        register().register_blueprint(blueprint(other_store), url_prefix="/archive")


def test_nested_in_a_blueprint_of_the_hosts(store: JobStore, job: Job, clerk: Caller) -> None:
    host, api = flask.Flask("host"), flask.Blueprint("api", __name__, url_prefix="/api")
    api.register_blueprint(blueprint(store, authorize=lambda _: clerk), url_prefix="/v1")
    host.register_blueprint(api)
    client = host.test_client()
    assert client.get(f"/api/v1{JOB.format(job.job_id)}").status_code == 200
    assert error_of(client.delete(f"/api/v1{JOB.format(job.job_id)}")) == (405, "METHOD_NOT_ALLOWED")
    assert error_of(client.get("/api/v1/nothing")) == (404, "NOT_FOUND")


def test_without_a_prefix_only_our_own_paths_are_ours(store: JobStore, job: Job, api_key: str) -> None:
    host = flask.Flask("host")
    host.register_error_handler(404, lambda _: ("the host's own page", 404))
    host.register_blueprint(blueprint(store))
    client = host.test_client()
    assert get(client, JOB.format(job.job_id), api_key).status_code == 200
    assert error_of(client.get("/batch-import/nothing")) == (404, "NOT_FOUND")
    assert client.get("/nothing").data == b"the host's own page"


def test_a_body_that_the_host_has_read_is_read_by_us_too(
    register: Register, store: JobStore, api_key: str
) -> None:
    app, seen = flask.Flask("host"), []
    app.before_request(lambda: seen.append(flask.request.get_data()))
    client = register(app).test_client()
    job_id = store.create(ORG, "transaction_batch").job_id
    body = json.dumps({"kind": "transaction_batch", "action": "cancel"})
    path = f"{PREFIX}{JOB.format(job_id)}/control"
    assert client.post(path, data=body, headers=bearer(api_key)).status_code == 200
    assert seen == [body.encode()]
    assert error_of(client.post(path, data=b" " * 65_537, headers=bearer(api_key))) == (413, "PAYLOAD_TOO_LARGE")


def test_a_route_of_the_hosts_below_our_prefix_is_the_hosts(register: Register) -> None:
    host = flask.Flask("host")
    host.add_url_rule(f"{PREFIX}/help", "help", lambda: "help")
    client = register(host).test_client()
    assert client.get(f"{PREFIX}/help").data == b"help"
    assert error_of(client.post(f"{PREFIX}/help")) == (405, "METHOD_NOT_ALLOWED")


def test_the_command_that_lists_routes_lists_ours(register: Register) -> None:
    host = register()
    listed = host.test_cli_runner().invoke(routes_command)
    assert listed.exit_code == 0
    assert f"{PREFIX}/batch-import/jobs/<job_id>" in listed.output


def test_another_services_blueprint_in_the_service_has_its_own_store_and_callers(
    store: JobStore, other_store: JobStore, job: Job, clerk: Caller, api_key: str
) -> None:
    app = create_app(store)
    app.register_blueprint(
        blueprint(other_store, authorize=lambda _: clerk, name="archive"), url_prefix="/archive"
    )
    there = other_store.create(ORG, "transaction_batch", job_id="there").job_id
    client = app.test_client()
    assert client.get(f"/archive{JOB.format(there)}").status_code == 200
    assert get(client, f"/archive{JOB.format(job.job_id)}", api_key).status_code == 404
    assert error_of(client.get(JOB.format(job.job_id))) == (401, "UNAUTHENTICATED")
    assert get(client, JOB.format(job.job_id), api_key).status_code == 200


def test_each_view_has_a_name_of_its_own(register: Register) -> None:
    views = [view for name, view in register().view_functions.items() if name.startswith("batchstatus.")]
    names = {f"{view.__module__}.{view.__qualname__}" for view in views}
    assert len(names) == len(views)


def test_a_line_feed_below_the_prefix_is_our_404(host: FlaskClient) -> None:
    assert error_of(host.get(f"{PREFIX}/x%0Ay")) == (404, "NOT_FOUND")


def test_a_bug_is_ours_although_the_host_handles_every_exception(
    register: Register, api_key: str, store: JobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    app, seen = flask.Flask("host"), []
    app.register_error_handler(Exception, lambda _: ("the host's own page", 500))
    monkeypatch.setattr(store, "get", lambda *_: 1 / 0)
    client = register(app).test_client()
    with flask.got_request_exception.connected_to(lambda *_, **__: seen.append(1), app):
        answer = get(client, PREFIX + JOB.format("x"), api_key)
    assert error_of(answer) == (500, "INTERNAL_ERROR")
    assert seen == [1]


def test_permissions_may_come_from_a_generator() -> None:
    assert Caller(ORG, (each for each in ("a:b", "c:d"))).permissions == {"a:b", "c:d"}  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="permissions"):
        Caller(ORG, None)  # type: ignore[arg-type]
