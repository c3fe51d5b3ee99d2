"""Claiming a job: when it works, when it does not, and taking over from a worker that is gone."""

import os
import platform
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import pytest
import redis

from batchstatus import (
    InvalidTransition,
    InvalidValue,
    JobNotFound,
    JobStore,
    LeaseHeld,
    Status,
    StoreRefused,
    StoreUnavailable,
)
from batchstatus.protocol import verbs
from batchstatus.settings import StoreSettings
from batchstatus.worker import run as run_module
from tests.support.sdk import (
    ORG,
    TroubledClient,
    claim_and_vanish,
    counters,
    enter,
    fields,
    keys_of,
    raises,
    rejected,
    verb_of,
)
from tests.support.waiting import wait_until


@pytest.fixture
def swift(client: "redis.Redis") -> JobStore:
    """A store whose leases are short."""
    return JobStore(client, StoreSettings(lease_s=0.6, grace_s=0.4))


def test_a_claim_makes_the_job_running_under_a_lease(store: JobStore) -> None:
    job = store.create(ORG, "user_event_batch", total_items=2)
    with store.run(ORG, job.job_id) as run:
        claimed = store.get(ORG, job.job_id)
        assert run.job == claimed
        assert claimed.status is Status.RUNNING
        assert claimed.heartbeat_at is not None
        assert claimed.lease_expires_at is not None
        assert (claimed.lease_expires_at - claimed.heartbeat_at).total_seconds() == 30
        assert run.checkpoint is None


def test_a_claim_says_where_its_worker_runs_until_the_job_ends(store: JobStore, client: "redis.Redis") -> None:
    job = store.create(ORG, "transaction_batch")
    with store.run(ORG, job.job_id):
        host, _, pid = fields(client, job)["worker"].rpartition(":")
        assert (host, int(pid)) == (platform.node(), os.getpid())
    assert "worker" not in fields(client, job)


def test_a_job_whose_lease_is_alive_cannot_be_claimed(store: JobStore) -> None:
    job = store.create(ORG, "transaction_batch", takeover_s=60)
    with store.run(ORG, job.job_id):
        with pytest.raises(LeaseHeld) as held:
            enter(store, job)
        assert 0 < held.value.left_s <= 30
    assert store.get(ORG, job.job_id).status is Status.COMPLETED


def test_a_job_that_has_ended_cannot_be_claimed(store: JobStore) -> None:
    job = store.create(ORG, "transaction_batch")
    with store.run(ORG, job.job_id):
        pass
    with pytest.raises(InvalidTransition, match="completed"):
        enter(store, job, wait_s=30)


def test_a_job_that_does_not_exist_cannot_be_claimed(store: JobStore) -> None:
    job = store.create("org_other", "transaction_batch", job_id="known")
    for unknown in ("unknown", job.job_id):
        with pytest.raises(JobNotFound), store.run(ORG, unknown, wait_s=30):
            pass


@pytest.mark.parametrize(
    "options",
    [
        {"wait_s": -1},
        {"wait_s": float("nan")},
        {"wait_s": True},
        {"wait_s": "1"},
        {"stall_s": -0.1},
        {"give_up_s": float("inf")},
        {"flush_s": 0},
        {"flush_s": -1},
        {"flush_rows": 0},
        {"flush_rows": 1.5},
        {"max_waiting_rows": 0},
        {"max_waiting_rows": True},
    ],
    ids=repr,
)
def test_an_option_of_run_that_makes_no_sense_is_refused_by_its_name(
    store: JobStore, options: dict[str, Any]
) -> None:
    job = store.create(ORG, "transaction_batch")
    with pytest.raises(InvalidValue, match=next(iter(options))):
        store.run(ORG, job.job_id, **options)
    with pytest.raises(InvalidValue, match="job_id"):
        store.run(ORG, "no such id")
    assert store.get(ORG, job.job_id).status is Status.QUEUED


def test_a_run_is_entered_once(store: JobStore) -> None:
    job = store.create(ORG, "transaction_batch", takeover_s=60)
    run = store.run(ORG, job.job_id)
    with run, pytest.raises(InvalidTransition, match="entered before"), run:
        pass
    assert store.get(ORG, job.job_id).status is Status.COMPLETED
    with pytest.raises(InvalidTransition, match="entered before"), run:
        pass


