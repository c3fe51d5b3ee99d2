"""A job on the wire (docs/http.md)."""

from typing import Any, ClassVar

from marshmallow import Schema, fields, validate

from batchstatus.model.job import MAX_COUNT, MAX_PARTS, Status
from batchstatus.schemas.fields import Absent, KindName, Metadata, Optional, Time, Word, about

COUNT = validate.Range(min=0, max=MAX_COUNT)
CODE = validate.Regexp(r"^[A-Z][A-Z0-9_]{1,63}\Z")


def rows(description: str, **options: Any) -> fields.Integer:
    """Returns a field with a number of rows."""
    return fields.Integer(required=True, strict=True, validate=COUNT, metadata=about(description), **options)


def estimate(description: str, attribute: str) -> fields.Float:
    """Returns a field with an estimate, which is null while it is not known."""
    return fields.Float(
        attribute=attribute,
        required=True,
        allow_none=True,
        validate=validate.Range(min=0),
        metadata=about(description),
    )


class JobFailureSchema(Schema):
    """The stable reason why the whole job failed."""

    code = fields.String(
        required=True,
        validate=CODE,
        metadata=about("The reason, for programs. A worker may have codes of its own."),
    )
    message = fields.String(required=True, metadata=about("The reason, for people."))
    details = Optional(metadata=about("What the worker says of it."))


class ProgressSchema(Schema):
    """The pace of the present claim, pauses left out, as of `heartbeatAt`. What is not known is null."""

    startedAt = Time(
        attribute="started_at", required=True, allow_none=True, metadata=about("When the job was last claimed.")
    )
    rowsPerSecond = estimate("Rows a second, of any outcome.", "rows_per_second")
    secondsLeft = estimate("How long the rest may take.", "seconds_left")
    secondsLeftLow = estimate("The time left is hardly less.", "seconds_left_low")
    secondsLeftHigh = estimate("The time left is hardly more.", "seconds_left_high")


class JobSchema(Schema):
    """A job of any kind."""

    jobId = fields.String(attribute="job_id", required=True, metadata=about("The job's id."))
    kind = KindName(required=True, metadata=about("What it imports."))
    status = Word(
        "JobStatus",
        [*Status],
        required=True,
        metadata=about("Where it stands. A status that you do not know is not terminal."),
    )
    totalItems = rows("Its rows; null while not counted yet.", attribute="total_items", allow_none=True)
    succeeded = rows("Rows that succeeded.")
    failed = rows("Rows that failed.")
    skipped = rows("Rows that were skipped, which is no failure.")
    heartbeatAt = Time(
        attribute="heartbeat_at", required=True, allow_none=True, metadata=about("The worker's last heartbeat.")
    )
    leaseExpiresAt = Time(
        attribute="lease_expires_at",
        required=True,
        allow_none=True,
        metadata=about("When the worker's lease runs out unless it is renewed."),
    )
    workerError = fields.String(
        attribute="worker_error",
        required=True,
        allow_none=True,
        metadata=about("The worker's error, for people, if the job failed as a whole."),
    )
    createdAt = Time(attribute="created_at", required=True, metadata=about("When it was made."))
    completedAt = Time(
        attribute="completed_at", required=True, allow_none=True, metadata=about("When it ended; null before.")
    )
    metadata = Metadata(
        keys=fields.String(),
        required=True,
        metadata=about("What the job's creator gave, and the flags of control, each there only while it is true."),
    )
    jobFailure = Absent(JobFailureSchema, attribute="job_failure")
    progress = fields.Nested(ProgressSchema)  # only with include=progress, and in events


class PartSchema(Schema):
    """A part of a split job."""

    part = fields.Integer(
        required=True,
        strict=True,
        validate=validate.Range(min=1, max=MAX_PARTS),
        metadata=about("Its number, from 1."),
    )
    status = Word("JobStatus", [*Status], required=True, metadata=about("Where it stands."))
    totalItems = rows("Its rows; null while not counted yet.", attribute="total_items", allow_none=True)
    succeeded = rows("Its rows that succeeded.")
    failed = rows("Its rows that failed.")
    skipped = rows("Its rows that were skipped.")
    heartbeatAt = Time(
        attribute="heartbeat_at",
        required=True,
        allow_none=True,
        metadata=about("The last heartbeat of its worker."),
    )
    leaseExpiresAt = Time(
        attribute="lease_expires_at",
        required=True,
        allow_none=True,
        metadata=about("When its worker's lease runs out unless it is renewed."),
    )


class JobResponseSchema(Schema):
    """The answer to a poll."""

    EXAMPLE: ClassVar[dict[str, Any]] = {
        "success": True,
        "job": {
            "jobId": "0199f3a1-7c11-7d4e-9a53-2f6b1c0d8e42",
            "kind": "transaction_batch",
            "status": "running",
            "totalItems": 1000,
            "succeeded": 412,
            "failed": 3,
            "skipped": 0,
            "heartbeatAt": "2026-11-23T15:04:05.123Z",
            "leaseExpiresAt": "2026-11-23T15:04:35.123Z",
            "workerError": None,
            "createdAt": "2026-11-23T15:03:00.000Z",
            "completedAt": None,
            "metadata": {"fileName": "november.csv", "batchCancelRequested": True},
        },
    }

    success = fields.Constant(True, required=True)
    job = fields.Nested(JobSchema, required=True)


class PartsResponseSchema(JobResponseSchema):
    """The answer to a poll; with `include=parts`, the parts too, none of a job that is not split."""

    parts = fields.List(
        fields.Nested(PartSchema), metadata=about("The parts by number; only with `include=parts`.")
    )
