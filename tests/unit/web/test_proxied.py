"""The service below a path of a proxy's."""

from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from batchstatus import JobStore
from batchstatus.settings import Settings
from batchstatus.web import blueprint, create_app
from batchstatus.web.proxied import behind_proxy

ORG = "org_acme"


@pytest.fixture
def trusting(store: JobStore) -> FlaskClient:
    """The service as it is with BATCHSTATUS_TRUST_PROXY=1."""
    app = create_app(store)
    app.wsgi_app = behind_proxy(app.wsgi_app)  # type: ignore[method-assign,assignment]
    return app.test_client()


def servers(web: FlaskClient, path: str = "/openapi.json", **headers: str) -> Any:
    answer = web.get(path, headers=headers)
    assert answer.status_code == 200
    return answer.json.get("servers") if answer.json else None


@pytest.mark.parametrize("path", ["/openapi.json", "/imports/openapi.json"], ids=["removed", "left"])
def test_the_document_names_the_prefix_whether_or_not_the_proxy_has_removed_it(
    trusting: FlaskClient, path: str
) -> None:
    assert servers(trusting, path, **{"X-Forwarded-Prefix": "/imports"}) == [{"url": "/imports"}]
    assert servers(trusting, path, **{"X-Forwarded-Prefix": "/imports/"}) == [{"url": "/imports"}]


def test_without_a_prefix_it_names_none(trusting: FlaskClient, web: FlaskClient) -> None:
    assert servers(trusting) is None
    assert servers(web) is None


def test_jobs_are_found_below_the_prefix(trusting: FlaskClient, store: JobStore, api_key: str) -> None:
    job_id = store.create(ORG, "transaction_batch").job_id
    headers = {"Authorization": f"Bearer {api_key}", "X-Forwarded-Prefix": "/a/b"}
    for path in (f"/batch-import/jobs/{job_id}", f"/a/b/batch-import/jobs/{job_id}"):
        answer = trusting.get(path, headers=headers)
        assert answer.status_code == 200
    encoded = trusting.get(f"/a/b/batch-import/jobs/{job_id}%2Fcontrol", headers=headers)
    assert encoded.status_code == 404


@pytest.mark.parametrize("prefix", ["imports", "//evil.example", "/a b", '/../x"', "https://evil.example/", "/"])
def test_a_prefix_that_is_no_path_is_ignored(trusting: FlaskClient, prefix: str) -> None:
    assert servers(trusting, **{"X-Forwarded-Prefix": prefix}) is None


def test_a_service_that_trusts_nobody_ignores_it(web: FlaskClient) -> None:
    assert servers(web, **{"X-Forwarded-Prefix": "/imports"}) is None
    assert web.get("/imports/livez", headers={"X-Forwarded-Prefix": "/imports"}).status_code == 404


def test_in_a_hosts_application_the_document_names_the_blueprints_prefix(store: JobStore) -> None:
    app = Flask("host")
    app.register_blueprint(blueprint(store), url_prefix="/imports")
    assert servers(app.test_client(), "/imports/openapi.json") == [{"url": "/imports"}]


@pytest.mark.parametrize(("text", "trusts"), [("1", True), ("true", True), ("0", False), ("No", False)])
def test_the_environment_says_whether_a_proxy_is_trusted(text: str, trusts: bool) -> None:
    environ = {"BATCHSTATUS_REDIS_URL": "redis://x", "BATCHSTATUS_TRUST_PROXY": text}
    assert Settings.from_env(environ).trust_proxy is trusts
