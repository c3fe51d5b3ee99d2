"""Leaving a run's block ends the job, and says truthfully how."""

import re
from contextlib import suppress

import pytest
import redis

from batchstatus import (
    InvalidTransition,
    InvalidValue,
    Job,
    JobAborted,
    JobCancelled,
    JobFailure,
    JobStore,
    LeaseLost,
    Run,
    Status,
    StoreUnavailable,
)
from batchstatus.model.messages import Batch, Claim
from batchstatus.protocol import verbs
from batchstatus.settings import StoreSettings
from batchstatus.transport.connection import Connection
from tests.support.sdk import ORG, TroubledClient, counters, keys_of, rejected, skipped


@pytest.fixture
def job(store: JobStore) -> Job:
    return store.create(ORG, "transaction_batch", total_items=4)


def count_three(run: Run) -> None:
    run.succeeded()
    run.failed(rejected(2))
    run.skipped(skipped(3), checkpoint=3)


def count_and_leave(store: JobStore, job: Job, error: BaseException, more: int = 0) -> None:
    """Count three rows and perhaps more, and leave the block with `error`."""
    with store.run(ORG, job.job_id) as run:
        count_three(run)
        run.succeeded(more)
        raise error


def test_a_block_left_normally_completes_the_job(store: JobStore, job: Job) -> None:
    with store.run(ORG, job.job_id) as run:
        assert store.get(ORG, job.job_id).status is Status.RUNNING
        count_three(run)
        run.succeeded()
    ended = store.get(ORG, job.job_id)
    assert (ended.status, counters(ended), ended.total_items) == (Status.COMPLETED, (2, 1, 1), 4)
    assert ended.completed_at is not None
    assert ended.completed_at >= ended.created_at
    assert (ended.worker_error, ended.job_failure, ended.lease_expires_at) == (None, None, None)


def test_job_cancelled_ends_the_job_as_cancelled_and_goes_no_further(store: JobStore, job: Job) -> None:
    with store.run(ORG, job.job_id) as run:
        count_three(run)
        raise JobCancelled
    ended = store.get(ORG, job.job_id)
    assert (ended.status, counters(ended)) == (Status.CANCELLED, (1, 1, 1))
    assert (ended.worker_error, ended.job_failure) == (None, None)


def test_cancelling_does_not_hide_that_rows_were_refused(store: JobStore) -> None:
    job = store.create(ORG, "transaction_batch")
    with pytest.raises(InvalidValue, match="can be counted"):
        count_and_leave(store, job, JobCancelled(), more=2**53)
    ended = store.get(ORG, job.job_id)
    assert (ended.status, counters(ended)) == (Status.FAILED, (0, 0, 0))
    assert "can be counted" in (ended.worker_error or "")


@pytest.mark.parametrize("details", [None, {"rows": [5, 8, 9]}, ["ü", 1.5, None], 0, False])
def test_job_aborted_fails_the_job_for_its_reason_and_is_raised_again(
    store: JobStore, job: Job, details: object
) -> None:
    aborted = JobAborted("INVALID_ENTITY_REFERENCES", "3 rows name unknown entities", details)
    with pytest.raises(JobAborted) as raised:
        count_and_leave(store, job, aborted)
    assert raised.value is aborted
    ended = store.get(ORG, job.job_id)
    assert (ended.status, counters(ended), ended.worker_error) == (Status.FAILED, (1, 1, 1), None)
    assert ended.job_failure == JobFailure("INVALID_ENTITY_REFERENCES", "3 rows name unknown entities", details)


def test_any_other_exception_fails_the_job_as_a_worker_error_and_is_raised_again(
    store: JobStore, job: Job
) -> None:
    error = ValueError("ü" * 2_000)
    with pytest.raises(ValueError) as raised:
        count_and_leave(store, job, error)
    assert raised.value is error
    ended = store.get(ORG, job.job_id)
    assert (ended.status, counters(ended)) == (Status.FAILED, (1, 1, 1))
    assert ended.worker_error is not None
    assert ended.worker_error == f"ValueError: {error}"[:1_000]
    assert ended.job_failure == JobFailure("WORKER_ERROR", ended.worker_error)


ABORTED = JobAborted("BAD_FILE", "no header", {"line": 1})


