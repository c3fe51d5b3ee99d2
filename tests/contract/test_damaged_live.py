"""Jobs damaged in Redis, read from the live service: by poll, by id and in the history."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
import redis

from batchstatus import JobStore, Kind, Status
from batchstatus.model.keys import JobKeys, Keys
from tests.conftest import ORG
from tests.support.hostile import INTERNAL_ERROR, ask
from tests.support.rawhttp import Answer
from tests.support.service import LiveService

HISTORY = "/batch-import/jobs"
SAYS_NOTHING = b'{"success":false,"error":{"code":"INTERNAL_ERROR","message":"Something went wrong on our side."}}'
DEEP = b"[" * 100_000


@dataclass(frozen=True)
class Victim:
    """A job between two others, its keys, and its body before the damage."""

    keys: JobKeys
    job_id: str
    around: tuple[str, str]
    usual: dict[str, Any]
    client: "redis.Redis"
    live: LiveService
    key: str

    @property
    def routes(self) -> tuple[str, str]:
        """The poll of the job, and the request for three jobs by id."""
        older, newer = self.around
        return f"{HISTORY}/{self.job_id}", f"{HISTORY}?ids={older},{self.job_id},{newer}"

    def ask(self, target: str) -> tuple[Answer, list[str]]:
        """Returns the answer, and the lines logged for it except the request log."""
        before = len(self.live.log())
        answer = ask(self.live, target, key=self.key)
        lines = self.live.log()[before:].splitlines()
        return answer, [line for line in lines if '"logger":"batchstatus.requests"' not in line]


@pytest.fixture
def victim(live: LiveService, real_store: JobStore, redis_client: "redis.Redis", key: str) -> Victim:
    older, job_id, newer = (
        real_store.create(ORG, "transaction_batch", job_id=name, total_items=9, metadata={"a": 1}).job_id
        for name in ("november-1", "november-2", "november-3")
    )
    usual = ask(live, f"{HISTORY}/{job_id}", key=key).json()["job"]
    keys = Keys("batchstatus").job(ORG, job_id)
    return Victim(keys, job_id, (older, newer), usual, redis_client, live, key)


def assert_named(lines: list[str], victim: Victim) -> None:
    """Assert that a logged line names both the organization and the job."""
    assert any(ORG in line and victim.job_id in line for line in lines), lines


Damage = Callable[[Victim], object]


def field(name: str, value: bytes) -> Damage:
    """Returns a function that overwrites a field of the job."""
    return lambda victim: victim.client.hset(victim.keys.job, name, value)


def without(name: str) -> Damage:
    """Returns a function that deletes a field of the job."""
    return lambda victim: victim.client.hdel(victim.keys.job, name)


def instead(command: str, *words: str) -> Damage:
    """Returns a function that replaces the job's key with the result of a command."""

    def replace(victim: Victim) -> None:
        victim.client.delete(victim.keys.job)
        victim.client.execute_command(command, victim.keys.job, *words)
        victim.client.expire(victim.keys.job, 60)

    return replace


def running_under(lease: bytes) -> Damage:
    """Returns a function that makes the job a running one with this lease."""
    return lambda victim: victim.client.hset(
        victim.keys.job, mapping={"status": "running", "leaseExpiresAt": lease}
    )