@pytest.mark.parametrize(
    "call",
    [
        lambda run: run.job,
        lambda run: run.checkpoint,
        lambda run: run.total(5),
        lambda run: run.check(),
        lambda run: run.succeeded(),
        lambda run: run.succeeded(checkpoint=1),
        lambda run: run.failed(rejected(1)),
        lambda run: run.skipped(rejected(1)),
    ],
    ids=["job", "checkpoint", "total", "check", "succeeded", "succeeded with checkpoint", "failed", "skipped"],
)
def test_a_run_that_was_not_entered_counts_nothing_and_says_so(
    store: JobStore, call: Callable[[Any], Any]
) -> None:
    job = store.create(ORG, "transaction_batch")
    run = store.run(ORG, job.job_id)
    with pytest.raises(InvalidTransition, match="not been entered"):
        call(run)
    with run:
        pass
    ended = store.get(ORG, job.job_id)
    assert (counters(ended), ended.total_items) == ((0, 0, 0), None)


def test_a_run_that_could_not_be_entered_may_be_tried_again(store: JobStore) -> None:
    job = store.create(ORG, "transaction_batch", takeover_s=60)
    second = store.run(ORG, job.job_id)
    with suppress(SystemExit), store.run(ORG, job.job_id):
        with pytest.raises(LeaseHeld), second:
            pass
        raise SystemExit
    with second:
        second.succeeded()
    assert counters(store.get(ORG, job.job_id)) == (1, 0, 0)


def test_a_checkpoint_that_a_foreign_worker_gave_as_json_null_reads_as_none(
    swift: JobStore, client: "redis.Redis"
) -> None:
    job = swift.create(ORG, "transaction_batch", takeover_s=60)
    claim = claim_and_vanish(client, job)
    identity = (claim.fence, claim.token, 1, 1, 60_000, 9)
    verbs.REPORT(swift.connection, keys_of(job), *identity, 2, "", "null", 2, 0, 0, 0, 0)
    with swift.run(ORG, job.job_id, wait_s=30) as run:
        assert run.checkpoint is None
        assert counters(run.job) == (2, 0, 0)


def test_a_takeover_goes_on_at_the_last_checkpoint_with_exact_counters(
    swift: JobStore, client: "redis.Redis"
) -> None:
    job = swift.create(ORG, "transaction_batch", total_items=5, takeover_s=60)
    failed = {"externalId": "T-3", "code": "VALIDATION_ERROR", "message": ""}
    claim_and_vanish(client, job, succeeded=2, failures=(failed,), checkpoint={"row": 3})
    with swift.run(ORG, job.job_id, wait_s=30) as run:
        assert run.checkpoint == {"row": 3}
        assert counters(run.job) == (2, 1, 0)
        run.succeeded(2, checkpoint={"row": 5})
    ended = swift.get(ORG, job.job_id)
    assert (ended.status, counters(ended)) == (Status.COMPLETED, (4, 1, 0))
    assert [row["externalId"] for row in swift.failures(ORG, job.job_id)] == ["T-3"]


def test_without_a_takeover_window_waiting_ends_with_the_job_interrupted(
    swift: JobStore, client: "redis.Redis"
) -> None:
    job = swift.create(ORG, "transaction_batch")
    claim_and_vanish(client, job)
    with pytest.raises(InvalidTransition, match="interrupted"):
        enter(swift, job, wait_s=30)
    assert swift.get(ORG, job.job_id).status is Status.INTERRUPTED


def test_a_claim_past_a_lease_is_refused_until_the_worker_is_known_to_be_dead(
    swift: JobStore, client: "redis.Redis"
) -> None:
    job = swift.create(ORG, "transaction_batch", takeover_s=60)
    claim_and_vanish(client, job)
    with pytest.raises(LeaseHeld):
        enter(swift, job)
    first_look = int(fields(client, job)["suspectAt"])
    wait_until(lambda: not raises(LeaseHeld, lambda: enter(swift, job)))
    claimed_at = int(fields(client, job)["heartbeatAt"])
    assert claimed_at - first_look >= 400


