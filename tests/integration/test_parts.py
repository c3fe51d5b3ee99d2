"""Many workers on one job, with the worker SDK: splitting, running parts, reading them."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import redis

from batchstatus import (
    InvalidTransition,
    InvalidValue,
    Job,
    JobEnded,
    JobExists,
    JobStore,
    LeaseHeld,
    LeaseLost,
    RowsLost,
    Run,
    Status,
    StoreUnavailable,
)
from batchstatus.model.keys import PartsKeys
from batchstatus.model.messages import HEARTBEAT, Verdict
from batchstatus.protocol import verbs
from batchstatus.transport.connection import Connection
from tests.support.sdk import ORG, counters, fields, rejected, skipped

KIND = "transaction_batch"


@pytest.fixture
def job(store: JobStore) -> Job:
    return store.create(ORG, KIND, parts=3, takeover_s=60, job_id="split")


def run_part(store: JobStore, job: Job, part: int, *, failures: int = 0, skips: int = 0, ok: int = 1) -> None:
    with store.run(ORG, job.job_id, part=part) as run:
        run.succeeded(ok)
        for number in range(failures):
            run.failed(rejected(part * 100 + number))
        for number in range(skips):
            run.skipped(skipped(part * 100 + number))


def claim(run: Run) -> None:
    """Claim, and leave at once."""
    with run:
        pass


def import_and_raise(run: Run, error: Exception) -> None:
    """Count 3 rows with a checkpoint and 2 without, and leave with an error."""
    with run:
        run.succeeded(3, checkpoint=3)
        run.succeeded(2)
        raise error


def count_until_told(run: Run, meanwhile: Callable[[], None]) -> None:
    with run:
        meanwhile()
        run.succeeded()
        while True:
            run.check()


def keys_of_parts(store: JobStore, job: Job) -> PartsKeys:
    return store.connection.keys.parts(ORG, job.job_id)


# Splitting


def test_a_job_is_split_when_it_is_created_or_later(store: JobStore, job: Job) -> None:
    later = store.split(ORG, store.create(ORG, KIND, takeover_s=60).job_id, 3)
    assert (job.parts, later.parts, later.rev) == (3, 3, job.rev + 1)
    assert [part.status for part in store.parts(ORG, job.job_id)] == [Status.QUEUED] * 3
    assert store.parts(ORG, later.job_id) == store.parts(ORG, job.job_id)


def test_a_job_that_is_not_split_has_no_parts(store: JobStore) -> None:
    assert store.parts(ORG, store.create(ORG, KIND).job_id) == ()


def test_splitting_again_changes_nothing_and_another_number_is_refused(store: JobStore, job: Job) -> None:
    run_part(store, job, 1)
    assert store.split(ORG, job.job_id, 3) == store.get(ORG, job.job_id)
    with pytest.raises(InvalidTransition, match="split into 3 parts already"):
        store.split(ORG, job.job_id, 4)


def test_a_job_that_a_worker_has_had_is_not_split(store: JobStore) -> None:
    job = store.create(ORG, KIND)
    with store.run(ORG, job.job_id), pytest.raises(InvalidTransition, match="a worker has the whole job"):
        store.split(ORG, job.job_id, 2)
    with pytest.raises(JobEnded, match="completed"):
        store.split(ORG, job.job_id, 2)


@pytest.mark.parametrize("parts", [0, 1, 1_001, 2.0, True, "2"], ids=repr)
def test_a_number_of_parts_that_cannot_be_is_refused(store: JobStore, parts: Any) -> None:
    job = store.create(ORG, KIND)
    for call in (lambda: store.create(ORG, KIND, parts=parts), lambda: store.split(ORG, job.job_id, parts)):
        with pytest.raises(InvalidValue, match=r"^parts "):
            call()
    assert store.get(ORG, job.job_id).parts is None


def test_creating_a_split_job_again_is_the_same_job_and_otherwise_split_it_is_another(
    store: JobStore, job: Job
) -> None:
    again: dict[str, Any] = {"takeover_s": 60, "job_id": job.job_id}
    assert store.create(ORG, KIND, parts=3, **again) == job
    for others in ({"parts": 2}, {}):
        with pytest.raises(JobExists):
            store.create(ORG, KIND, **others, **again)


def test_a_job_that_was_split_after_its_creation_may_be_created_again(store: JobStore) -> None:
    store.create(ORG, KIND, job_id="later")
    split = store.split(ORG, "later", 2)
    assert store.create(ORG, KIND, job_id="later") == split


# Which runs fit which jobs


def test_a_split_job_cannot_be_run_as_a_whole(store: JobStore, job: Job, client: "redis.Redis") -> None:
    before = fields(client, job)
    with pytest.raises(InvalidTransition, match="split: run one of its parts, 1 to 3"):
        claim(store.run(ORG, job.job_id))
    assert fields(client, job) == before


def test_a_job_that_is_not_split_has_no_part_to_run(store: JobStore) -> None:
    with pytest.raises(InvalidTransition, match="not split"):
        claim(store.run(ORG, store.create(ORG, KIND).job_id, part=1))


def test_a_part_beyond_the_number_is_refused(store: JobStore, job: Job) -> None:
    with pytest.raises(InvalidValue, match="parts, which are 1 to 3"):
        claim(store.run(ORG, job.job_id, part=4))
    for part in (0, 1_001, True, "1"):
        with pytest.raises(InvalidValue, match=r"^part "):
            store.run(ORG, job.job_id, part=part)  # type: ignore[arg-type]


def test_a_look_at_a_split_job_as_a_whole_changes_nothing(
    store: JobStore, job: Job, client: "redis.Redis"
) -> None:
    with store.run(ORG, job.job_id, part=1):
        before = fields(client, job)
        assert verbs.settle(store.connection, store.connection.keys.job(ORG, job.job_id)).verdict is Verdict.SPLIT
        assert fields(client, job) == before


@pytest.mark.parametrize("verb", ["claim", "settle"])
def test_a_script_that_knows_no_parts_fails_and_writes_nothing_that_counts(
    store: JobStore, job: Job, client: "redis.Redis", verb: str
) -> None:
    script = getattr(verbs, verb.upper()).source
    known = [line for line in script.splitlines() if "{'SPLIT'" in line and "return" in line]
    assert len(known) == 1
    old, keys = script.replace(known[0], ""), store.connection.keys.job(ORG, job.job_id)
    words: dict[str, list[Any]] = {"claim": ["t", 1000, 0, 9_999_999, "running"], "settle": [0, 9_999_999, ""]}
    if verb == "settle":
        store.steps(ORG, job.job_id, 1).claim("token", 1)
        client.hset(keys.job, "leaseExpiresAt", 1)
        client.eval(old, 3, *keys, *words[verb])  # the first look only leaves a mark, which nobody reads
    before = fields(client, job)
    with pytest.raises(redis.ResponseError, match=r"nil|boolean|arithmetic"):
        client.eval(old, 3, *keys, *words[verb])
    assert fields(client, job) == before


# Running parts


def test_the_job_is_the_sum_of_its_parts_while_they_run(store: JobStore, job: Job) -> None:
    with store.run(ORG, job.job_id, part=1) as first, store.run(ORG, job.job_id, part=3) as third:
        assert (first.job.status, first.attempt, third.checkpoint) == (Status.RUNNING, 1, None)
        with pytest.raises(LeaseHeld):
            claim(store.run(ORG, job.job_id, part=3))
        first.succeeded(5)
        third.failed(rejected(1))
    now = store.get(ORG, job.job_id)
    assert (now.status, counters(now)) == (Status.RUNNING, (5, 1, 0))
    assert now.metadata["batchAwaitingWorker"] is True
    run_part(store, job, 2)
    assert store.get(ORG, job.job_id).state == "completed"


def test_a_total_is_the_sum_once_each_part_has_one_and_else_as_given(store: JobStore) -> None:
    given, unknown = (store.create(ORG, KIND, parts=2, total_items=total) for total in (9, None))
    for part in (1, 2):
        for job in (given, unknown):
            with store.run(ORG, job.job_id, part=part) as run:
                run.total(part * 2)
                run.succeeded(part)
        totals = [store.get(ORG, each.job_id).total_items for each in (given, unknown)]
        assert totals == [9, None if part == 1 else 6]


def test_the_lease_of_the_job_is_the_earliest_of_its_parts(store: JobStore, job: Job) -> None:
    def earliest() -> Any:
        return min(part.lease_expires_at for part in store.parts(ORG, job.job_id) if part.lease_expires_at)

    steps = [store.steps(ORG, job.job_id, part) for part in (1, 2, 3)]
    claims = [
        each.claim("token", lease_ms) for each, lease_ms in zip(steps, (60_000, 20_000, 40_000), strict=True)
    ]
    renewed = [(0, 60_000), (2, 40_000), (1, 20_000), (1, 70_000), (0, 5_000), (1, 70_000), (0, 60_000)]
    for turn, lease_ms in renewed:
        steps[turn].report(replace(claims[turn], lease_ms=lease_ms), 0, HEARTBEAT, paused=False)
        assert store.get(ORG, job.job_id).lease_expires_at == earliest()
    steps[2].finish(claims[2], verbs.Ending(Status.COMPLETED), None)
    assert store.get(ORG, job.job_id).lease_expires_at == earliest()


def test_a_part_handed_back_goes_on_elsewhere_and_leaves_the_others_alone(store: JobStore, job: Job) -> None:
    with store.run(ORG, job.job_id, part=2) as other:
        with pytest.raises(ConnectionError):
            import_and_raise(store.run(ORG, job.job_id, part=1, hand_back=ConnectionError), ConnectionError())
        assert store.get(ORG, job.job_id).state == "running"
        with store.run(ORG, job.job_id, part=1) as again:
            assert (again.checkpoint, again.attempt, again.job.succeeded) == (3, 2, 3)
            again.succeeded(4)
        other.succeeded()
    assert counters(store.get(ORG, job.job_id)) == (8, 0, 0)


def test_a_part_that_fails_ends_the_job_and_is_shown_by_its_status(store: JobStore, job: Job) -> None:
    def the_other_fails() -> None:
        with pytest.raises(KeyError):
            import_and_raise(store.run(ORG, job.job_id, part=2), KeyError("id"))

    with pytest.raises(LeaseLost):
        count_until_told(store.run(ORG, job.job_id, part=1, flush_s=0.01), the_other_fails)
    ended = store.get(ORG, job.job_id)
    assert (ended.status, ended.worker_error, ended.succeeded) == (Status.FAILED, "KeyError: 'id'", 5)
    assert ended.job_failure is not None
    statuses = [part.status for part in store.parts(ORG, job.job_id)]
    assert statuses == [Status.INTERRUPTED, Status.FAILED, Status.INTERRUPTED]


def test_parts_run_in_asyncio(store: JobStore, job: Job) -> None:
    async def work(part: int) -> None:
        async with store.arun(ORG, job.job_id, part=part) as run:
            await run.check()
            run.succeeded()

    async def all_parts() -> None:
        await asyncio.gather(*map(work, (1, 2, 3)))

    asyncio.run(all_parts())
    assert counters(store.get(ORG, job.job_id)) == (3, 0, 0)


def test_a_job_of_a_thousand_parts(store: JobStore) -> None:
    job = store.create(ORG, KIND, parts=1_000)
    for part in range(1, 1_001):
        steps = store.steps(ORG, job.job_id, part)
        granted = steps.claim(f"t{part}")
        steps.report(granted, 1, verbs.Batch(succeeded=part), paused=False)
        steps.finish(granted, verbs.Ending(Status.COMPLETED), 1)
    ended = store.get(ORG, job.job_id)
    assert (ended.status, ended.succeeded, ended.rev) == (Status.COMPLETED, 500_500, 3_001)
    assert sum(part.succeeded for part in store.parts(ORG, job.job_id)) == 500_500


# Reading


def test_rows_come_part_after_part_whatever_the_order_in_which_they_were_reported(
    store: JobStore, job: Job
) -> None:
    for part in (3, 1, 2):
        run_part(store, job, part, failures=3, skips=part)
    expected = [f"T-{part * 100 + number}" for part in (1, 2, 3) for number in range(3)]
    outcome = store.outcome(ORG, job.job_id, limit=5)
    assert [row["externalId"] for row in outcome.failures] == expected[:5]
    assert [row["externalId"] for row in outcome.skips] == ["T-100", "T-200", "T-201", "T-300", "T-301"]
    assert (outcome.failures_total, outcome.skips_total, outcome.truncated, outcome.rows_lost) == (9, 6, True, 0)
    for start, limit in ((0, 9), (2, 3), (8, 5), (9, 1)):
        found = store.failures(ORG, job.job_id, start, limit)
        assert [row["externalId"] for row in found] == expected[start : start + limit]
    for page in (1, 2, 4, 100):
        _, pages = store.failure_pages(ORG, job.job_id, page)
        read = [*pages]
        assert [row["externalId"] for rows in read for row in rows] == expected
        assert {len(rows) for rows in read[:-1]} <= {page}


def test_pages_are_of_the_rows_that_there_were_at_their_beginning(store: JobStore, job: Job) -> None:
    run_part(store, job, 2, failures=2)
    _, pages = store.failure_pages(ORG, job.job_id, page=1)
    first = next(pages)
    run_part(store, job, 1, failures=5)
    assert [row["externalId"] for rows in (first, *pages) for row in rows] == ["T-200", "T-201"]


def test_rows_of_parts_that_the_store_has_lost_are_missed(
    store: JobStore, job: Job, client: "redis.Redis"
) -> None:
    for part in (1, 2):
        run_part(store, job, part, failures=3, skips=1)
    _, pages = store.failure_pages(ORG, job.job_id, page=10)
    client.ltrim(keys_of_parts(store, job).part(2).failures, 0, 1)
    with pytest.raises(StoreUnavailable, match="are gone"):
        next(pages)
    client.delete(keys_of_parts(store, job).part(1).skips)
    assert store.outcome(ORG, job.job_id).rows_lost == 2
    _, pages = store.failure_pages(ORG, job.job_id, page=10)
    assert len(next(pages)) == 5
    with pytest.raises(RowsLost, match="lost 1 failed rows"):
        next(pages)


def test_a_poll_of_a_split_job_is_one_read(store: JobStore, job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[Any] = []
    real = Connection.command
    monkeypatch.setattr(Connection, "command", lambda self, *words: sent.append(words[0]) or real(self, *words))
    with store.run(ORG, job.job_id, part=1, flush_s=1):
        sent.clear()
        store.get(ORG, job.job_id)
        assert sent == ["HGETALL"]


def test_a_report_for_a_part_is_one_script(store: JobStore, job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    steps = store.steps(ORG, job.job_id, 1)
    granted = steps.claim("token")
    sent: list[Any] = []
    real = Connection._run
    monkeypatch.setattr(Connection, "_run", lambda self, *words: sent.append(words[1]) or real(self, *words))
    for seq in (1, 2, 3):
        steps.report(granted, seq, verbs.Batch(succeeded=1), paused=False)
    assert [each for each in sent if each == "EVALSHA"] == ["EVALSHA"] * 3


@pytest.mark.parametrize("awaits", [False, True], ids=["queued", "one part awaits a worker"])
def test_a_cancel_that_ends_a_split_job_leaves_nothing_of_its_parts_windows(
    store: JobStore, client: "redis.Redis", awaits: bool
) -> None:
    job = store.create(ORG, "transaction_batch", parts=2, takeover_s=60)
    if awaits:
        with store.run(ORG, job.job_id, part=1) as run:
            run.succeeded()
        with pytest.raises(SystemExit), store.run(ORG, job.job_id, part=2):
            raise SystemExit
    assert store.control(ORG, job.job_id, "cancel").status == "cancelled"
    left = {name for name in fields(client, job) if name.startswith(("parts", "window", "renewed", "lease"))}
    assert left == {"parts"}
    assert [each.status for each in store.parts(ORG, job.job_id)] == [
        "completed" if awaits else "cancelled",
        "cancelled",
    ]