DAMAGE: dict[str, Damage] = {
    "a string": instead("SET", "x"),
    "a list": instead("RPUSH", "x"),
    "a set": instead("SADD", "x"),
    "a sorted set": instead("ZADD", "1", "x"),
    "a stream": instead("XADD", "*", "x", "y"),
    "a counter abc": field("succeeded", b"abc"),
    "a counter nan": field("failed", b"nan"),
    "a counter below 0": field("skipped", b"-1"),
    "a counter of 5,000 digits": field("failed", b"9" * 5_000),
    "a counter that is no UTF-8": field("failed", b"\xff"),
    "a counter that is not there": without("succeeded"),
    "a total of 1e3": field("totalItems", b"1e3"),
    "a time nan": field("heartbeatAt", b"nan"),
    "a time beyond all calendars": field("completedAt", b"9" * 16),
    "a lease nan": running_under(b"nan"),
    "an unknown status": field("status", b"flying"),
    "an unknown kind": field("kind", b"\xff"),
    "a reason that is broken JSON": field("jobFailure", b'{"code":'),
    "a reason that is deep JSON": field("jobFailure", DEEP),
    "a reason that is no UTF-8": field("jobFailure", b'{"code":"\xff","message":""}'),
    "a worker's error that is no UTF-8": field("workerError", b"\xff\xfe"),
    "an id that is no UTF-8": field("jobId", b"\xff\xfe"),
    "an id that is not there": without("jobId"),
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_job_is_500_by_poll_and_by_id_and_is_logged(victim: Victim, damage: Damage) -> None:
    damage(victim)
    for target in victim.routes:
        answer, lines = victim.ask(target)
        assert answer.refusal == INTERNAL_ERROR
        assert answer.body == SAYS_NOTHING
        assert_named(lines, victim)
    # And the other jobs can be read without the damaged one
    answer, lines = victim.ask(f"{HISTORY}?ids={','.join(victim.around)}")
    assert [job["jobId"] for job in answer.json()["jobs"]] == [*victim.around]
    assert not any(victim.job_id in line for line in lines)


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_a_page_omits_a_damaged_job_and_logs_it(victim: Victim, damage: Damage) -> None:
    damage(victim)
    newest_first = [*reversed(victim.around)]
    # On one page, and when paging from job to job
    answer, lines = victim.ask(HISTORY)
    assert answer.status == 200
    assert [job["jobId"] for job in answer.json()["jobs"]] == newest_first
    assert_named(lines, victim)
    found, cursor = [], ""
    while cursor is not None:
        page = victim.ask(f"{HISTORY}?limit=1{cursor and f'&cursor={cursor}'}")[0].json()
        found += [job["jobId"] for job in page["jobs"]]
        cursor = page["nextCursor"]
    assert found == newest_first


BROKEN_METADATA = {
    "no JSON": b"{",
    "nothing": b"",
    "deep JSON": b'{"a":' * 100_000,
    "no UTF-8": b'{"a":"\xff"}',
    "a list": b"[1]",
    "no number": b'{"a":NaN}',
}


@pytest.mark.parametrize("value", BROKEN_METADATA.values(), ids=BROKEN_METADATA)
def test_broken_metadata_reads_as_empty_everywhere_and_is_logged(victim: Victim, value: bytes) -> None:
    victim.client.hset(victim.keys.job, "metadata", value)
    for target in (*victim.routes, HISTORY):
        answer, lines = victim.ask(target)
        assert answer.status == 200
        body = answer.json()
        jobs = {job["jobId"]: job for job in body.get("jobs") or [body["job"]]}
        assert jobs.pop(victim.job_id) == victim.usual | {"metadata": {}}
        assert [job["metadata"] for job in jobs.values()] == [{"a": 1}] * (0 if "job" in body else 2)
        assert_named([line for line in lines if "metadata" in line], victim)


def test_a_job_that_names_another_organization_is_not_found(victim: Victim) -> None:
    for org in (b"org_other", b"", b"\xff", ORG.encode() + b"\0"):
        victim.client.hset(victim.keys.job, "orgId", org)
        polled, by_id, page = (victim.ask(target)[0] for target in (*victim.routes, HISTORY))
        assert polled.refusal == (404, "JOB_NOT_FOUND")
        assert by_id.json()["notFound"] == [victim.job_id]
        for answer in (by_id, page):
            assert {job["jobId"] for job in answer.json()["jobs"]} == {*victim.around}


@pytest.mark.parametrize("score", ["inf", "-inf", "1e300", "1.5"])
def test_an_index_entry_with_an_impossible_time_is_omitted(victim: Victim, score: str) -> None:
    index = Keys("batchstatus").index(ORG, Kind.TRANSACTION_BATCH, Status.QUEUED)
    victim.client.zadd(index, {victim.job_id: score})
    found, cursor = [], ""
    while cursor is not None:
        page = victim.ask(f"{HISTORY}?limit=1{cursor and f'&cursor={cursor}'}")[0].json()
        found += [job["jobId"] for job in page["jobs"]]
        cursor = page["nextCursor"]
    assert found == [*reversed(victim.around)]


def test_an_index_of_another_type_is_500_and_is_logged(victim: Victim) -> None:
    index = Keys("batchstatus").index(ORG, Kind.TRANSACTION_BATCH, Status.COMPLETED)
    victim.client.set(index, "x", ex=60)
    try:
        answer, lines = victim.ask(HISTORY)
        assert answer.refusal == INTERNAL_ERROR
        assert answer.body == SAYS_NOTHING
        assert any(index in line for line in lines), lines
    finally:
        victim.client.delete(index)
