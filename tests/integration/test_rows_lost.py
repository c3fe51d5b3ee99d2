"""Rows that the store has lost are shown: an answer with them is not silently short."""

import pytest
import redis

from batchstatus import Job, JobStore, RowsLost
from batchstatus.settings import StoreSettings
from tests.support.sdk import ORG, keys_of, rejected, skipped


def import_rows(store: JobStore, failed: int, skips: int = 0) -> Job:
    """Run an import whose rows fail or are skipped."""
    job = store.create(ORG, "transaction_batch")
    with store.run(ORG, job.job_id) as run:
        for number in range(failed):
            run.failed(rejected(number))
        for number in range(skips):
            run.skipped(skipped(number))
    return job


def rows_of(store: JobStore, job: Job) -> int:
    """Read all pages of failed rows; RowsLost if the store has lost some."""
    return sum(map(len, store.failure_pages(ORG, job.job_id, 2)[1]))


def test_rows_that_are_all_there_are_not_lost(store: JobStore) -> None:
    job = import_rows(store, failed=5, skips=2)
    assert store.outcome(ORG, job.job_id, limit=1).rows_lost == 0
    assert rows_of(store, job) == 5


def test_an_evicted_list_is_noticed(
    store: JobStore, client: "redis.Redis", caplog: pytest.LogCaptureFixture
) -> None:
    job = import_rows(store, failed=5, skips=2)
    client.delete(keys_of(job).failures)
    assert store.outcome(ORG, job.job_id).rows_lost == 5
    assert "5 failed and 0 skipped rows that were stored are gone" in caplog.text
    with pytest.raises(RowsLost, match="5 failed rows"):
        rows_of(store, job)


def test_rows_removed_by_hand_are_noticed_after_the_others(store: JobStore, client: "redis.Redis") -> None:
    job = import_rows(store, failed=5, skips=2)
    client.rpop(keys_of(job).failures)
    client.rpop(keys_of(job).skips)
    assert store.outcome(ORG, job.job_id).rows_lost == 2
    pages = store.failure_pages(ORG, job.job_id, 2)[1]
    assert [len(next(pages)), len(next(pages))] == [2, 2]
    with pytest.raises(RowsLost, match="1 failed rows"):
        next(pages)


@pytest.mark.parametrize("readers_limit", [2, 3, 1_000])
def test_rows_beyond_a_workers_limit_are_not_lost(client: "redis.Redis", readers_limit: int) -> None:
    limited = JobStore(client, StoreSettings(max_rows=3, retention_s=60))
    reader = JobStore(client, StoreSettings(max_rows=readers_limit, retention_s=60))
    job = import_rows(limited, failed=5)
    assert reader.outcome(ORG, job.job_id).rows_lost == 0
    assert rows_of(reader, job) == 3
    client.rpop(keys_of(job).failures)
    assert reader.outcome(ORG, job.job_id).rows_lost == 1
