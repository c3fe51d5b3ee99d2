"""The example bodies of the contract (§§2 and 3), complete, byte for byte."""

import re
from typing import Any

import pytest
import redis
from flask.testing import FlaskClient

from batchstatus import JobStore, Kind
from tests.support.wire import FAILURES, INCLUDE_FAILURES, JOB, compact, get, job_in, ms, put_job

TIME = re.compile(r'"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"')

RUNNING = {
    "status": "running",
    "totalItems": 1000,
    "succeeded": 412,
    "failed": 3,
    "heartbeatAt": ms("2026-11-23T15:04:05.123Z"),
    "leaseExpiresAt": ms("2126-11-23T15:04:35.123Z"),
    "metadata": '{"fileName": "november.csv"}',
}
STORED_AND_SHOWN = {
    "running": (
        RUNNING,
        """{"success": true, "job": {
            "jobId": "job_1", "kind": "transaction_batch", "status": "running",
            "totalItems": 1000, "succeeded": 412, "failed": 3, "skipped": 0,
            "heartbeatAt": "2026-11-23T15:04:05.123Z", "leaseExpiresAt": "2126-11-23T15:04:35.123Z",
            "workerError": null, "createdAt": "2026-11-23T15:03:00.000Z", "completedAt": null,
            "metadata": {"fileName": "november.csv"}}}""",
    ),
    "running, with a cancel under way": (
        RUNNING | {"metadata": '{"fileName": "november.csv", "batchCancelRequested": true}'},
        """{"success": true, "job": {
            "jobId": "job_1", "kind": "transaction_batch", "status": "running",
            "totalItems": 1000, "succeeded": 412, "failed": 3, "skipped": 0,
            "heartbeatAt": "2026-11-23T15:04:05.123Z", "leaseExpiresAt": "2126-11-23T15:04:35.123Z",
            "workerError": null, "createdAt": "2026-11-23T15:03:00.000Z", "completedAt": null,
            "metadata": {"fileName": "november.csv", "batchCancelRequested": true}}}""",
    ),
    "queued": (
        {"kind": "user_event_batch"},
        """{"success": true, "job": {
            "jobId": "job_1", "kind": "user_event_batch", "status": "queued",
            "totalItems": null, "succeeded": 0, "failed": 0, "skipped": 0,
            "heartbeatAt": null, "leaseExpiresAt": null,
            "workerError": null, "createdAt": "2026-11-23T15:03:00.000Z", "completedAt": null,
            "metadata": {}}}""",
    ),
    "the largest counts": (
        {"totalItems": 2**53 - 1, "succeeded": 2**53 - 1, "metadata": '{"größe": [1.5, null, "\\u20ac"]}'},
        """{"success": true, "job": {
            "jobId": "job_1", "kind": "transaction_batch", "status": "queued",
            "totalItems": 9007199254740991, "succeeded": 9007199254740991, "failed": 0, "skipped": 0,
            "heartbeatAt": null, "leaseExpiresAt": null,
            "workerError": null, "createdAt": "2026-11-23T15:03:00.000Z", "completedAt": null,
            "metadata": {"größe": [1.5, null, "€"]}}}""",
    ),
}


@pytest.mark.parametrize(("stored", "golden"), STORED_AND_SHOWN.values(), ids=STORED_AND_SHOWN.keys())
def test_a_stored_job_has_exactly_this_body(
    web: FlaskClient, client: "redis.Redis", api_key: str, stored: dict[str, str | int], golden: str
) -> None:
    put_job(client, "job_1", **stored)
    response = get(web, JOB.format("job_1"), api_key)
    assert (response.status_code, response.content_type) == (200, "application/json")
    assert response.text == compact(golden)


ENDED = {
    "completed": """{"success": true, "job": {
        "jobId": "JOB", "kind": "entity_automatic", "status": "completed",
        "totalItems": 3, "succeeded": 1, "failed": 1, "skipped": 1,
        "heartbeatAt": "TIME", "leaseExpiresAt": null,
        "workerError": null, "createdAt": "TIME", "completedAt": "TIME", "metadata": {"n": 1}}}""",
    "aborted": """{"success": true, "job": {
        "jobId": "JOB", "kind": "entity_automatic", "status": "failed",
        "totalItems": 3, "succeeded": 1, "failed": 1, "skipped": 1,
        "heartbeatAt": "TIME", "leaseExpiresAt": null,
        "workerError": null, "createdAt": "TIME", "completedAt": "TIME", "metadata": {"n": 1},
        "jobFailure": {"code": "INVALID_ENTITY_REFERENCES", "message": "3 rows name unknown entities",
                       "details": {"rows": [5, 8, 9]}}}}""",
    "aborted without details": """{"success": true, "job": {
        "jobId": "JOB", "kind": "entity_automatic", "status": "failed",
        "totalItems": 3, "succeeded": 1, "failed": 1, "skipped": 1,
        "heartbeatAt": "TIME", "leaseExpiresAt": null,
        "workerError": null, "createdAt": "TIME", "completedAt": "TIME", "metadata": {"n": 1},
        "jobFailure": {"code": "TOO_LATE", "message": "the books are closed"}}}""",
    "worker error": """{"success": true, "job": {
        "jobId": "JOB", "kind": "entity_automatic", "status": "failed",
        "totalItems": 3, "succeeded": 1, "failed": 1, "skipped": 1,
        "heartbeatAt": "TIME", "leaseExpiresAt": null,
        "workerError": "RuntimeError: disk full", "createdAt": "TIME", "completedAt": "TIME",
        "metadata": {"n": 1},
        "jobFailure": {"code": "WORKER_ERROR", "message": "RuntimeError: disk full"}}}""",
    "interrupted": """{"success": true, "job": {
        "jobId": "JOB", "kind": "entity_automatic", "status": "interrupted",
        "totalItems": 3, "succeeded": 1, "failed": 1, "skipped": 1,
        "heartbeatAt": "TIME", "leaseExpiresAt": null,
        "workerError": null, "createdAt": "TIME", "completedAt": "TIME", "metadata": {"n": 1}}}""",
    "cancelled": """{"success": true, "job": {
        "jobId": "JOB", "kind": "entity_automatic", "status": "cancelled",
        "totalItems": 3, "succeeded": 1, "failed": 1, "skipped": 1,
        "heartbeatAt": "TIME", "leaseExpiresAt": null,
        "workerError": null, "createdAt": "TIME", "completedAt": "TIME", "metadata": {"n": 1}}}""",
}


