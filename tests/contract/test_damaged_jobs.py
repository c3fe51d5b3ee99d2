"""Jobs damaged in Redis give an error that the log explains, and never a wrong number."""

import logging
from dataclasses import dataclass
from typing import Any

import pytest
import redis
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from batchstatus import Job, JobStore
from batchstatus.model.keys import JobKeys, Keys
from tests.conftest import ORG
from tests.support.hostile import INTERNAL_ERROR, JOB_NOT_FOUND, JOB_ROUTES

DEEP = b"[" * 100_000
PAUSE = b'{"kind":"transaction_batch","action":"pause"}'


@dataclass(frozen=True)
class Victim:
    """An ended job with a failed row, its keys, and a caller that may read it."""

    job: Job
    keys: JobKeys
    client: "redis.Redis"
    web: FlaskClient
    api_key: str

    def damage(self, field: str, value: bytes) -> bytes | None:
        """Overwrite a field of the job. Returns the previous value."""
        good: Any = self.client.hget(self.keys.job, field)
        self.client.hset(self.keys.job, field, value)
        return good

    def ask(self, route: str = "/batch-import/jobs/{}", method: str = "GET") -> TestResponse:
        headers = {"Authorization": f"Bearer {self.api_key}"}
        return self.web.open(route.format(self.job.job_id), method=method, headers=headers, data=PAUSE)


@pytest.fixture
def victim(client: "redis.Redis", store: JobStore, web: FlaskClient, api_key: str) -> Victim:
    made = store.create(ORG, "transaction_batch", total_items=9, metadata={"fileName": "a.csv"})
    with store.run(ORG, made.job_id) as run:
        run.failed({"externalId": "T-1", "code": "VALIDATION_ERROR", "message": "no amount"})
        run.succeeded(3)
    keys = Keys("batchstatus").job(ORG, made.job_id)
    return Victim(store.get(ORG, made.job_id), keys, client, web, api_key)


def refusal(answer: TestResponse) -> tuple[int, str]:
    assert answer.json is not None
    return answer.status_code, answer.json["error"]["code"]


def assert_500_everywhere(victim: Victim, caplog: pytest.LogCaptureFixture) -> None:
    """Assert that every route of the job answers 500 with the error body, and that the log names the job."""
    for method, route in JOB_ROUTES:
        caplog.clear()
        answer = victim.ask(route, method)
        said = {"code": "INTERNAL_ERROR", "message": "Something went wrong on our side."}
        assert (answer.status_code, answer.json) == (500, {"success": False, "error": said}), route
        (message,) = (record.getMessage() for record in caplog.records if record.levelno == logging.ERROR)
        assert answer.headers["X-Request-Id"] in message
        assert victim.job.job_id in message
        assert ORG in message


NO_NUMBERS = {
    "text": b"abc",
    "nan": b"nan",
    "infinity": b"inf",
    "nothing": b"",
    "below 0": b"-1",
    "a sign": b"+1",
    "a fraction": b"1.5",
    "an exponent": b"1e3",
    "a space": b" 1",
    "a newline": b"1\n",
    "an underscore": b"1_0",
    "hexadecimal": b"0x10",
    "an Arabic digit": "٣".encode(),
    "a superscript": "²".encode("latin-1"),
    "no UTF-8": b"\xff",
    "NUL": b"1\0",
    "17 digits": b"1" * 17,
    "5,000 digits": b"1" * 5_000,
}


@pytest.mark.parametrize("value", NO_NUMBERS.values(), ids=NO_NUMBERS)
def test_a_malformed_number_is_500(victim: Victim, value: bytes, caplog: pytest.LogCaptureFixture) -> None:
    for field in ("succeeded", "skipped", "totalItems", "rev", "createdAt", "completedAt", "heartbeatAt"):
        good = victim.damage(field, value)
        assert refusal(victim.ask()) == INTERNAL_ERROR, field
        assert good is not None
        victim.damage(field, good)
    assert victim.ask().status_code == 200
    victim.damage("failed", value)
    assert_500_everywhere(victim, caplog)


DAMAGE = {
    "an unknown status": ("status", b"flying"),
    "a status in capitals": ("status", b"COMPLETED"),
    "no status": ("status", b""),
    "a running job without a lease that is a time": ("leaseExpiresAt", b"nan"),
    "an unknown kind": ("kind", b"invoice_batch"),
    "a kind that is no UTF-8": ("kind", b"\xff"),
    "an id that is no UTF-8": ("jobId", b"\xff\xfe"),
    "a worker's error that is no UTF-8": ("workerError", b"\xff\xfe"),
    "a time beyond all calendars": ("createdAt", b"9" * 16),
    "a reason that is no JSON": ("jobFailure", b"{"),
    "a reason that is no UTF-8": ("jobFailure", b'{"code":"\xff"}'),
    "a reason that is deep": ("jobFailure", DEEP),
    "a reason that is a list": ("jobFailure", b'["WORKER_ERROR"]'),
    "a reason that is text": ("jobFailure", b'"WORKER_ERROR"'),
    "a reason without a code": ("jobFailure", b'{"message":"no"}'),
    "a reason without a message": ("jobFailure", b'{"code":"WORKER_ERROR"}'),
    "a reason whose code is a number": ("jobFailure", b'{"code":5,"message":"no"}'),
    "a reason whose message is null": ("jobFailure", b'{"code":"WORKER_ERROR","message":null}'),
}


