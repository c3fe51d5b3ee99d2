"""Reading a job's hash: full, sparse, and damaged in every way."""

import json
import logging
from datetime import UTC, datetime, timedelta

import pytest

from batchstatus.model.errors import JobCorrupt
from batchstatus.model.job import Job, JobFailure, Kind, Status
from batchstatus.model.kinds import PUBLISHED
from batchstatus.protocol import hashes

QUEUED = {
    b"orgId": b"org",
    b"jobId": b"j-1",
    b"kind": b"transaction_batch",
    b"status": b"queued",
    b"succeeded": b"0",
    b"failed": b"0",
    b"skipped": b"0",
    b"createdAt": b"1763910245123",
    b"metadata": b"{}",
    b"rev": b"1",
}
FAILURE = {"code": "WORKER_ERROR", "message": "why", "details": {"rows": [5]}}
FULL = {
    **QUEUED,
    b"status": b"failed",
    b"totalItems": b"9007199254740991",
    b"succeeded": b"412",
    b"failed": b"3",
    b"skipped": b"2",
    b"heartbeatAt": b"1763910246000",
    b"leaseExpiresAt": b"1763910276000",
    b"completedAt": b"1763910247001",
    b"workerError": "ValueError: ñ".encode(),
    b"metadata": '{"fileName":"año.csv"}'.encode(),
    b"jobFailure": json.dumps(FAILURE).encode(),
    b"rev": b"17",
    b"fence": b"2",
}
COUNTS = ["succeeded", "failed", "skipped", "rev"]
TIMES = ["createdAt", "heartbeatAt", "leaseExpiresAt", "completedAt"]
NO_NUMBERS = [
    *(b"", b"-1", b"+1", b" 1", b"1\n", b"1.0", b"1e3", b"0x1", b"abc", b"\xff", "\u0661".encode()),
    b"1" * 17,
]


def moment(milliseconds: int) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=milliseconds)


def test_a_new_job_is_read_with_the_content_of_its_creation_alone():
    assert hashes.decode(QUEUED, PUBLISHED) == Job(
        job_id="j-1",
        kind=Kind.TRANSACTION_BATCH,
        status=Status.QUEUED,
        total_items=None,
        succeeded=0,
        failed=0,
        skipped=0,
        heartbeat_at=None,
        lease_expires_at=None,
        worker_error=None,
        created_at=moment(1763910245123),
        completed_at=None,
        metadata={},
        job_failure=None,
        rev=1,
    )


def test_every_field_of_a_full_hash_is_read():
    job = hashes.decode(FULL, PUBLISHED)
    assert (job.total_items, job.succeeded, job.failed, job.skipped, job.rev) == (2**53 - 1, 412, 3, 2, 17)
    assert (job.heartbeat_at, job.lease_expires_at) == (moment(1763910246000), moment(1763910276000))
    assert (job.completed_at, job.worker_error) == (moment(1763910247001), "ValueError: ñ")
    assert job.metadata == {"fileName": "año.csv"}
    assert job.job_failure == JobFailure("WORKER_ERROR", "why", {"rows": [5]})


@pytest.mark.parametrize("kind", Kind)
@pytest.mark.parametrize("status", Status)
def test_every_kind_and_status_is_read(kind, status):
    job = hashes.decode({**QUEUED, b"kind": kind.encode(), b"status": status.encode()}, PUBLISHED)
    assert (job.kind, job.status) == (kind, status)


def test_a_job_failure_may_have_no_details():
    job = hashes.decode({**FULL, b"jobFailure": b'{"code":"AB","message":"why"}'}, PUBLISHED)
    assert job.job_failure == JobFailure("AB", "why", None)


