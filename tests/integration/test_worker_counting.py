"""What a run counts is what the store has: rows, totals, checkpoints, in few reports."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import Any

import pytest
import redis

from batchstatus import InvalidTransition, InvalidValue, Job, JobStore, Run, Status
from tests.support.sdk import ORG, TroubledClient, counters, keys_of, rejected, skipped
from tests.support.waiting import wait_until

BIG = 2**53


@pytest.fixture
def job(store: JobStore) -> Job:
    return store.create(ORG, "transaction_batch")


@pytest.fixture
def troubled(client: "redis.Redis") -> TroubledClient:
    return TroubledClient(client)


def test_counters_and_rows_show_while_the_run_goes_on(store: JobStore, job: Job) -> None:
    with store.run(ORG, job.job_id) as run:
        run.total(10)
        run.succeeded()
        run.succeeded(5)
        run.failed(rejected(7))
        run.skipped(skipped(8))
        wait_until(lambda: store.get(ORG, job.job_id).done == 8)
        now = store.outcome(ORG, job.job_id)
        assert (now.job.status, now.job.total_items, counters(now.job)) == (Status.RUNNING, 10, (6, 1, 1))
        assert now.failures == (rejected(7),)
        assert now.skips == (skipped(8),)


def test_a_total_may_be_set_again_and_is_never_below_what_is_counted(store: JobStore, job: Job) -> None:
    with store.run(ORG, job.job_id) as run:
        run.total(5)
        run.succeeded(4)
        run.total(4)
        wait_until(lambda: store.get(ORG, job.job_id).total_items == 4)
        rev = store.get(ORG, job.job_id).rev
        run.total(3)
        wait_until(lambda: store.get(ORG, job.job_id).rev > rev)
    ended = store.get(ORG, job.job_id)
    assert (ended.status, ended.total_items, counters(ended)) == (Status.COMPLETED, 4, (4, 0, 0))


@pytest.mark.parametrize("late", [False, True], ids=["known from the start", "set by the run"])
def test_a_total_that_proves_too_low_is_raised_and_said_once(
    store: JobStore, caplog: pytest.LogCaptureFixture, late: bool
) -> None:
    job = store.create(ORG, "transaction_batch", total_items=None if late else 4)
    with store.run(ORG, job.job_id) as run:
        if late:
            run.total(4)
        run.succeeded(3, checkpoint=3)
        wait_until(lambda: store.get(ORG, job.job_id).done == 3)
        assert store.get(ORG, job.job_id).total_items == 4
        run.failed(rejected(4))
        run.skipped(skipped(5), checkpoint=5)
        wait_until(lambda: store.get(ORG, job.job_id).done == 5)
        assert store.get(ORG, job.job_id).total_items == 5
        run.succeeded()
    now = store.outcome(ORG, job.job_id)
    assert (now.job.status, now.job.total_items, counters(now.job)) == (Status.COMPLETED, 6, (4, 1, 1))
    assert (now.failures, now.skips) == ((rejected(4),), (skipped(5),))
    (said,) = [record.getMessage() for record in caplog.records if "total" in record.getMessage()]
    assert said == f"{keys_of(job).job}: its total of 4 rows is too low; raised to 5"


def test_a_total_that_is_high_enough_is_not_spoken_of(store: JobStore, caplog: pytest.LogCaptureFixture) -> None:
    job = store.create(ORG, "transaction_batch", total_items=4)
    with store.run(ORG, job.job_id) as run:
        run.succeeded(2)
        wait_until(lambda: store.get(ORG, job.job_id).done == 2)
        run.total(9)
        run.total(2)
    assert store.get(ORG, job.job_id).total_items == 2
    assert caplog.records == []


def test_a_commit_whose_rows_all_failed_has_a_checkpoint_and_no_succeeded_row(store: JobStore) -> None:
    job = store.create(ORG, "transaction_batch", takeover_s=60)
    with suppress(SystemExit), store.run(ORG, job.job_id) as run:
        run.failed(rejected(1))
        run.succeeded(0, checkpoint=1)
        run.failed(rejected(2))
        raise SystemExit
    assert counters(store.get(ORG, job.job_id)) == (0, 2, 0)
    with store.run(ORG, job.job_id) as run:
        assert (run.checkpoint, counters(run.job)) == (1, (0, 1, 0))
    assert store.outcome(ORG, job.job_id).failures == (rejected(1),)


def test_more_rows_than_can_be_counted_are_refused(store: JobStore, job: Job) -> None:
    with suppress(InvalidValue), store.run(ORG, job.job_id) as run:
        run.succeeded(BIG - 1)
        wait_until(lambda: store.get(ORG, job.job_id).succeeded == BIG - 1)
        run.failed(rejected(1))
        with pytest.raises(InvalidValue, match="more than can be counted"):
            wait_until(run.check)
    ended = store.outcome(ORG, job.job_id)
    assert (ended.job.status, counters(ended.job), ended.failures) == (Status.FAILED, (BIG - 1, 0, 0), ())


@pytest.mark.parametrize("n", [-1, 1.0, True, "1", None])
def test_a_number_of_succeeded_rows_that_makes_no_sense_is_refused(store: JobStore, job: Job, n: Any) -> None:
    with store.run(ORG, job.job_id) as run, pytest.raises(InvalidValue, match="n "):
        run.succeeded(n)
    assert counters(store.get(ORG, job.job_id)) == (0, 0, 0)


@pytest.mark.parametrize("total", [-1, BIG, 1.5, True, None, "5"])
def test_a_total_that_makes_no_sense_is_refused(store: JobStore, job: Job, total: Any) -> None:
    with store.run(ORG, job.job_id) as run, pytest.raises(InvalidValue, match="total_items"):
        run.total(total)
    assert store.get(ORG, job.job_id).total_items is None


def test_the_largest_total_and_the_largest_count_are_exact(store: JobStore, job: Job) -> None:
    with store.run(ORG, job.job_id) as run:
        run.total(BIG - 1)
        run.succeeded(BIG - 2)
        run.failed(rejected(1))
    ended = store.get(ORG, job.job_id)
    assert (ended.total_items, counters(ended)) == (BIG - 1, (BIG - 2, 1, 0))


@pytest.mark.parametrize(
    "checkpoint", [{1, 2}, float("nan"), "x" * 4096, object()], ids=["set", "nan", "long", "object"]
)
@pytest.mark.parametrize("verb", ["succeeded", "failed", "skipped"])
def test_a_checkpoint_that_cannot_be_stored_is_refused_and_its_row_not_counted(
    store: JobStore, job: Job, verb: str, checkpoint: Any
) -> None:
    with store.run(ORG, job.job_id) as run:
        arguments = {"succeeded": (), "failed": (rejected(1),), "skipped": (skipped(1),)}[verb]
        with pytest.raises(InvalidValue, match="checkpoint"):
            getattr(run, verb)(*arguments, checkpoint=checkpoint)
    assert counters(store.get(ORG, job.job_id)) == (0, 0, 0)


@pytest.mark.parametrize("checkpoint", [0, "", False, -1, 2**63, "x" * 4094, {"offset": [1, None]}, [], "ü😀"])
def test_a_checkpoint_is_what_a_takeover_gets(store: JobStore, checkpoint: Any) -> None:
    job = store.create(ORG, "transaction_batch", takeover_s=60)
    with suppress(SystemExit), store.run(ORG, job.job_id) as run:
        run.succeeded(checkpoint=7)
        run.succeeded(checkpoint=checkpoint)
        run.succeeded()
        raise SystemExit
    with store.run(ORG, job.job_id) as run:
        assert run.checkpoint == checkpoint
        assert type(run.checkpoint) is type(checkpoint)


def test_a_checkpoint_that_the_importer_goes_on_changing_is_stored_as_it_was_given(store: JobStore) -> None:
    job, position = store.create(ORG, "transaction_batch", takeover_s=60), {"line": 0}
    with suppress(SystemExit), store.run(ORG, job.job_id) as run:
        for line in (1, 2, 3):
            position["line"] = line
            run.succeeded(checkpoint=position)
            wait_until(lambda line=line: store.get(ORG, job.job_id).succeeded == line)  # type: ignore[misc]
        position["line"] = 99
        raise SystemExit
    with store.run(ORG, job.job_id) as run:
        assert run.checkpoint == {"line": 3}


def test_a_report_carries_a_thousand_rows_at_most(troubled: TroubledClient, job: Job) -> None:
    with JobStore(troubled).run(ORG, job.job_id, flush_s=1) as run:
        for number in range(2_500):
            (run.failed if number % 2 else run.skipped)(rejected(number))
        run.succeeded(1_000_000)
    carried = [report.rows for report in troubled.reports]
    assert (max(carried), sum(carried)) == (1_000, 2_500)


def test_rows_that_trickle_are_reported_no_more_than_five_times_a_second(troubled: TroubledClient) -> None:
    store = JobStore(troubled)
    job = store.create(ORG, "transaction_batch")
    began = time.monotonic()
    with store.run(ORG, job.job_id) as run, ThreadPoolExecutor(4) as pool:

        def trickle(thread: int) -> None:
            for number in range(200):
                run.succeeded()
                if number % 10 == 0:
                    run.failed(rejected(thread * 1_000 + number))
                time.sleep(0.005)

        assert list(pool.map(trickle, range(4))) == [None] * 4
    took_s = time.monotonic() - began
    assert counters(store.get(ORG, job.job_id)) == (800, 80, 0)
    assert len(troubled.reports) <= took_s / 0.2 + 2


def test_threads_may_share_a_run(store: JobStore, job: Job) -> None:
    threads, rows = 8, 150
    with store.run(ORG, job.job_id, flush_s=0.01, flush_rows=20, max_waiting_rows=100) as run:
        run.total(threads * rows * 5)

        def work(thread: int) -> None:
            for number in range(thread * rows, (thread + 1) * rows):
                run.check()
                run.succeeded(3)
                run.failed(rejected(number))
                run.skipped(skipped(number))

        with ThreadPoolExecutor(threads) as pool:
            assert list(pool.map(work, range(threads))) == [None] * threads
    now = store.outcome(ORG, job.job_id, limit=10_000)
    assert (now.job.status, counters(now.job)) == (Status.COMPLETED, (3_600, 1_200, 1_200))
    every = sorted(f"T-{number}" for number in range(threads * rows))
    assert sorted(row["externalId"] for row in now.failures) == every
    assert sorted(row["externalId"] for row in now.skips) == every


@pytest.mark.parametrize("left_with", [None, ValueError("broken")], ids=["normally", "with an error"])
def test_a_block_that_is_left_does_not_wait_for_threads_that_go_on_counting(
    store: JobStore, job: Job, caplog: pytest.LogCaptureFixture, left_with: Exception | None
) -> None:
    counted = [0]

    def go_on(run: Run) -> None:
        with suppress(InvalidTransition):
            while True:
                run.succeeded()
                counted[0] += 1

    with suppress(ValueError), store.run(ORG, job.job_id) as run:
        thread = threading.Thread(target=go_on, args=(run,))
        thread.start()
        wait_until(lambda: counted[0] > 100)
        if left_with:
            raise left_with
    thread.join()
    ended = store.get(ORG, job.job_id)
    assert ended.status is (Status.FAILED if left_with else Status.COMPLETED)
    # Each row whose call returned counts. Only the call that was under way may have counted and raised.
    assert counted[0] <= ended.succeeded <= counted[0] + 1
    said = [each.getMessage() for each in caplog.records if "counts nothing" in each.getMessage()]
    assert [job.job_id in each for each in said] == ([] if left_with else [True])


@pytest.mark.parametrize("call", ["succeeded", "failed"])
def test_a_call_that_is_under_way_when_its_block_is_left_raises_since_its_row_may_not_count(
    store: JobStore, job: Job, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    with store.run(ORG, job.job_id) as run:
        given = run._outbox.given

        def left_meanwhile(*arguments: Any) -> Any:
            run._outbox.close(InvalidTransition("this run has ended"), None)
            return given(*arguments)

        monkeypatch.setattr(run._outbox, "given", left_meanwhile)
        with pytest.raises(InvalidTransition, match="has ended"):
            run.succeeded(checkpoint=1) if call == "succeeded" else run.failed(rejected(1), checkpoint=1)
