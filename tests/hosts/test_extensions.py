"""Extensions that hosts have, each of them the real package: logins, tokens, CORS, rate limits."""

from typing import Any

import flask
import pytest

from batchstatus import Job, JobStore
from batchstatus.web import Caller, create_app
from tests.hosts.conftest import ORG, PREFIX, Register
from tests.support.wire import JOB, bearer, error_of, get

flask_login = pytest.importorskip("flask_login")
jwt = pytest.importorskip("jwt")
CORS = pytest.importorskip("flask_cors").CORS
Limiter = pytest.importorskip("flask_limiter").Limiter

SECRET = "a secret of the host's that is long enough for HS256"


class User(flask_login.UserMixin):  # type: ignore[name-defined, misc]
    """A user of the host's."""

    def __init__(self, name: str, org: str, permissions: list[str]) -> None:
        self.id, self.org, self.permissions = name, org, permissions


ANN = User("ann", ORG, ["transactions:create"])
BOB = User("bob", "org_other", ["transactions:create"])
EVE = User("eve", ORG, ["reports:read"])
USERS = {each.id: each for each in (ANN, BOB, EVE)}


# flask-login


def logged_in(_: flask.Request) -> Caller | None:
    user: Any = flask_login.current_user
    return Caller(user.org, user.permissions) if user.is_authenticated else None


@pytest.fixture
def portal(register: Register) -> flask.Flask:
    """A host with flask-login; /login/<name> logs in."""
    app = flask.Flask("portal")
    app.secret_key = SECRET
    manager = flask_login.LoginManager(app)
    manager.user_loader(USERS.get)

    @app.get("/login/<name>")
    def login(name: str) -> str:
        flask_login.login_user(USERS[name])
        return "welcome"

    return register(app, authorize=logged_in)


@pytest.mark.parametrize(
    ("user", "found"),
    [("", (401, "UNAUTHENTICATED")), ("bob", (404, "JOB_NOT_FOUND")), ("eve", (403, "FORBIDDEN"))],
)
def test_flask_login_says_who_may_not_read(
    portal: flask.Flask, job: Job, user: str, found: tuple[int, str]
) -> None:
    client = portal.test_client()
    if user:
        client.get(f"/login/{user}")
    assert error_of(client.get(PREFIX + JOB.format(job.job_id))) == found


def test_flask_login_says_who_may(portal: flask.Flask, store: JobStore) -> None:
    client, job_id = portal.test_client(), store.create(ORG, "transaction_batch").job_id
    client.get("/login/ann")
    path = PREFIX + JOB.format(job_id)
    assert client.get(path).status_code == 200
    cancelled = client.post(f"{path}/control", json={"kind": "transaction_batch", "action": "cancel"})
    assert cancelled.json["job"]["status"] == "cancelled"  # type: ignore[index]