@pytest.mark.parametrize(
    ("group", "status", "failure"),
    [
        (ExceptionGroup("tasks", [ValueError("x"), ABORTED]), Status.FAILED, ("BAD_FILE", "no header")),
        (
            ExceptionGroup("tasks", [ValueError("x"), ExceptionGroup("more", [KeyError("y")])]),
            Status.FAILED,
            ("WORKER_ERROR", "ExceptionGroup: tasks (2 sub-exceptions); ValueError: x; KeyError: 'y'"),
        ),
        (
            ExceptionGroup("tasks", [ValueError("x"), JobCancelled()]),
            Status.FAILED,
            ("WORKER_ERROR", "ExceptionGroup: tasks (2 sub-exceptions); ValueError: x; JobCancelled: "),
        ),
        (BaseExceptionGroup("tasks", [ValueError("x"), KeyboardInterrupt()]), Status.INTERRUPTED, None),
    ],
    ids=["an abort", "errors", "a cancel and an error", "an interruption"],
)
def test_a_group_of_errors_ends_the_job_as_its_errors_do_and_is_raised_again(
    store: JobStore, job: Job, group: BaseExceptionGroup[BaseException], status: Status, failure: object
) -> None:
    with pytest.raises(type(group)) as raised:
        count_and_leave(store, job, group)
    assert raised.value is group
    ended = store.get(ORG, job.job_id)
    told = ended.job_failure and (ended.job_failure.code, ended.job_failure.message)
    assert (ended.status, told, counters(ended)) == (status, failure, (1, 1, 1))


def test_a_group_of_cancels_is_a_cancel(store: JobStore, job: Job) -> None:
    with store.run(ORG, job.job_id) as run:
        count_three(run)
        raise ExceptionGroup("tasks", [JobCancelled(), ExceptionGroup("more", [JobCancelled()])])
    ended = store.get(ORG, job.job_id)
    assert (ended.status, counters(ended), ended.worker_error) == (Status.CANCELLED, (1, 1, 1), None)


@pytest.mark.parametrize("interruption", [KeyboardInterrupt, SystemExit])
def test_an_interruption_without_a_takeover_window_reads_interrupted_at_once(
    store: JobStore, job: Job, interruption: type[BaseException]
) -> None:
    with pytest.raises(interruption):
        count_and_leave(store, job, interruption())
    ended = store.get(ORG, job.job_id)
    assert (ended.status, counters(ended)) == (Status.INTERRUPTED, (1, 1, 1))
    assert ended.completed_at is not None
    with pytest.raises(InvalidTransition), store.run(ORG, job.job_id):
        pass


@pytest.mark.parametrize("interruption", [KeyboardInterrupt, SystemExit])
def test_an_interruption_within_a_takeover_window_frees_the_job_for_the_next_worker_at_once(
    store: JobStore, client: "redis.Redis", interruption: type[BaseException]
) -> None:
    job = store.create(ORG, "transaction_batch", total_items=4, takeover_s=60)
    with pytest.raises(interruption):
        count_and_leave(store, job, interruption())
    given_back = store.get(ORG, job.job_id)
    assert (given_back.status, counters(given_back)) == (Status.RUNNING, (1, 1, 1))
    assert given_back.lease_expires_at == given_back.heartbeat_at

    late = Claim(job, fence=1, token="the first run's", seq=1, checkpoint=None)
    with pytest.raises(LeaseLost):
        verbs.report(Connection(client), keys_of(job), late, 2, Batch(succeeded=1))

    with store.run(ORG, job.job_id) as run:
        assert run.checkpoint == 3
        run.succeeded(checkpoint=4)
    ended = store.get(ORG, job.job_id)
    assert (ended.status, counters(ended)) == (Status.COMPLETED, (2, 1, 1))
    assert [row["externalId"] for row in store.failures(ORG, job.job_id)] == ["T-2"]


class Unprintable(Exception):
    """An exception that fails when it is shown."""

    def __str__(self) -> str:
        raise RuntimeError("no text for this")


@pytest.mark.parametrize(
    "error",
    [
        JobAborted("INVALID_ENTITY_REFERENCES", "x", details={1, 2}),
        JobAborted("INVALID_ENTITY_REFERENCES", "x", details=float("nan")),
        JobAborted("INVALID_ENTITY_REFERENCES", "x", details="x" * 40_000),
        Unprintable(),
    ],
    ids=["set", "nan", "long", "unprintable"],
)
def test_a_reason_that_cannot_be_stored_still_fails_the_job(store: JobStore, job: Job, error: Exception) -> None:
    with pytest.raises(type(error)) as raised:
        count_and_leave(store, job, error)
    assert raised.value is error
    ended = store.get(ORG, job.job_id)
    assert (ended.status, counters(ended)) == (Status.FAILED, (1, 1, 1))
    assert ended.job_failure is not None


