"""404 for unknown, malformed, foreign and expired jobs, and for jobs of another kind (contract §§1, 3, 7)."""

import pytest
import redis
from flask.testing import FlaskClient

from batchstatus import JobStore, Kind
from batchstatus.settings import StoreSettings
from batchstatus.web import create_app
from tests.support.waiting import wait_until
from tests.support.wire import (
    CSV,
    FAILURES,
    INCLUDE_FAILURES,
    JOB,
    JOB_ROUTES,
    LEGACY_CSV,
    ORG,
    bearer,
    error_of,
    get,
    job_key,
    put_job,
    routes_of,
    shown,
)

UNKNOWN = "01a20a07-d68a-70b2-bc88-4544d2bf6ad4"
MALFORMED = (
    "a" * 65,
    "job 1",
    "job.1",
    "job:1",
    "{job}",
    "job_1%0A",
    "%00",
    "%FF",
    "caf%C3%A9",
    "%D9%A1",
    "a\\b",
    "*",
)


@pytest.mark.parametrize("job_id", MALFORMED)
def test_a_malformed_id_is_answered_like_an_unknown_one(web: FlaskClient, api_key: str, job_id: str) -> None:
    for route in JOB_ROUTES:
        unknown = get(web, route.format(UNKNOWN), api_key)
        assert error_of(unknown) == (404, "JOB_NOT_FOUND")
        assert shown(get(web, route.format(job_id), api_key)) == shown(unknown)


@pytest.mark.parametrize("kind", Kind)
def test_another_organizations_job_is_answered_like_an_unknown_one(
    web: FlaskClient, store: JobStore, client: "redis.Redis", api_key: str, kind: Kind
) -> None:
    put_job(client, "job_1", kind=kind)
    foreign, _ = store.api_keys.create("org_other", ["transactions:create"])
    for route in JOB_ROUTES:
        unknown = get(web, route.format(UNKNOWN), api_key)
        assert shown(get(web, route.format("job_1"), foreign)) == shown(unknown)


def test_a_job_that_names_another_organization_is_answered_like_an_unknown_one(
    web: FlaskClient, client: "redis.Redis", api_key: str
) -> None:
    put_job(client, "job_1")
    client.hset(job_key("job_1"), "orgId", "org_other")
    for route in JOB_ROUTES:
        assert shown(get(web, route.format("job_1"), api_key)) == shown(get(web, route.format(UNKNOWN), api_key))


@pytest.mark.parametrize("kind", Kind)
def test_a_path_of_another_kind_is_answered_like_an_unknown_id(
    web: FlaskClient, client: "redis.Redis", api_key: str, kind: Kind
) -> None:
    put_job(client, "job_1", kind=kind, failures=["a row"])
    unknown = shown(get(web, JOB.format(UNKNOWN), api_key))
    for route in JOB_ROUTES:
        answer = get(web, route.format("job_1"), api_key)
        assert (answer.status_code == 200) == (route in routes_of(kind))
        assert answer.status_code == 200 or shown(answer) == unknown


def test_every_route_answers_the_same_for_an_unknown_job(web: FlaskClient, api_key: str) -> None:
    answers = [shown(get(web, route.format(UNKNOWN), api_key)) for route in JOB_ROUTES]
    assert answers == [answers[0]] * len(JOB_ROUTES)


@pytest.mark.parametrize("query", ["?include=failures&x=1", "?include=nonsense", "?include=failures,nonsense"])
def test_the_query_changes_nothing_for_an_unknown_job(web: FlaskClient, api_key: str, query: str) -> None:
    plain = get(web, JOB.format(UNKNOWN), api_key)
    assert shown(get(web, JOB.format(UNKNOWN) + query, api_key)) == shown(plain)


@pytest.mark.parametrize("job_id", ["a", "_", "-", "a" * 64, "Job-1_B"])
def test_a_job_with_an_id_of_its_creators_choice_is_found(
    web: FlaskClient, store: JobStore, api_key: str, job_id: str
) -> None:
    store.create(ORG, "entity_automatic", job_id=job_id)
    for route in routes_of(Kind.ENTITY_AUTOMATIC):
        assert get(web, route.format(job_id), api_key).status_code == 200
    assert get(web, JOB.format(job_id), api_key).json["job"]["jobId"] == job_id


def test_two_organizations_with_the_same_id_each_see_their_own_job(
    web: FlaskClient, store: JobStore, client: "redis.Redis", api_key: str
) -> None:
    put_job(client, "job_1", kind="transaction_batch", failures=["ours"])
    put_job(client, "job_1", kind="user_event_batch", failures=["theirs", "too"], org="org_other")
    other_key, _ = store.api_keys.create("org_other", ["transactions:create"])
    ours, theirs = (get(web, INCLUDE_FAILURES.format("job_1"), key).json for key in (api_key, other_key))
    assert (ours["kind"], [row["message"] for row in ours["failures"]]) == ("transaction_batch", ["ours"])
    assert (theirs["kind"], [row["message"] for row in theirs["failures"]]) == (
        "user_event_batch",
        ["theirs", "too"],
    )


def test_a_job_is_unknown_once_its_retention_has_passed(redis_client: "redis.Redis") -> None:
    store = JobStore(redis_client, StoreSettings(lease_s=0.2, grace_s=0.0, retention_s=2.0))
    web = create_app(store).test_client()
    key, _ = store.api_keys.create(ORG, ["events:create"])
    job = store.create(ORG, "transaction_batch")
    with store.run(ORG, job.job_id) as run:
        run.failed({"externalId": "T-1", "code": "VALIDATION_ERROR", "message": ""})
    routes = (JOB, INCLUDE_FAILURES, FAILURES[Kind.TRANSACTION_BATCH], CSV[Kind.TRANSACTION_BATCH])
    assert [get(web, route.format(job.job_id), key).status_code for route in routes] == [200] * 4
    wait_until(lambda: get(web, JOB.format(job.job_id), key).status_code == 404)
    for route in (*routes, LEGACY_CSV):
        assert shown(get(web, route.format(job.job_id), key)) == shown(get(web, route.format(UNKNOWN), key))
    assert redis_client.keys("batchstatus:{*") == []


def test_reading_a_job_does_not_extend_its_retention(
    web: FlaskClient, client: "redis.Redis", api_key: str
) -> None:
    put_job(client, "job_1", status="running", heartbeatAt=1, leaseExpiresAt=4102444800000)
    client.pexpire(job_key("job_1"), 50_000)
    for route in routes_of(Kind.TRANSACTION_BATCH):
        assert web.get(route.format("job_1"), headers=bearer(api_key)).status_code == 200
    assert client.pttl(job_key("job_1")) <= 50_000