@pytest.mark.parametrize(("field", "value"), DAMAGE.values(), ids=DAMAGE)
def test_an_invalid_field_is_500_and_left_unchanged(
    victim: Victim, field: str, value: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    if field == "leaseExpiresAt":
        victim.damage("status", b"running")
    victim.damage(field, value)
    stored = victim.client.hgetall(victim.keys.job)
    assert_500_everywhere(victim, caplog)
    assert victim.client.hgetall(victim.keys.job) == stored


@pytest.mark.parametrize("field", ["jobId", "kind", "status", "succeeded", "failed", "createdAt", "rev"])
def test_a_missing_field_is_500(victim: Victim, field: str, caplog: pytest.LogCaptureFixture) -> None:
    victim.client.hdel(victim.keys.job, field)
    assert_500_everywhere(victim, caplog)


def put(client: "redis.Redis", key: str, type_: str) -> None:
    """Replace the key of a job, or of its rows, with a value of this type."""
    client.delete(key)
    words = {"string": ("SET", "x"), "list": ("RPUSH", "x"), "set": ("SADD", "x"), "zset": ("ZADD", 1, "x")}
    words |= {"stream": ("XADD", "*", "x", "y"), "hash": ("HSET", "x", "y")}
    verb, *rest = words[type_]
    client.execute_command(verb, key, *rest)
    client.expire(key, 60)


@pytest.mark.parametrize("type_", ["string", "list", "set", "zset", "stream"])
def test_a_key_of_another_type_is_500_each_time(
    victim: Victim, type_: str, caplog: pytest.LogCaptureFixture
) -> None:
    put(victim.client, victim.keys.job, type_)
    assert_500_everywhere(victim, caplog)
    assert_500_everywhere(victim, caplog)
    assert victim.web.get("/readyz").status_code == 200


@pytest.mark.parametrize("type_", ["string", "hash"])
def test_failed_rows_of_another_type_are_500_only_where_rows_are_read(victim: Victim, type_: str) -> None:
    put(victim.client, victim.keys.failures, type_)
    for route in ("/batch-import/jobs/{}?include=failures", "/batch-import/transaction-jobs/{}/failures"):
        assert refusal(victim.ask(route)) == INTERNAL_ERROR
    assert refusal(victim.ask("/batch-import/transaction-jobs/{}/failures.csv")) == INTERNAL_ERROR
    assert victim.ask().status_code == 200


@pytest.mark.parametrize("org", [b"org_other", b"", b"\xff", ORG.encode() + b"\0"])
def test_a_job_that_names_another_organization_is_not_found(victim: Victim, org: bytes) -> None:
    victim.damage("orgId", org)
    assert {refusal(victim.ask(route, method)) for method, route in JOB_ROUTES} == {JOB_NOT_FOUND}


def test_a_hash_of_another_program_is_not_found(victim: Victim) -> None:
    put(victim.client, victim.keys.job, "hash")
    assert refusal(victim.ask()) == JOB_NOT_FOUND


BROKEN_METADATA = {
    "no JSON": b"{",
    "nothing": b"",
    "no UTF-8": b'{"a":"\xff"}',
    "UTF-16": '{"a":1}'.encode("utf-16"),
    "deep": DEEP,
    "deep, and closed": b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
    "a list": b'["a"]',
    "text": b'"a"',
    "null": b"null",
    "no number": b'{"a":NaN}',
    "infinity": b'{"a":-Infinity}',
    "NUL": b'{"a":1}\0',
}


@pytest.mark.parametrize("value", BROKEN_METADATA.values(), ids=BROKEN_METADATA)
def test_broken_metadata_reads_as_empty_and_is_logged(
    victim: Victim, value: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    usual = victim.ask().json
    victim.damage("metadata", value)
    answer = victim.ask()
    assert answer.status_code == 200
    assert answer.json == {"success": True, "job": usual["job"] | {"metadata": {}}}
    said = [record.getMessage() for record in caplog.records]
    assert any("metadata" in message and victim.job.job_id in message for message in said)


@pytest.mark.parametrize("depth", [32, 254, 255, 600, 900, 950, 1_000])
def test_metadata_of_any_depth_reads_unchanged_or_as_empty(victim: Victim, depth: int) -> None:
    victim.damage("metadata", b'{"a":' * depth + b"1" + b"}" * depth)
    answer = victim.ask()
    assert answer.status_code == 200
    found, levels = answer.json["job"]["metadata"], 0
    while found != {} and found != 1:
        found, levels = found["a"], levels + 1
    assert levels in (depth, 0)


def test_metadata_may_hold_any_json(victim: Victim, store: JobStore) -> None:
    whole = {"n": 2**70, "m": -(2**70), "f": 1e300, "s": "\u2028\U0001f600\0", "": None, "x": [{}, [], True]}
    made = store.create(ORG, "transaction_batch", metadata=whole)
    assert victim.ask(f"/batch-import/jobs/{made.job_id}").json["job"]["metadata"] == whole
    victim.damage("metadata", b'{"a":"\\ud800"}')
    assert victim.ask().json["job"]["metadata"] == {"a": "\ud800"}