@pytest.mark.parametrize("state", ENDED)
def test_an_ended_job_has_exactly_this_body(web: FlaskClient, store: JobStore, api_key: str, state: str) -> None:
    with job_in(state, store, Kind.ENTITY_AUTOMATIC) as job:
        response = get(web, JOB.format(job.job_id), api_key)
    assert TIME.sub('"TIME"', response.text) == compact(ENDED[state].replace("JOB", job.job_id))


FAILED_ENTITY = (
    '{"taxId":"20123456789","type":"company","outcome":"failed","code":"DUPLICATE_EXTERNAL_ID","message":"taken"}'
)
SKIPPED_ENTITY = (
    '{"taxId":"30111222333","type":"person","outcome":"skipped_existing","code":"SKIPPED_DUPLICATE_TAX_ID"}'
)
COMPLETED = {"status": "completed", "totalItems": 100}
ROWS_STORED_AND_SHOWN = {
    "transactions": (
        COMPLETED
        | {
            "kind": "transaction_batch",
            "succeeded": 98,
            "failures": [
                '{"externalId":"T-7","code":"VALIDATION_ERROR","message":"no amount"}',
                '{"externalId":null,"code":"OUR_OWN_CODE","message":"größer als 1 €"}',
            ],
        },
        """{"success": true, "jobId": "job_1", "kind": "transaction_batch", "status": "completed",
            "totalItems": 100, "succeeded": 98, "failed": 2, "skipped": 0,
            "failures": [{"externalId": "T-7", "code": "VALIDATION_ERROR", "message": "no amount"},
                         {"externalId": null, "code": "OUR_OWN_CODE", "message": "größer als 1 €"}],
            "truncated": false, "failuresTotal": 2}""",
    ),
    "user events, aborted": (
        {
            "kind": "user_event_batch",
            "status": "failed",
            "succeeded": 3,
            "jobFailure": '{"code":"INVALID_ENTITY_REFERENCES","message":"unknown","details":["E-1"]}',
            "failures": ['{"rowKey":"row_5","code":"ENTITY_NOT_FOUND","message":"no such entity"}'],
        },
        """{"success": true, "jobId": "job_1", "kind": "user_event_batch", "status": "failed",
            "totalItems": null, "succeeded": 3, "failed": 1, "skipped": 0,
            "failures": [{"rowKey": "row_5", "code": "ENTITY_NOT_FOUND", "message": "no such entity"}],
            "truncated": false, "failuresTotal": 1,
            "jobFailure": {"code": "INVALID_ENTITY_REFERENCES", "message": "unknown", "details": ["E-1"]}}""",
    ),
    "entities, of which one was skipped": (
        COMPLETED
        | {
            "kind": "entity_automatic",
            "succeeded": 98,
            "failures": [FAILED_ENTITY],
            "skips": [SKIPPED_ENTITY],
        },
        """{"success": true, "jobId": "job_1", "kind": "entity_automatic", "status": "completed",
            "totalItems": 100, "succeeded": 98, "failed": 1, "skipped": 1,
            "failures": [{"taxId": "20123456789", "type": "company", "outcome": "failed",
                          "code": "DUPLICATE_EXTERNAL_ID", "message": "taken"}],
            "truncated": false, "failuresTotal": 1,
            "skips": [{"taxId": "30111222333", "type": "person", "outcome": "skipped_existing",
                       "code": "SKIPPED_DUPLICATE_TAX_ID"}],
            "skipsTotal": 1}""",
    ),
    "entities, none of them judged yet": (
        {"kind": "entity_automatic"},
        """{"success": true, "jobId": "job_1", "kind": "entity_automatic", "status": "queued",
            "totalItems": null, "succeeded": 0, "failed": 0, "skipped": 0,
            "failures": [], "truncated": false, "failuresTotal": 0, "skips": [], "skipsTotal": 0}""",
    ),
}


@pytest.mark.parametrize("route", ["of its kind", "include=failures"])
@pytest.mark.parametrize(("stored", "golden"), ROWS_STORED_AND_SHOWN.values(), ids=ROWS_STORED_AND_SHOWN.keys())
def test_stored_rows_have_exactly_this_body(
    web: FlaskClient, client: "redis.Redis", api_key: str, stored: dict[str, Any], golden: str, route: str
) -> None:
    put_job(client, "job_1", **stored)
    path = INCLUDE_FAILURES if route == "include=failures" else FAILURES[stored["kind"]]
    response = get(web, path.format("job_1"), api_key)
    assert (response.status_code, response.content_type) == (200, "application/json")
    assert response.text == compact(golden)
