"""After any takeover the counters and rows are those of the checkpoint; at the end they are the file's."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest
import redis

from batchstatus import Job, JobStore, Run, Status
from batchstatus.settings import StoreSettings
from tests.support.sdk import ORG, claim_and_vanish, counters, enter, keys_of, rejected, skipped
from tests.support.waiting import wait_until

ROWS, STOPS = 60, (7, 23, 24, 41)
"""The rows of a file, and the rows after which a deployment stops the worker."""


@pytest.fixture
def job(store: JobStore) -> Job:
    return store.create(ORG, "transaction_batch", takeover_s=60)


def fails(number: int) -> bool:
    return number % 4 == 0


def skips(number: int) -> bool:
    return number % 7 == 3


def row_by_row(run: Run, number: int, every: int) -> None:
    """Count each row as it comes, with a checkpoint on every `every`th; 0: on none."""
    checkpoint = number if every and number % every == 0 else None
    if fails(number):
        run.failed(rejected(number), checkpoint=checkpoint)
    elif skips(number):
        run.skipped(skipped(number), checkpoint=checkpoint)
    else:
        run.succeeded(checkpoint=checkpoint)


def commit_by_commit(run: Run, number: int, every: int) -> None:
    """Count failed and skipped rows as they come, and the others with each commit."""
    if fails(number):
        run.failed(rejected(number))
    elif skips(number):
        run.skipped(skipped(number))
    if number % every == 0:
        committed = range(number - every + 1, number + 1)
        run.succeeded(sum(not fails(each) and not skips(each) for each in committed), checkpoint=number)


MIXES: dict[str, tuple[Callable[[Run, int, int], None], int]] = {
    "a checkpoint a row": (row_by_row, 1),
    "some rows a checkpoint": (row_by_row, 5),
    "rarely a checkpoint": (row_by_row, 25),
    "no checkpoint": (row_by_row, 0),
    "a checkpoint a commit": (commit_by_commit, 5),
    "a checkpoint after two rows": (commit_by_commit, 2),
}


def import_file(store: JobStore, job: Job, mix: str, stop: int | None, **options: int) -> None:
    """Import the file from the checkpoint on, up to its end or to the row after which the worker is stopped."""
    count, every = MIXES[mix]
    with suppress(SystemExit), store.run(ORG, job.job_id, **options) as run:
        for number in range((run.checkpoint or 0) + 1, ROWS + 1):
            count(run, number, every)
            if number == stop:
                raise SystemExit
        run.total(ROWS)


@pytest.mark.parametrize("max_rows", [4, 1_000_000])
@pytest.mark.parametrize("flush_rows", [1, 3, 1_000])
@pytest.mark.parametrize("mix", MIXES)
def test_takeover_after_takeover_counts_each_row_once(
    client: "redis.Redis", mix: str, flush_rows: int, max_rows: int
) -> None:
    store = JobStore(client, StoreSettings(max_rows=max_rows))
    job = store.create(ORG, "transaction_batch", takeover_s=60)
    for stop in (*STOPS, None):
        import_file(store, job, mix, stop, flush_rows=flush_rows)
    now = store.outcome(ORG, job.job_id)
    failed, skipped_ = [
        [n for n in range(1, ROWS + 1) if which(n)] for which in (fails, lambda n: skips(n) and not fails(n))
    ]
    assert (now.job.status, now.job.total_items) == (Status.COMPLETED, ROWS)
    assert counters(now.job) == (ROWS - len(failed) - len(skipped_), len(failed), len(skipped_))
    assert [row["externalId"] for row in now.failures] == [f"T-{number}" for number in failed[:max_rows]]
    assert [row["externalId"] for row in now.skips] == [f"T-{number}" for number in skipped_[:max_rows]]


def test_a_takeover_returns_to_nothing_without_a_checkpoint(store: JobStore, job: Job) -> None:
    with suppress(SystemExit), store.run(ORG, job.job_id) as run:
        run.succeeded(2)
        run.failed(rejected(3))
        raise SystemExit
    given_back = store.get(ORG, job.job_id)
    assert counters(given_back) == (2, 1, 0)
    with store.run(ORG, job.job_id) as run:
        now = store.outcome(ORG, job.job_id)
        assert (counters(now.job), now.failures, run.checkpoint) == ((0, 0, 0), (), None)
        assert now.job.rev == given_back.rev + 1


def test_the_same_checkpoint_again_covers_what_was_counted_since(store: JobStore, job: Job) -> None:
    with suppress(SystemExit), store.run(ORG, job.job_id) as run:
        run.succeeded(checkpoint="the file's name")
        wait_until(lambda: store.get(ORG, job.job_id).succeeded == 1)
        run.succeeded(2, checkpoint="the file's name")
        raise SystemExit
    with store.run(ORG, job.job_id) as run:
        assert counters(run.job) == (3, 0, 0)


def test_a_checkpoint_covers_what_other_threads_counted_before_it_and_nothing_after(
    store: JobStore, job: Job
) -> None:
    with suppress(SystemExit), store.run(ORG, job.job_id, flush_s=10) as run, ThreadPoolExecutor(1) as other:
        run.failed(rejected("before"))
        other.submit(run.failed, rejected("before, elsewhere")).result()
        run.succeeded(5, checkpoint="here")
        other.submit(run.failed, rejected("after, elsewhere")).result()
        other.submit(run.succeeded, 3).result()
        run.failed(rejected("after"))
        raise SystemExit
    assert counters(store.get(ORG, job.job_id)) == (8, 4, 0)
    with store.run(ORG, job.job_id):
        now = store.outcome(ORG, job.job_id)
    assert counters(now.job) == (5, 2, 0)
    assert [row["externalId"] for row in now.failures] == ["T-before", "T-before, elsewhere"]


def test_a_checkpoint_of_a_worker_of_an_older_release_covers_all_that_is_counted(
    store: JobStore, job: Job, client: "redis.Redis"
) -> None:
    with suppress(SystemExit), store.run(ORG, job.job_id) as run:
        run.succeeded(checkpoint=1)
        run.failed(rejected(2))
        raise SystemExit
    client.hdel(keys_of(job).job, "kept")
    enter(store, job)
    assert counters(store.get(ORG, job.job_id)) == (1, 1, 0)
    with suppress(SystemExit), store.run(ORG, job.job_id) as run:
        run.succeeded()
        raise SystemExit
    with store.run(ORG, job.job_id) as run:
        assert counters(run.job) == (1, 1, 0)


def test_settling_returns_to_no_checkpoint(store: JobStore, client: "redis.Redis") -> None:
    job = JobStore(client, StoreSettings(grace_s=0)).create(ORG, "transaction_batch")
    claim_and_vanish(client, job, succeeded=4)
    swift = JobStore(client, StoreSettings(grace_s=0))
    wait_until(lambda: swift.settle(ORG, job.job_id).terminal)
    assert counters(swift.get(ORG, job.job_id)) == (4, 0, 0)