def test_waiting_for_a_lease_that_stays_alive_gives_up_in_time(store: JobStore) -> None:
    job = store.create(ORG, "transaction_batch", takeover_s=60)
    with store.run(ORG, job.job_id):
        began = time.monotonic()
        with pytest.raises(LeaseHeld):
            enter(store, job, wait_s=0.3)
        assert time.monotonic() - began >= 0.3


def test_waiting_claims_as_soon_as_the_worker_gives_its_lease_back(store: JobStore) -> None:
    job = store.create(ORG, "transaction_batch", takeover_s=60)
    with ThreadPoolExecutor(1) as pool:
        with suppress(SystemExit), store.run(ORG, job.job_id):
            waiting = pool.submit(enter, store, job, wait_s=60)
            wait_until(waiting.running)
            raise SystemExit
        waiting.result(20)  # far less than the lease of 30 s


@pytest.mark.parametrize("options", [{}, {"wait_s": 30}], ids=repr)
def test_a_claim_whose_answer_was_lost_is_claimed_again_under_the_same_fence(
    client: "redis.Redis", options: dict[str, Any]
) -> None:
    troubled = TroubledClient(client)
    store = JobStore(troubled)
    job = store.create(ORG, "transaction_batch")
    lost: list[str] = []

    def first_claim(words: tuple[Any, ...]) -> bool:
        fence = fields(client, job)["fence"]
        if verb_of(words) == "CLAIM" and fence != "0" and not lost:
            lost.append(fence)
            return True
        return False

    troubled.loses_answer_to = first_claim
    with store.run(ORG, job.job_id, **options) as run:
        run.succeeded()
        assert lost == [fields(client, job)["fence"]] == ["1"]
    assert counters(store.get(ORG, job.job_id)) == (1, 0, 0)


@pytest.mark.parametrize(("wait_s", "again_s"), [(0, 0.6), (1.2, 0.6)])
def test_a_claim_that_is_not_answered_is_repeated_for_a_while(
    client: "redis.Redis", monkeypatch: pytest.MonkeyPatch, wait_s: float, again_s: float
) -> None:
    monkeypatch.setattr(run_module, "CLAIM_AGAIN_S", again_s)
    troubled = TroubledClient(client)
    store = JobStore(troubled)
    job = store.create(ORG, "transaction_batch")
    troubled.away, began = True, time.monotonic()
    with pytest.raises(StoreUnavailable):
        enter(store, job, wait_s=wait_s)
    assert max(wait_s, again_s) <= time.monotonic() - began < 30
    troubled.away = False
    enter(store, job)


def refusing(troubled: TroubledClient, *, lost_before: int) -> list[str]:
    """Have each claim refused, but those before whose answers are lost; gives what became of each."""
    claims: list[str] = []

    def execute(*words: Any) -> Any:
        if verb_of(words) != "CLAIM":
            return TroubledClient.execute_command(troubled, *words)
        claims.append("lost" if len(claims) < lost_before else "refused")
        if claims[-1] == "lost":
            raise redis.TimeoutError("timeout reading from socket")
        raise redis.ResponseError("OOM command not allowed when used memory > 'maxmemory'.")

    troubled.execute_command = execute  # type: ignore[method-assign]
    return claims


def test_a_claim_that_the_store_refuses_is_not_repeated(client: "redis.Redis") -> None:
    troubled = TroubledClient(client)
    store = JobStore(troubled)
    job = store.create(ORG, "transaction_batch")
    claims = refusing(troubled, lost_before=0)
    with pytest.raises(StoreRefused):
        enter(store, job)
    assert claims == ["refused"]


def test_a_claim_that_is_refused_after_an_answer_was_lost_is_repeated(
    client: "redis.Redis", monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_module, "CLAIM_AGAIN_S", 0.8)
    troubled = TroubledClient(client)
    store = JobStore(troubled)
    job = store.create(ORG, "transaction_batch")
    claims = refusing(troubled, lost_before=1)
    with pytest.raises(StoreRefused):
        enter(store, job)
    assert claims[:3] == ["lost", "refused", "refused"]