def damaged() -> list:
    """(field, value): each damage that makes a hash no job; None for a field that is not there."""
    found = [(field, bad) for field in [*COUNTS, *TIMES, "totalItems"] for bad in NO_NUMBERS]
    found += [(field, None) for field in ["jobId", "kind", "status", "createdAt", *COUNTS]]
    found += [(field, b"9999999999999999") for field in TIMES]  # a year that no calendar has
    found += [(field, bad) for field in ("kind", "status") for bad in (b"", b"Queued", b"other", b"\xff")]
    found += [("jobId", b""), ("jobId", b"\xff"), ("workerError", b"\xff\xfe")]
    found += [("jobFailure", bad) for bad in (b"", b"{", b"5", b'"text"', b"[]", b"{}", b"\xff", b"[" * 100_000)]
    found += [("jobFailure", b'{"message":"why"}'), ("jobFailure", b'{"code":"AB"}')]
    found += [("jobFailure", b'{"code":5,"message":"why"}'), ("jobFailure", b'{"code":"AB","message":null}')]
    return [pytest.param(field, bad, id=f"{field}-{bad if bad is None else bad[:30]!r}") for field, bad in found]


@pytest.mark.parametrize(("field", "bad"), damaged())
def test_a_damaged_field_is_job_corrupt_and_named(field, bad):
    stored = {name: value for name, value in FULL.items() if name != field.encode()}
    if bad is not None:
        stored[field.encode()] = bad
    with pytest.raises(JobCorrupt, match=rf"^field {field} of job ") as corrupt:
        hashes.decode(stored, PUBLISHED)
    assert len(str(corrupt.value)) < 300


def test_job_corrupt_names_the_job():
    with pytest.raises(JobCorrupt, match=r"^field failed of job b'j-1' cannot be b'many'$"):
        hashes.decode({**FULL, b"failed": b"many"}, PUBLISHED)


@pytest.mark.parametrize(
    "bad", [b"", b"{", b"[1]", b"5", b'"text"', b"null", b"\xff", b"[" * 100_000], ids=lambda b: b[:9]
)
def test_broken_metadata_is_logged_and_read_as_empty(bad, caplog):
    caplog.set_level(logging.WARNING)
    job = hashes.decode({**FULL, b"metadata": bad}, PUBLISHED)
    assert (job.metadata, job.succeeded) == ({}, 412)
    assert "field metadata of job b'j-1'" in caplog.text


def test_absent_metadata_is_empty_and_not_logged(caplog):
    assert (
        hashes.decode({name: value for name, value in FULL.items() if name != b"metadata"}, PUBLISHED).metadata
        == {}
    )
    assert not caplog.records


def test_an_absent_integer_is_none():
    assert hashes.integer({b"fence": b"7"}, b"fence") == 7
    assert hashes.integer({}, b"fence") is None


@pytest.mark.parametrize("bad", NO_NUMBERS)
def test_a_malformed_integer_is_job_corrupt_and_named(bad):
    with pytest.raises(JobCorrupt, match=r"^field fence "):
        hashes.integer({b"fence": bad}, b"fence")


@pytest.mark.parametrize(("stored", "found"), [({b"checkpoint": b'{"line":5}'}, {"line": 5}), ({}, None)])
def test_json_is_read_and_absent_json_is_none(stored, found):
    assert hashes.load_json(stored, b"checkpoint") == found


@pytest.mark.parametrize("status", Status)
def test_only_a_running_job_is_to_be_looked_at_after_its_lease(status):
    stored = {b"status": status.encode(), b"leaseExpiresAt": b"17", b"takeoverMs": b"30"}
    assert hashes.look_due_ms(stored) == (17 if status == "running" else None)


def test_a_job_that_awaits_a_worker_is_to_be_looked_at_after_its_takeover_window():
    stored = {b"status": b"running", b"leaseExpiresAt": b"17", b"takeoverMs": b"30", b"batchAwaitingWorker": b"1"}
    assert hashes.look_due_ms(stored) == 47


def test_a_running_job_without_a_lease_is_not_to_be_looked_at():
    assert hashes.look_due_ms({b"status": b"running"}) is None
