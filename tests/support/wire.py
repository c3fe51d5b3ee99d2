"""Helpers for tests of the HTTP contract: paths, error bodies, and jobs written directly into Redis."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import datetime
from typing import Any

import redis
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from batchstatus import Job, JobAborted, JobCancelled, JobStore, Kind, Run
from batchstatus.schemas import ErrorSchema
from tests.support.waiting import wait_until

ORG = "org_acme"
PERMISSIONS = ("transactions:create", "entities:bulk_import", "events:create")

JOB = "/batch-import/jobs/{}"
INCLUDE_FAILURES = "/batch-import/jobs/{}?include=failures"
FAILURES = {
    Kind.TRANSACTION_BATCH: "/batch-import/transaction-jobs/{}/failures",
    Kind.USER_EVENT_BATCH: "/batch-import/user-event-jobs/{}/failures",
    Kind.ENTITY_AUTOMATIC: "/batch-import/entity-jobs/{}/failures",
}
CSV = {kind: f"{path}.csv" for kind, path in FAILURES.items()}
LEGACY_CSV = "/entities/automatic/bulk/imports/{}/failures.csv"
EVENTS = "/batch-import/jobs/{}/events"
OPS = ("/livez", "/readyz")

JOB_ROUTES = (JOB, INCLUDE_FAILURES, *FAILURES.values(), *CSV.values(), LEGACY_CSV, EVENTS)
"""Every route that reads a job, with a placeholder for the job's id."""

FAILED_ROW: dict[Kind, dict[str, Any]] = {
    Kind.TRANSACTION_BATCH: {"externalId": "T-1", "code": "VALIDATION_ERROR", "message": "no amount"},
    Kind.USER_EVENT_BATCH: {"rowKey": "row_5", "code": "ENTITY_NOT_FOUND", "message": "no such entity"},
    Kind.ENTITY_AUTOMATIC: {
        "taxId": "20123456789",
        "type": "company",
        "outcome": "failed",
        "code": "DUPLICATE_EXTERNAL_ID",
        "message": "taken",
    },
}
SKIPPED_ROW: dict[Kind, dict[str, Any]] = {
    Kind.TRANSACTION_BATCH: {"externalId": "T-2"},
    Kind.USER_EVENT_BATCH: {"rowKey": "row_6"},
    Kind.ENTITY_AUTOMATIC: {"taxId": "30111222333", "type": "person"},
}
NAME = {Kind.TRANSACTION_BATCH: "externalId", Kind.USER_EVENT_BATCH: "rowKey", Kind.ENTITY_AUTOMATIC: "taxId"}
"""The member that identifies a row of each kind."""


def routes_of(kind: Kind) -> list[str]:
    """Returns every route that answers 200 for a job of this kind."""
    legacy = [LEGACY_CSV] if kind is Kind.ENTITY_AUTOMATIC else []
    return [JOB, INCLUDE_FAILURES, FAILURES[kind], CSV[kind], *legacy, EVENTS]


def failed_row(kind: Kind, number: int, **members: Any) -> dict[str, Any]:
    """Returns a failed row with a unique id."""
    return {**FAILED_ROW[kind], NAME[kind]: f"R-{number}", **members}


def bearer(key: str) -> dict[str, str]:
    """Returns the header with an API key."""
    return {"Authorization": f"Bearer {key}"}


def compact(text: str) -> str:
    """Returns a JSON text in the service's spelling: members in the same order, without white space."""
    return json.dumps(json.loads(text), separators=(",", ":"), ensure_ascii=False)


def checked_error(content_type: str | None, body: bytes) -> str:
    """Returns the code of an error. Asserts that the body is JSON with exactly the members of an error."""
    assert content_type == "application/json"
    loaded = ErrorSchema().load(json.loads(body))
    assert loaded["success"] is False
    return str(loaded["error"]["code"])


def error_of(response: TestResponse) -> tuple[int, str]:
    """Returns status and code of an error, with the assertions of `checked_error`."""
    return response.status_code, checked_error(response.headers.get("Content-Type"), response.data)


