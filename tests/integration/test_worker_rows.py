"""Failed and skipped rows: what is accepted, what is stored of them, and how they read."""

import json
from typing import Any

import pytest
import redis

from batchstatus import InvalidValue, Job, JobStore, Kind
from batchstatus.settings import StoreSettings
from tests.support.sdk import ORG, counters, keys_of, rejected, skipped


@pytest.fixture
def job(store: JobStore) -> Job:
    return store.create(ORG, "transaction_batch")


ROWS = {
    Kind.TRANSACTION_BATCH: {"externalId": "T-1"},
    Kind.USER_EVENT_BATCH: {"rowKey": "row_5"},
    Kind.ENTITY_AUTOMATIC: {"taxId": "20123456789", "type": "company"},
}


@pytest.mark.parametrize("kind", Kind)
def test_a_row_of_each_kind_is_given_back_as_it_was_reported(store: JobStore, kind: Kind) -> None:
    job = store.create(ORG, kind)
    with store.run(ORG, job.job_id) as run:
        run.failed({**ROWS[kind], "code": "VALIDATION_ERROR", "message": "why"})
        run.skipped(ROWS[kind])
    now = store.outcome(ORG, job.job_id)
    entity = kind is Kind.ENTITY_AUTOMATIC
    failed = {"outcome": "failed"} if entity else {}
    passed = {"outcome": "skipped_existing"} if entity else {}
    assert now.failures == ({**ROWS[kind], **failed, "code": "VALIDATION_ERROR", "message": "why"},)
    assert now.skips == ({**ROWS[kind], **passed, "code": "SKIPPED_DUPLICATE_TAX_ID"},)


@pytest.mark.parametrize(
    "row",
    [
        {"code": "VALIDATION_ERROR", "message": "no id"},
        {"externalId": "T-1", "code": "VALIDATION_ERROR", "amount": 5},
        {"externalId": "T-1", "code": "VALIDATION_ERROR", 5: 5},
        ["externalId", "T-1"],
        None,
    ],
    ids=str,
)
def test_a_row_of_another_shape_is_refused_and_not_counted(store: JobStore, job: Job, row: Any) -> None:
    with store.run(ORG, job.job_id) as run:
        for report in (run.failed, run.skipped):
            with pytest.raises(InvalidValue):
                report(row)
    assert counters(store.get(ORG, job.job_id)) == (0, 0, 0)


CODES = {
    "a code that is not stable": ({"code": "timed out", "message": "5 s"}, "timed out: 5 s"),
    "no text": ({"code": 17}, "17"),
    "None": ({"code": None, "message": "no amount"}, "no amount"),
    "no code": ({"message": "no amount"}, "no amount"),
}


@pytest.mark.parametrize(("given", "message"), CODES.values(), ids=CODES)
def test_a_bad_code_ends_no_import(
    store: JobStore, job: Job, given: Any, message: str, caplog: pytest.LogCaptureFixture
) -> None:
    with store.run(ORG, job.job_id) as run:
        for number in (1, 2):
            run.failed({"externalId": f"T-{number}", **given})
    expected = {"code": "PROCESSING_ERROR", "message": message}
    assert store.failures(ORG, job.job_id) == [{"externalId": f"T-{number}", **expected} for number in (1, 2)]
    assert [record.levelname for record in caplog.records] == ["WARNING"], "said once"
    assert store.get(ORG, job.job_id).status == "completed"


def test_a_skipped_row_with_a_bad_code_has_the_kinds_own(store: JobStore, job: Job) -> None:
    with store.run(ORG, job.job_id) as run:
        run.skipped({"externalId": "T-1", "code": "there already"})
    assert store.outcome(ORG, job.job_id).skips == ({"externalId": "T-1", "code": "SKIPPED_DUPLICATE_TAX_ID"},)


def test_a_message_is_cut_at_1000_characters(store: JobStore, job: Job) -> None:
    with store.run(ORG, job.job_id) as run:
        run.failed(rejected(1, message="ü" * 1_000))
        run.failed(rejected(2, message="ü" * 1_001))
    assert [row["message"] for row in store.failures(ORG, job.job_id)] == ["ü" * 1_000] * 2


def test_a_row_is_cut_at_4_kib_and_stays_whole_json(store: JobStore, client: "redis.Redis") -> None:
    job = store.create(ORG, "entity_automatic")
    long = dict.fromkeys(("taxId", "type", "message"), "😀" * 1_000)
    with store.run(ORG, job.job_id) as run:
        run.failed({**long, "code": "VALIDATION_ERROR"})
    (stored,) = client.lrange(keys_of(job).failures, 0, -1)
    assert len(stored) <= 4096
    row = json.loads(stored)
    assert row["code"] == "VALIDATION_ERROR"
    assert all(row[name] and set(row[name]) == {"😀"} for name in long)


@pytest.mark.parametrize("member", ["taxId", "type", "message", "outcome"])
def test_text_that_is_not_valid_unicode_does_not_stop_an_import(store: JobStore, member: str) -> None:
    job = store.create(ORG, "entity_automatic")
    row = {"taxId": "1", "type": "person", "code": "VALIDATION_ERROR", "message": "", member: "a\udcffb"}
    with store.run(ORG, job.job_id) as run:
        run.failed(row)
    assert store.failures(ORG, job.job_id)[0][member] == "a?b"


def test_counting_goes_on_where_no_more_rows_are_stored(client: "redis.Redis") -> None:
    store = JobStore(client, StoreSettings(max_rows=3))
    job = store.create(ORG, "transaction_batch")
    with store.run(ORG, job.job_id, flush_rows=2) as run:
        for number in range(7):
            run.failed(rejected(number))
            run.skipped(skipped(number))
    now = store.outcome(ORG, job.job_id)
    assert (counters(now.job), now.failures_total, now.skips_total, now.truncated) == ((0, 7, 7), 7, 7, True)
    assert [row["externalId"] for row in now.failures] == ["T-0", "T-1", "T-2"]
    assert [row["externalId"] for row in now.skips] == ["T-0", "T-1", "T-2"]
