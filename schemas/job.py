"""A job on the wire (docs/http.md)."""

from typing import Any, ClassVar

from marshmallow import Schema, fields, validate

from batchstatus.model import MAX_COUNT, Kind, Status
from batchstatus.schemas.fields import Absent, Optional, Time

COUNT = validate.Range(min=0, max=MAX_COUNT)
CODE = validate.Regexp(r"^[A-Z][A-Z0-9_]{1,63}\Z")


class JobFailureSchema(Schema):
    """The stable reason why the whole job failed."""

    code = fields.String(required=True, validate=CODE)
    message = fields.String(required=True)
    details = Optional()


class JobSchema(Schema):
    """A job of any kind."""

    jobId = fields.String(attribute="job_id", required=True)
    kind = fields.String(required=True, validate=validate.OneOf([*Kind]))
    status = fields.String(required=True, validate=validate.OneOf([*Status]))
    totalItems = fields.Integer(
        attribute="total_items", required=True, allow_none=True, strict=True, validate=COUNT
    )
    succeeded = fields.Integer(required=True, strict=True, validate=COUNT)
    failed = fields.Integer(required=True, strict=True, validate=COUNT)
    skipped = fields.Integer(required=True, strict=True, validate=COUNT)
    heartbeatAt = Time(attribute="heartbeat_at", required=True, allow_none=True)
    leaseExpiresAt = Time(attribute="lease_expires_at", required=True, allow_none=True)
    workerError = fields.String(attribute="worker_error", required=True, allow_none=True)
    createdAt = Time(attribute="created_at", required=True)
    completedAt = Time(attribute="completed_at", required=True, allow_none=True)
    metadata = fields.Dict(keys=fields.String(), required=True)
    jobFailure = Absent(JobFailureSchema, attribute="job_failure")


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