def shown(response: TestResponse) -> tuple[int, dict[str, str], bytes]:
    """Returns everything that a caller sees of an answer, except the request id, which always differs."""
    headers = {name: value for name, value in response.headers.items() if name != "X-Request-Id"}
    return response.status_code, headers, response.data


def get(web: FlaskClient, path: str, key: str) -> TestResponse:
    """Send a GET with `key`. Returns the answer."""
    return web.get(path, headers=bearer(key))


def ms(time: str) -> int:
    """Returns a time of the wire as milliseconds since the epoch."""
    return round(datetime.fromisoformat(time).timestamp() * 1000)


def job_key(job_id: str, org: str = ORG) -> str:
    """Returns the key of the job's hash, under the default prefix."""
    return f"batchstatus:{{{org}:{job_id}}}"


def put_job(
    client: "redis.Redis",
    job_id: str,
    *,
    org: str = ORG,
    failures: Sequence[str | bytes] = (),
    skips: Sequence[str | bytes] = (),
    **fields: str | int,
) -> str:
    """Write a job as another implementation of the scripts would. Returns the job's id."""
    key, retention_s = job_key(job_id, org), 3_600
    defaults: dict[str, str | int] = {
        "orgId": org, "jobId": job_id, "kind": "transaction_batch", "status": "queued",
        "succeeded": 0, "failed": len(failures), "skipped": len(skips), "rev": 1,
        "createdAt": ms("2026-11-23T15:03:00.000Z"), "metadata": "{}", "fence": 0, "seq": 0, "takeoverMs": 0,
    }  # fmt: skip
    with client.pipeline() as pipeline:
        pipeline.hset(key, mapping=defaults | fields)
        for name, rows in (("failures", failures), ("skips", skips)):
            if rows:
                pipeline.rpush(f"{key}:{name}", *rows)
                pipeline.expire(f"{key}:{name}", retention_s)
        pipeline.expire(key, retention_s)
        pipeline.execute()
    return job_id


def run_to_the_end(store: JobStore, job: Job, *failures: dict[str, Any], skips: int = 0) -> str:
    """Run a job to its end with these failed rows and `skips` skipped rows. Returns the job's id."""
    with store.run(ORG, job.job_id) as run:
        for row in failures:
            run.failed(row)
        for number in range(1, skips + 1):
            run.skipped({**SKIPPED_ROW[job.kind], NAME[job.kind]: f"S-{number}"})
    return job.job_id


def _count_three(run: Run) -> None:
    run.total(3)
    run.succeeded()
    run.failed(FAILED_ROW[run.job.kind])
    run.skipped(SKIPPED_ROW[run.job.kind])


ENDINGS: dict[str, BaseException] = {
    "cancelled": JobCancelled(),
    "aborted": JobAborted("INVALID_ENTITY_REFERENCES", "3 rows name unknown entities", {"rows": [5, 8, 9]}),
    "aborted without details": JobAborted("TOO_LATE", "the books are closed"),
    "aborted with details that are false": JobAborted("TOO_LATE", "the books are closed", False),
    "worker error": RuntimeError("disk full"),
    "interrupted": SystemExit(),
}
STATES = ("queued", "queued and counted", "running", "running and counted", "completed", *ENDINGS)
"""Every state that `job_in` can bring a job into."""


@contextmanager
def job_in(state: str, store: JobStore, kind: Kind) -> Iterator[Job]:
    """Yield a job of this kind, made with the worker SDK, that stays in `state` inside the block."""
    job = store.create(ORG, kind, total_items=3 if state == "queued and counted" else None, metadata={"n": 1})
    if state.startswith("running"):
        with store.run(ORG, job.job_id) as run:
            if state == "running and counted":
                _count_three(run)
                wait_until(lambda: store.get(ORG, job.job_id).done == 3)
            yield job
        return
    if not state.startswith("queued"):
        with suppress(type(ENDINGS.get(state, Exception()))), store.run(ORG, job.job_id) as run:
            _count_three(run)
            if state in ENDINGS:
                raise ENDINGS[state]
    yield job
