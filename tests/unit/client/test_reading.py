"""One poll: the request, the job in the answer, and answers that make no sense."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from batchstatus.client import Client
from batchstatus.model.errors import JobNotFound, ServiceUnavailable
from batchstatus.model.job import Job, JobFailure, Kind, Status
from tests.unit.client.answers import answer, ok, wire
from tests.unit.client.service import KEY, Server


def test_get_returns_the_job(client: Client, server: Server) -> None:
    server.says(ok(completedAt="2026-11-23T16:05:00.500+01:00"))
    assert client.get("J") == Job(
        job_id="J",
        kind=Kind.TRANSACTION_BATCH,
        status=Status.RUNNING,
        total_items=1000,
        succeeded=412,
        failed=3,
        skipped=0,
        heartbeat_at=datetime(2026, 11, 23, 15, 4, 5, 123000, UTC),
        lease_expires_at=datetime(2026, 11, 23, 15, 4, 35, 123000, UTC),
        worker_error=None,
        created_at=datetime(2026, 11, 23, 15, 3, tzinfo=UTC),
        completed_at=datetime(2026, 11, 23, 15, 5, 0, 500000, UTC),
        metadata={"fileName": "november.csv"},
    )


def test_kind_and_status_are_enums_and_times_are_utc(client: Client, server: Server) -> None:
    server.says(ok(createdAt="2026-11-23T16:03:00.000+01:00"))
    job = client.get("J")
    assert (type(job.kind), type(job.status), job.created_at.tzinfo) == (Kind, Status, UTC)


def test_a_kind_that_is_not_published_is_plain_text(client: Client, server: Server) -> None:
    server.says(ok(kind="product_import"))
    kind = client.get("J").kind
    assert (kind, type(kind)) == ("product_import", str)


def test_nulls_of_a_queued_job_become_none(client: Client, server: Server) -> None:
    server.says(ok(status="queued", totalItems=None, heartbeatAt=None, leaseExpiresAt=None))
    job = client.get("J")
    assert (job.total_items, job.heartbeat_at, job.lease_expires_at) == (None, None, None)


@pytest.mark.parametrize("details", [{}, {"details": {"rows": [5]}}])
def test_a_failed_job_has_its_job_failure(client: Client, server: Server, details: dict[str, Any]) -> None:
    server.says(ok(status="failed", jobFailure={"code": "WORKER_ERROR", "message": "boom", **details}))
    assert client.get("J").job_failure == JobFailure("WORKER_ERROR", "boom", details.get("details"))


def test_unknown_members_are_ignored(client: Client, server: Server) -> None:
    server.says(ok(etaSeconds=12))
    assert client.get("J").succeeded == 412


@pytest.mark.parametrize(
    "changes",
    [
        {"status": "exploded"},
        {"status": []},
        {"kind": 5},
        {"kind": None},
        {"jobId": 7},
        {"succeeded": "412"},
        {"failed": True},
        {"skipped": 1.0},
        {"totalItems": "1000"},
        {"createdAt": None},
        {"createdAt": "2026-11-23T15:03:00.000"},
        {"createdAt": "yesterday"},
        {"completedAt": "0001-01-01T00:00:00+10:00"},
        {"heartbeatAt": 1764000000},
        {"workerError": 5},
        {"metadata": None},
        {"jobFailure": "boom"},
        {"jobFailure": {}},
        {"jobFailure": {"code": 1, "message": "boom"}},
    ],
)
def test_a_member_of_a_wrong_type_or_value_is_a_broken_answer(
    client: Client, server: Server, changes: dict[str, Any]
) -> None:
    server.says(ok(**changes))
    with pytest.raises(ServiceUnavailable, match="makes no sense"):
        client.get("J")


@pytest.mark.parametrize("name", list(wire()))
def test_a_missing_member_is_a_broken_answer(client: Client, server: Server, name: str) -> None:
    members = wire()
    del members[name]
    server.says(answer(body=json.dumps({"success": True, "job": members}).encode()))
    with pytest.raises(ServiceUnavailable, match=name):
        client.get("J")


@pytest.mark.parametrize(
    "body", [b"", b"{", b"null", b"[]", b"{}", b'{"job": null}', b'{"job": []}', b"\xff", b"[" * 200_000]
)
def test_a_body_without_a_job_is_a_broken_answer(client: Client, server: Server, body: bytes) -> None:
    server.says(answer(body=body))
    with pytest.raises(ServiceUnavailable, match="makes no sense"):
        client.get("J")


def test_the_request_carries_the_key_and_the_quoted_id(server: Server) -> None:
    server.says(ok())
    with Client(f"{server.url}/my%20imports/", KEY) as client:
        client.get("a/b c?d#é")
    assert server.requests[0].target == "/my%20imports/batch-import/jobs/a%2Fb%20c%3Fd%23%C3%A9"
    assert server.asked("authorization") == [f"Bearer {KEY}"]
    assert server.asked("prefer") == server.asked("if-none-match") == [None]
    assert (server.requests[0].method, server.requests[0].body) == ("GET", b"")


@pytest.mark.parametrize("job_id", ["", ".", ".."])
def test_an_id_that_no_path_can_carry_is_not_found_without_a_request(client: Client, job_id: str) -> None:
    with pytest.raises(JobNotFound):
        client.get(job_id)


def test_wire_returns_the_members_unchanged_and_in_order(client: Client, server: Server) -> None:
    server.says(ok(etaSeconds=12))
    body = client.wire("J")
    assert body == wire(etaSeconds=12)
    assert list(body) == list(wire(etaSeconds=12))


def test_wire_refuses_a_broken_answer(client: Client, server: Server) -> None:
    server.says(ok(status="exploded"))
    with pytest.raises(ServiceUnavailable):
        client.wire("J")


def test_failures_returns_the_body_unchanged(client: Client, server: Server) -> None:
    body = {"success": True, "jobId": "J", "failures": [{"externalId": "T-7"}], "failuresTotal": 1}
    server.says(answer(body=json.dumps(body).encode()))
    assert client.failures("J") == body
    assert server.requests[0].target == "/batch-import/jobs/J?include=failures"


@pytest.mark.parametrize("body", [b"{}", b"[]", b'{"failures": null}'])
def test_a_body_without_a_list_of_failures_is_a_broken_answer(client: Client, server: Server, body: bytes) -> None:
    server.says(answer(body=body))
    with pytest.raises(ServiceUnavailable, match="makes no sense"):
        client.failures("J")
