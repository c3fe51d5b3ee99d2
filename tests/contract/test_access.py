"""Access to every route that reads a job (contract §1): 401, then 403, then 404, then 400."""

import time
from collections.abc import Iterator

import pytest
import redis
from flask.testing import FlaskClient

from batchstatus import JobStore, Kind
from batchstatus.web import create_app
from tests.support.rawhttp import exchange, request
from tests.support.service import LiveService
from tests.support.waiting import wait_until
from tests.support.wire import (
    INCLUDE_FAILURES,
    JOB,
    JOB_ROUTES,
    ORG,
    PERMISSIONS,
    error_of,
    get,
    put_job,
    routes_of,
    shown,
)

ROUTES = pytest.mark.parametrize("route", JOB_ROUTES)
UNKNOWN_KEY = f"bsk_{'A' * 43}"
MALFORMED = (
    "", " ", "Bearer", "Bearer ", "{key}", "Basic {key}", "Token {key}", "Bearer{key}", "Bearer:{key}",
    "Bearer {key} {key}", "Bearer {key}, Bearer {key}", "Bearer {key}x", "Bearer x{key}", "Bearer\t{key}",
    "Bearer bsk_short", 'Bearer "{key}"', "Bearer " + "a" * 5_000, "Bearer caf\xe9",
)  # fmt: skip


@pytest.fixture
def job_id(client: "redis.Redis") -> str:
    """A job that a caller with a permitted key can read."""
    return put_job(client, "job_1", kind="entity_automatic", failures=["a row"])


@ROUTES
def test_a_request_without_a_key_is_401(web: FlaskClient, job_id: str, route: str) -> None:
    refused = web.get(route.format(job_id))
    assert error_of(refused) == (401, "UNAUTHENTICATED")
    assert refused.headers["WWW-Authenticate"] == "Bearer"


@pytest.mark.parametrize("header", [*MALFORMED, f"Bearer {UNKNOWN_KEY}"])
def test_a_malformed_or_unknown_key_is_answered_like_a_missing_one(
    web: FlaskClient, api_key: str, job_id: str, header: str
) -> None:
    for route in JOB_ROUTES:
        refused = web.get(route.format(job_id), headers={"Authorization": header.format(key=api_key)})
        assert shown(refused) == shown(web.get(route.format(job_id)))


@ROUTES
def test_a_revoked_key_is_answered_like_a_missing_one(
    web: FlaskClient, store: JobStore, job_id: str, route: str
) -> None:
    key, record = store.api_keys.create(ORG, ["events:create"])
    store.api_keys.revoke(record.id)
    assert shown(get(web, route.format(job_id), key)) == shown(web.get(route.format(job_id)))


def test_an_expired_key_is_answered_like_a_missing_one(real_store: JobStore, redis_client: "redis.Redis") -> None:
    put_job(redis_client, "job_1", kind="entity_automatic")
    key, _ = real_store.api_keys.create(ORG, ["events:create"], expires_in_s=0.2)
    wait_until(lambda: not redis_client.exists(*redis_client.keys("batchstatus:apikey:*") or ["none"]))
    web = create_app(real_store).test_client()
    for route in JOB_ROUTES:
        assert shown(get(web, route.format("job_1"), key)) == shown(web.get(route.format("job_1")))
    assert real_store.api_keys.list(ORG) == []


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER", "bEaReR", "Bearer  "])
def test_the_scheme_is_case_insensitive(web: FlaskClient, api_key: str, job_id: str, scheme: str) -> None:
    for route in routes_of(Kind.ENTITY_AUTOMATIC):
        answer = web.get(route.format(job_id), headers={"Authorization": f"{scheme} {api_key}"})
        assert answer.status_code == 200


@pytest.mark.parametrize("permission", PERMISSIONS)
@pytest.mark.parametrize("kind", Kind)
def test_any_one_of_the_three_permissions_reads_jobs_of_every_kind(
    web: FlaskClient, store: JobStore, client: "redis.Redis", kind: Kind, permission: str
) -> None:
    put_job(client, "job_1", kind=kind)
    key, _ = store.api_keys.create(ORG, [permission, "reports:read"])
    for route in routes_of(kind):
        assert get(web, route.format("job_1"), key).status_code == 200


@ROUTES
def test_a_key_without_any_of_the_three_permissions_is_403(
    web: FlaskClient, store: JobStore, job_id: str, route: str
) -> None:
    others = ["transactions:read", "entities:create", "events:delete", "my.transactions:create"]
    key, _ = store.api_keys.create(ORG, others)
    refused = get(web, route.format(job_id), key)
    assert error_of(refused) == (403, "FORBIDDEN")
    assert "WWW-Authenticate" not in refused.headers


@pytest.mark.parametrize("path_id", ["no_such_job", "not.an.id"])
@pytest.mark.parametrize("query", ["", "nonsense"])
def test_the_checks_come_in_the_order_401_403_404(
    web: FlaskClient, store: JobStore, api_key: str, path_id: str, query: str
) -> None:
    useless, _ = store.api_keys.create("org_other", ["reports:read"])
    for route in JOB_ROUTES:
        path = route.format(path_id)
        path += f"{'&' if '?' in path else '?'}include={query}" if query else ""
        assert error_of(web.get(path)) == (401, "UNAUTHENTICATED")
        assert error_of(get(web, path, useless)) == (403, "FORBIDDEN")
        assert error_of(get(web, path, api_key)) == (404, "JOB_NOT_FOUND")


