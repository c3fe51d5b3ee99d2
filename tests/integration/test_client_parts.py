"""Many workers on one job over HTTP: `parts` in `Client.create`, `Client.split`, `part` in `Client.run`."""

import time
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest
import redis

from batchstatus import InvalidTransition, InvalidValue, JobEnded, JobExists, JobNotFound, JobStore, LeaseHeld
from batchstatus.client import Client
from batchstatus.client.steps import HttpSteps
from batchstatus.model.errors import Refused
from batchstatus.settings import declared_kinds
from tests.conftest import ORG
from tests.support.importers import Importer, Link
from tests.support.sdk import rejected
from tests.support.service import LiveService
from tests.support.waiting import wait_until

KIND = "transaction_batch"
PARTS, ROWS = 4, 200
KILLED, KILLED_AT = 2, 100
"""The part whose worker is killed, and after how many rows: two more than its checkpoint covers."""


@pytest.fixture
def key(real_store: JobStore) -> str:
    made, _ = real_store.api_keys.create(ORG, ["transactions:create", "jobs:run"])
    return made


@pytest.fixture
def client(live: LiveService, key: str) -> Iterator[Client]:
    with Client(live.url, key) as made:
        yield made


def import_part(link: Link, url: str, key: str, part: int, pauses_at: int | None = None) -> None:
    """Import a part, every tenth row of which fails, with a checkpoint each seven rows. Tells where it began."""
    with Client(url, key) as client, client.run("big", part=part, wait_s=60, lease_s=1, flush_s=0.02) as run:
        run.total(ROWS)
        start = run.checkpoint or 0
        link.send(start)
        for number in range(start + 1, ROWS + 1):
            run.check()
            checkpoint = number if number % 7 == 0 or number == ROWS else None
            if number % 10:
                run.succeeded(checkpoint=checkpoint)
            else:
                run.failed(rejected(1_000 * part + number), checkpoint=checkpoint)
            if number == pauses_at:
                link.recv()


def test_each_row_counts_once_though_one_of_four_workers_is_killed(
    client: Client, live: LiveService, key: str, real_store: JobStore
) -> None:
    client.create(KIND, job_id="big", takeover_s=60, parts=PARTS)
    with ExitStack() as workers:
        first = {
            part: workers.enter_context(
                Importer(import_part, live.url, key, part, KILLED_AT if part == KILLED else None)
            )
            for part in range(1, PARTS + 1)
        }
        wait_until(lambda: rows(client.parts("big")[KILLED - 1]) == KILLED_AT)
        first[KILLED].kill()
        other = workers.enter_context(Importer(import_part, live.url, key, KILLED))
        assert other.told() == KILLED_AT // 7 * 7
        wait_until(lambda: client.get("big").terminal)
    outcome = real_store.outcome(ORG, "big")
    job = outcome.job
    assert (job.status, job.total_items, job.succeeded, job.failed) == ("completed", 800, 720, 80)
    failed = [1_000 * part + number for part in range(1, PARTS + 1) for number in range(10, ROWS + 1, 10)]
    assert outcome.failures == tuple(map(rejected, failed))
    assert [(each["status"], rows(each)) for each in client.parts("big")] == [("completed", ROWS)] * PARTS


def rows(part: dict[str, Any]) -> int:
    """Returns how many rows of a part are counted."""
    return sum(part[outcome] for outcome in ("succeeded", "failed", "skipped"))


def test_a_job_is_split_once_and_a_repeat_changes_nothing(client: Client, real_store: JobStore) -> None:
    client.create(KIND, job_id="late")
    assert client.split("late", 3) == client.split("late", 3)
    assert [part["part"] for part in client.parts("late")] == [1, 2, 3]
    with pytest.raises(InvalidTransition, match="3 parts already"):
        client.split("late", 4)
    client.create(KIND, job_id="begun")
    with real_store.run(ORG, "begun"), pytest.raises(InvalidTransition, match="A worker has the whole job"):
        client.split("begun", 2)
    with pytest.raises(InvalidTransition, match="JOB_ALREADY_TERMINAL"):
        client.split("begun", 2)
    with pytest.raises(JobNotFound):
        client.split("unknown", 2)


def test_a_job_is_created_again_only_with_as_many_parts(client: Client) -> None:
    made = client.create(KIND, job_id="again", parts=3)
    assert client.create(KIND, job_id="again", parts=3) == made
    for parts in (2, None):
        with pytest.raises(JobExists):
            client.create(KIND, job_id="again", parts=parts)


def test_who_may_not_run_may_not_split(live: LiveService, client: Client, real_store: JobStore) -> None:
    client.create(KIND, job_id="whole")
    creator, _ = real_store.api_keys.create(ORG, ["transactions:create"])
    with Client(live.url, creator) as other, pytest.raises(Refused):
        other.split("whole", 2)
    assert client.parts("whole") == []


def test_who_cannot_have_the_part_is_told_why(client: Client, real_store: JobStore) -> None:
    client.create(KIND, job_id="held", takeover_s=60, parts=2)
    client.create(KIND, job_id="whole")
    with real_store.run(ORG, "held", part=1), pytest.raises(LeaseHeld):
        client.run("held", part=1).__enter__()
    for job_id, part, said in (("held", None, "is split"), ("held", 3, "beyond"), ("whole", 1, "not split")):
        with pytest.raises(InvalidValue, match=said):
            client.run(job_id, part=part).__enter__()
    with pytest.raises(JobEnded) as ended:
        client.run("held", part=1).__enter__()
    assert (ended.value.status, client.get("held").status) == ("completed", "running")
    with pytest.raises(RuntimeError), client.run("held", part=2):
        raise RuntimeError
    with pytest.raises(JobEnded) as ended:
        client.run("held", part=2).__enter__()
    assert (ended.value.status, client.get("held").status) == ("failed", "failed")


def test_a_repeated_claim_keeps_its_time_limits_though_another_part_was_heard_of_later(
    client: Client, real_store: JobStore, redis_client: "redis.Redis"
) -> None:
    client.create(KIND, job_id="held", parts=2)
    steps = HttpSteps(client, "held", 1, declared_kinds(None), None, timeout_s=10)
    steps.claim("the-same-token-16")
    redis_client.hset(f"batchstatus:{{{ORG}:held}}", "heartbeatAt", int(time.time() * 1000) + 600_000)
    steps.claim("the-same-token-16")
    assert steps.settings.lease_s >= 1


@pytest.mark.parametrize("number", [0, 1_001, 2.5, "2", True])
def test_a_number_that_cannot_be_is_named_before_anything_is_sent(number: Any) -> None:
    client = Client("http://127.0.0.1:1", "key")
    with pytest.raises(InvalidValue, match="parts"):
        client.create(KIND, parts=number)
    with pytest.raises(InvalidValue, match="parts"):
        client.split("job", number)
    with pytest.raises(InvalidValue, match="part "):
        client.run("job", part=number)
