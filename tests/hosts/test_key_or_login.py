"""The recipe "Login or API key" of docs/flask.md, with the real flask-login."""

import re
from pathlib import Path
from typing import Any

import flask
import pytest
from flask.testing import FlaskClient

from batchstatus import Job, JobStore
from batchstatus.web import Caller
from tests.hosts.conftest import ORG, PREFIX, Register
from tests.support.wire import JOB, bearer, error_of, get

flask_login = pytest.importorskip("flask_login")

PAGE = (Path(__file__).parents[2] / "docs" / "flask.md").read_text()


@pytest.fixture
def host(register: Register, store: JobStore) -> FlaskClient:
    """A host with the recipe of the page; /login logs in a user of another organization."""
    _, _, section = PAGE.partition("\n### Login or API key\n")
    (code,) = re.findall(r"^```python\n(.*?)^```", section.partition("\n### ")[0], re.MULTILINE | re.DOTALL)
    known: dict[str, Any] = {"store": store, "Caller": Caller, "current_user": flask_login.current_user}
    exec(code, known)
    app = flask.Flask("portal")
    app.secret_key = "a secret of the host's"
    user = type(
        "User", (flask_login.UserMixin,), {"id": "bob", "org": "org_other", "permissions": ["events:create"]}
    )
    flask_login.LoginManager(app).user_loader(lambda _: user())
    app.add_url_rule("/login", "login", lambda: str(flask_login.login_user(user())))
    return register(app, authorize=known["by_key_or_login"]).test_client()


def test_a_key_a_login_and_a_ticket_all_do(host: FlaskClient, store: JobStore, api_key: str, job: Job) -> None:
    path = PREFIX + JOB.format(job.job_id)
    assert error_of(host.get(path)) == (401, "UNAUTHENTICATED")
    assert get(host, path, api_key).status_code == 200
    ticket = host.post(f"{PREFIX}/batch-import/tickets", json={}, headers=bearer(api_key)).json["ticket"]
    assert get(host, path, ticket).status_code == 200
    host.get("/login")
    assert error_of(host.get(path)) == (404, "JOB_NOT_FOUND")
    assert get(host, path, api_key).status_code == 200  # the key counts, not the login


def test_a_revoked_key_is_refused_at_once_also_with_a_login(host: FlaskClient, store: JobStore, job: Job) -> None:
    key, record = store.api_keys.create(ORG, ["transactions:create"])
    host.get("/login")
    path = PREFIX + JOB.format(job.job_id)
    assert get(host, path, key).status_code == 200
    store.api_keys.revoke(record.id)
    assert error_of(get(host, path, key)) == (401, "UNAUTHENTICATED")