@pytest.mark.parametrize(
    "query", ["include=nonsense", "include=failures,nonsense", "include=failures&include=x,y", "include=%FF%00"]
)
def test_a_bad_include_is_400_and_named(web: FlaskClient, api_key: str, job_id: str, query: str) -> None:
    refused = get(web, f"{JOB.format(job_id)}?{query}", api_key)
    assert error_of(refused) == (400, "INVALID_REQUEST")
    assert list(refused.json["error"]["details"]) == ["include"]


@pytest.mark.parametrize("query", ["", "?", "?include=", "?include=,", "?INCLUDE=x", "?verbose=1"])
def test_an_empty_include_and_unknown_parameters_change_nothing(
    web: FlaskClient, api_key: str, job_id: str, query: str
) -> None:
    answer = get(web, JOB.format(job_id) + query, api_key)
    assert (answer.status_code, answer.data) == (200, get(web, JOB.format(job_id), api_key).data)


class Clock:
    """Replaces the `time` module in the access check."""

    def __init__(self) -> None:
        self.now_s = 1_000.0

    def monotonic(self) -> float:
        return self.now_s


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Iterator[Clock]:
    """The clock of the service's cache of keys; only the test moves it."""
    clock = Clock()
    monkeypatch.setattr("batchstatus.web.access.time", clock)
    return clock


def test_a_cached_key_is_refused_5_s_after_its_revocation(
    web: FlaskClient, store: JobStore, job_id: str, clock: Clock
) -> None:
    key, record = store.api_keys.create(ORG, ["events:create"])
    assert get(web, JOB.format(job_id), key).status_code == 200
    store.api_keys.revoke(record.id)
    clock.now_s += 5.0
    for route in JOB_ROUTES:
        assert error_of(get(web, route.format(job_id), key)) == (401, "UNAUTHENTICATED")


def test_constant_use_does_not_keep_a_revoked_key_alive(
    web: FlaskClient, store: JobStore, job_id: str, clock: Clock
) -> None:
    key, record = store.api_keys.create(ORG, ["events:create"])
    assert get(web, JOB.format(job_id), key).status_code == 200
    store.api_keys.revoke(record.id)
    for _ in range(20):
        clock.now_s += 0.25
        last = get(web, JOB.format(job_id), key)
    assert error_of(last) == (401, "UNAUTHENTICATED")


def test_a_cached_key_is_refused_5_s_after_its_expiry(
    real_store: JobStore, redis_client: "redis.Redis", clock: Clock
) -> None:
    web = create_app(real_store).test_client()
    put_job(redis_client, "job_1")
    key, _ = real_store.api_keys.create(ORG, ["events:create"], expires_in_s=1.0)
    assert get(web, JOB.format("job_1"), key).status_code == 200
    wait_until(lambda: not redis_client.keys("batchstatus:apikey:*"))
    clock.now_s += 5.0
    assert error_of(get(web, JOB.format("job_1"), key)) == (401, "UNAUTHENTICATED")


def test_a_key_refused_as_unknown_works_soon_after_its_creation(
    web: FlaskClient, store: JobStore, client: "redis.Redis", job_id: str, clock: Clock
) -> None:
    key, _ = store.api_keys.create(ORG, ["events:create"])
    [record] = client.keys("batchstatus:apikey:*")
    client.rename(record, "batchstatus:put aside")
    assert error_of(get(web, JOB.format(job_id), key)) == (401, "UNAUTHENTICATED")
    client.rename("batchstatus:put aside", record)
    clock.now_s += 1.0
    assert get(web, JOB.format(job_id), key).status_code == 200


def test_a_cached_key_reads_only_the_jobs_of_its_organization(
    web: FlaskClient, store: JobStore, api_key: str, job_id: str
) -> None:
    other_key, _ = store.api_keys.create("org_other", ["events:create"])
    for _ in range(3):
        assert get(web, INCLUDE_FAILURES.format(job_id), api_key).status_code == 200
        assert error_of(get(web, INCLUDE_FAILURES.format(job_id), other_key)) == (404, "JOB_NOT_FOUND")


@pytest.mark.slow
def test_every_process_refuses_a_key_5_s_after_its_revocation(
    live: LiveService, real_store: JobStore, redis_client: "redis.Redis"
) -> None:
    put_job(redis_client, "job_1")
    key, record = real_store.api_keys.create(ORG, ["events:create"])
    poll = request("GET", JOB.format("job_1"), key=key)
    assert {exchange(live.port, poll).status for _ in range(20)} == {200}
    real_store.api_keys.revoke(record.id)
    dead_at = time.monotonic() + 5.0
    wait_until(lambda: time.monotonic() >= dead_at)
    assert {exchange(live.port, poll).status for _ in range(20)} == {401}