@pytest.mark.parametrize("media_type", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data"])
def test_a_foreign_page_does_nothing_with_the_cookie_of_flask_login(
    portal: flask.Flask, store: JobStore, media_type: str
) -> None:
    client, job_id = portal.test_client(), store.create(ORG, "transaction_batch").job_id
    client.get("/login/ann")
    path, body = f"{PREFIX}{JOB.format(job_id)}/control", '{"kind":"transaction_batch","action":"cancel"}'
    foreign = {"Origin": "https://evil.example"}
    forged = client.post(path, data=body, content_type=media_type, headers=foreign)
    assert error_of(forged) == (415, "UNSUPPORTED_MEDIA_TYPE")
    asked = {**foreign, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-type"}
    assert not [
        name for name, _ in client.options(path, headers=asked).headers if name.startswith("Access-Control")
    ]
    assert store.get(ORG, job_id).status == "queued"
    assert client.post(path, data=body, content_type="application/json").status_code == 200


# A JWT


def by_token(request: flask.Request) -> Caller | None:
    _, _, token = request.headers.get("Authorization", "").partition(" ")
    try:
        required = {"require": ["org", "scope"]}
        claims = jwt.decode(token, SECRET, algorithms=["HS256"], audience="imports", options=required)
    except jwt.InvalidTokenError:
        return None
    return Caller(claims["org"], claims["scope"].split())


@pytest.mark.parametrize(
    ("claims", "status"),
    [
        ({"org": ORG, "scope": "transactions:create reports:read"}, 200),
        ({"org": ORG, "scope": "reports:read"}, 403),
        ({"org": "org_other", "scope": "transactions:create"}, 404),
        ({"org": ORG, "scope": "transactions:create", "exp": 1}, 401),
        ({"org": ORG}, 401),
        ({"scope": "transactions:create"}, 401),
        ({"org": ORG, "scope": "transactions:create", "aud": "elsewhere"}, 401),
    ],
)
def test_a_token_of_the_hosts_decides(register: Register, job: Job, claims: dict[str, Any], status: int) -> None:
    token = jwt.encode({"aud": "imports", **claims}, SECRET, "HS256")
    client = register(authorize=by_token).test_client()
    assert get(client, PREFIX + JOB.format(job.job_id), token).status_code == status


def test_a_token_decides_in_an_app_of_our_own_as_well(store: JobStore, job: Job) -> None:
    token = jwt.encode({"aud": "imports", "org": ORG, "scope": "transactions:create"}, SECRET, "HS256")
    client = create_app(store, authorize=by_token).test_client()
    assert get(client, JOB.format(job.job_id), token).status_code == 200
    assert error_of(client.get(JOB.format(job.job_id))) == (401, "UNAUTHENTICATED")


# Flask-CORS

PREFLIGHT = {
    "Origin": "https://app.example.com",
    "Access-Control-Request-Method": "GET",
    "Access-Control-Request-Headers": "authorization",
}


def checked_cors(client: Any, path: str, key: str) -> None:
    """Sends what a browser sends before and with a request from another origin."""
    preflight = client.options(path, headers=PREFLIGHT)
    assert preflight.status_code == 200
    assert preflight.headers["Access-Control-Allow-Origin"] == "https://app.example.com"
    assert "authorization" in preflight.headers["Access-Control-Allow-Headers"].lower()
    for answer in (
        client.get(path, headers={**bearer(key), "Origin": "https://app.example.com"}),
        client.get(path, headers={"Origin": "https://app.example.com"}),
    ):
        assert answer.status_code in (200, 401)
        assert answer.headers["Access-Control-Allow-Origin"] == "https://app.example.com"


def test_flask_cors_around_a_host(register: Register, api_key: str, job: Job) -> None:
    app = register()
    CORS(app, origins=["https://app.example.com"])
    checked_cors(app.test_client(), PREFIX + JOB.format(job.job_id), api_key)


def test_flask_cors_around_an_app_of_our_own(store: JobStore, api_key: str, job: Job) -> None:
    app = create_app(store)
    app.config["PROVIDE_AUTOMATIC_OPTIONS"] = True
    CORS(app, origins=["https://app.example.com"])
    checked_cors(app.test_client(), JOB.format(job.job_id), api_key)


# Flask-Limiter


def of_the_key() -> str:
    return flask.request.headers.get("Authorization", "")


def test_flask_limiter_refuses_in_our_words(register: Register, api_key: str, job: Job) -> None:
    app = flask.Flask("host")
    Limiter(of_the_key, app=app, default_limits=["2 per minute"], storage_uri="memory://", headers_enabled=True)
    client = register(app).test_client()
    path = PREFIX + JOB.format(job.job_id)
    assert [get(client, path, api_key).status_code for _ in range(3)] == [200, 200, 429]
    refused = get(client, path, api_key)
    assert error_of(refused) == (429, "TOO_MANY_REQUESTS")
    assert int(refused.headers["Retry-After"]) > 0
    assert refused.headers["X-Request-Id"]
    assert error_of(get(client, path, "another")) == (401, "UNAUTHENTICATED")


def test_flask_limiter_in_an_app_of_our_own(store: JobStore, api_key: str, job: Job) -> None:
    app = create_app(store)
    Limiter(of_the_key, app=app, default_limits=["2 per minute"], storage_uri="memory://")
    client = app.test_client()
    statuses = [get(client, JOB.format(job.job_id), api_key).status_code for _ in range(3)]
    assert statuses == [200, 200, 429]
