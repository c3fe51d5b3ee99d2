"""Bugs and damaged data give a 500 without internal details; accepted data never does (contract §7)."""

import logging
from typing import Any

import pytest
import redis
from flask.testing import FlaskClient

from batchstatus import JobAborted, JobStore, Kind
from tests.support.wire import (
    EVENTS,
    FAILURES,
    INCLUDE_FAILURES,
    JOB,
    JOB_ROUTES,
    ORG,
    bearer,
    error_of,
    get,
    job_key,
    put_job,
    routes_of,
)

INTERNAL_ERROR = (
    b'{"success":false,"error":{"code":"INTERNAL_ERROR","message":"Something went wrong on our side."}}'
)


@pytest.fixture
def job_id(client: "redis.Redis") -> str:
    return put_job(client, "job_1", kind="entity_automatic", failures=["a row"])


DAMAGE: dict[str, dict[str, Any]] = {
    "an unknown kind": {"kind": "secret_kind"},
    "an unknown status": {"status": "secret_status"},
    "a counter that is no number": {"succeeded": "secret"},
    "a counter below 0": {"failed": -1},
    "a total that is no number": {"totalItems": "1e3"},
    "a time that is no number": {"createdAt": "2026-11-23"},
    "a time beyond all times": {"createdAt": 10**16 - 1},
    "a job failure that is no JSON": {"jobFailure": "{secret"},
    "a job failure of another shape": {"jobFailure": '["secret"]'},
    "an error that is no text": {"workerError": b"\xff secret"},
    "a lease that is no number": {"status": "running", "leaseExpiresAt": "secret"},
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE.keys())
def test_a_damaged_job_is_500_without_internal_details(
    web: FlaskClient, client: "redis.Redis", api_key: str, damage: dict[str, Any]
) -> None:
    put_job(client, "job_1", **damage)
    for route in routes_of(Kind.TRANSACTION_BATCH):
        answer = get(web, route.format("job_1"), api_key)
        assert error_of(answer) == (500, "INTERNAL_ERROR")
        assert answer.data == INTERNAL_ERROR
        assert answer.headers["X-Request-Id"]


@pytest.mark.parametrize("route", routes_of(Kind.ENTITY_AUTOMATIC))
def test_a_job_key_of_another_type_is_500(
    web: FlaskClient, client: "redis.Redis", api_key: str, route: str
) -> None:
    client.set(job_key("job_1"), "no hash", ex=60)
    assert get(web, route.format("job_1"), api_key).data == INTERNAL_ERROR


@pytest.mark.parametrize("route", [each for each in routes_of(Kind.ENTITY_AUTOMATIC) if each not in (JOB, EVENTS)])
def test_a_rows_key_of_another_type_is_500_not_503(
    web: FlaskClient, client: "redis.Redis", api_key: str, route: str
) -> None:
    put_job(client, "job_1", kind="entity_automatic", failed=1)
    client.set(f"{job_key('job_1')}:failures", "no list", ex=60)
    assert get(web, route.format("job_1"), api_key).data == INTERNAL_ERROR
    assert get(web, JOB.format("job_1"), api_key).status_code == 200


@pytest.mark.parametrize("damage", [{"permissions": "{secret"}, {"createdAt": "secret"}, {"org": b"\xff"}])
def test_a_damaged_api_key_is_500_on_every_route(
    web: FlaskClient, client: "redis.Redis", api_key: str, job_id: str, damage: dict[str, str]
) -> None:
    [record] = client.keys("batchstatus:apikey:*")
    client.hset(record, mapping=damage)
    for route in JOB_ROUTES:
        assert get(web, route.format(job_id), api_key).data == INTERNAL_ERROR


@pytest.mark.parametrize("error", [RuntimeError("secret"), KeyError("secret"), AssertionError("secret")])
def test_a_bug_is_500_without_internal_details(
    web: FlaskClient,
    api_key: str,
    job_id: str,
    error: Exception,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def broken(*_: object) -> None:
        raise error

    for method in ("get", "outcome", "failure_pages", "ping"):
        monkeypatch.setattr(JobStore, method, broken)
    for route in (*JOB_ROUTES, "/readyz"):
        answer = web.get(route.format(job_id), headers={**bearer(api_key), "X-Request-Id": "find-me"})
        assert (answer.status_code, answer.data) == (500, INTERNAL_ERROR)
        assert answer.headers["X-Request-Id"] == "find-me"
    assert web.get("/livez").status_code == 200
    logged = [record.getMessage() for record in caplog.records if record.levelno == logging.ERROR]
    assert len(logged) == len(JOB_ROUTES) + 1
    assert all("find-me" in message for message in logged)


@pytest.mark.parametrize("number", [2**64 - 1, 2**64, -(10**30)])
def test_any_accepted_number_can_be_read(web: FlaskClient, store: JobStore, api_key: str, number: int) -> None:
    job = store.create(ORG, "transaction_batch", metadata={"number": number})
    assert get(web, JOB.format(job.job_id), api_key).json["job"]["metadata"] == {"number": number}
    with pytest.raises(JobAborted), store.run(ORG, job.job_id):
        raise JobAborted("OUR_OWN_CODE", "a large number", {"number": number})
    for route in (JOB, INCLUDE_FAILURES, FAILURES[Kind.TRANSACTION_BATCH]):
        body = get(web, route.format(job.job_id), api_key).json
        assert body.get("job", body)["jobFailure"]["details"] == {"number": number}