def test_an_error_without_a_text_is_named_by_its_type(store: JobStore, job: Job) -> None:
    with pytest.raises(Unprintable):
        count_and_leave(store, job, Unprintable())
    assert (store.get(ORG, job.job_id).worker_error or "").startswith("Unprintable: ")


def test_details_over_16_kib_are_left_out_and_the_reason_says_so(store: JobStore, job: Job) -> None:
    with pytest.raises(JobAborted):
        count_and_leave(store, job, JobAborted("INVALID_ENTITY_REFERENCES", "too much", "x" * (16 * 1024 - 1)))
    failure = store.get(ORG, job.job_id).job_failure
    assert failure is not None
    assert (failure.code, failure.details) == ("INVALID_ENTITY_REFERENCES", None)
    assert re.match(r"too much \(details is 16,385 bytes", failure.message)


def test_details_of_16_kib_are_kept_beside_the_longest_message(store: JobStore, job: Job) -> None:
    details = "x" * (16 * 1024 - 2)
    with pytest.raises(JobAborted):
        count_and_leave(store, job, JobAborted("INVALID_ENTITY_REFERENCES", "😀" * 2_000, details))
    expected = JobFailure("INVALID_ENTITY_REFERENCES", "😀" * 1_000, details)
    assert store.get(ORG, job.job_id).job_failure == expected


@pytest.mark.parametrize("code", ["", "X", "lower_case", "1ST", "A" * 65, "WITH-DASH", "NEWLINE\n", None, 7])
def test_a_code_that_readers_could_not_tell_is_refused_when_it_is_given(code: str) -> None:
    with pytest.raises(InvalidValue, match="code"):
        JobAborted(code, "why")


def lose_the_lease(
    client: "redis.Redis", store: JobStore, job: Job, error: BaseException | None, rows: int
) -> None:
    """Be fenced out by another claim inside the block, count `rows` all the same, and leave."""
    with store.run(ORG, job.job_id) as run:
        client.hincrby(keys_of(job).job, "fence", 1)
        if rows:
            run.succeeded(rows)
        if error:
            raise error


@pytest.mark.parametrize(
    ("error", "raised"),
    [
        (None, LeaseLost),
        (JobCancelled(), LeaseLost),
        (ValueError(), ValueError),
        (JobAborted("WORKER_ERROR", "x"), JobAborted),
        (KeyboardInterrupt(), KeyboardInterrupt),
    ],
    ids=repr,
)
def test_a_worker_that_was_fenced_out_changes_nothing_on_leaving(
    store: JobStore, client: "redis.Redis", job: Job, error: BaseException | None, raised: type[BaseException]
) -> None:
    with pytest.raises(raised):
        lose_the_lease(client, store, job, error, rows=1)
    left = store.get(ORG, job.job_id)
    assert (left.status, counters(left)) == (Status.RUNNING, (0, 0, 0))
    assert left.lease_expires_at is not None
    assert left.rev == 2  # created and claimed


@pytest.mark.parametrize("error", [None, JobCancelled(), ValueError()], ids=repr)
def test_a_worker_that_learns_on_leaving_that_it_was_fenced_out_changes_nothing(
    store: JobStore, client: "redis.Redis", job: Job, error: Exception | None
) -> None:
    with pytest.raises(LeaseLost):
        lose_the_lease(client, store, job, error, rows=0)
    left = store.get(ORG, job.job_id)
    assert (left.status, left.rev) == (Status.RUNNING, 2)


@pytest.mark.parametrize("how", ["completed", "cancelled", "failed", "given back", "fenced out", "store away"])
def test_nothing_can_be_counted_after_the_block_however_it_was_left(
    client: "redis.Redis", job: Job, how: str
) -> None:
    troubled = TroubledClient(client)
    run = JobStore(troubled, StoreSettings()).run(ORG, job.job_id, give_up_s=0.1)
    errors = {"cancelled": JobCancelled(), "failed": ValueError(), "given back": SystemExit()}
    with suppress(ValueError, SystemExit, LeaseLost, StoreUnavailable), run:
        troubled.away = how == "store away"
        if how == "fenced out":
            client.hincrby(keys_of(job).job, "fence", 1)
        if how in errors:
            raise errors[how]
    for call in (run.succeeded, run.check, lambda: run.total(5), lambda: run.failed(rejected(1))):
        with pytest.raises((InvalidTransition, LeaseLost)):
            call()
