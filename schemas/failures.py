"""A job's failed and skipped rows on the wire, per kind (docs/http.md), dumped from `model.Outcome`."""

from collections.abc import Mapping
from typing import Any, ClassVar

from marshmallow import Schema, fields, validate

from batchstatus.model import Kind, Status
from batchstatus.schemas.fields import Absent
from batchstatus.schemas.job import CODE, COUNT, JobFailureSchema


class TransactionFailureSchema(Schema):
    """A transaction that failed."""

    externalId = fields.String(required=True, allow_none=True)
    code = fields.String(required=True, validate=CODE)
    message = fields.String(required=True)


class UserEventFailureSchema(Schema):
    """A user event that failed. `rowKey` names the source line."""

    rowKey = fields.String(required=True, allow_none=True)
    code = fields.String(required=True, validate=CODE)
    message = fields.String(required=True)


class EntitySkipSchema(Schema):
    """An entity that was skipped."""

    taxId = fields.String(required=True, allow_none=True)
    type = fields.String(required=True, allow_none=True)
    outcome = fields.String(required=True)
    code = fields.String(required=True, validate=CODE)


class EntityFailureSchema(EntitySkipSchema):
    """An entity that failed."""

    message = fields.String(required=True)


def _kind(*kinds: Kind) -> fields.String:
    return fields.String(attribute="job.kind", required=True, validate=validate.OneOf(kinds))


class FailuresSchema(Schema):
    """The members common to all kinds: counters and failed rows, one consistent snapshot."""

    success = fields.Constant(True, required=True)
    jobId = fields.String(attribute="job.job_id", required=True)
    kind = _kind(*Kind)
    status = fields.String(attribute="job.status", required=True, validate=validate.OneOf([*Status]))
    totalItems = fields.Integer(
        attribute="job.total_items", required=True, allow_none=True, strict=True, validate=COUNT
    )
    succeeded = fields.Integer(attribute="job.succeeded", required=True, strict=True, validate=COUNT)
    failed = fields.Integer(attribute="job.failed", required=True, strict=True, validate=COUNT)
    skipped = fields.Integer(attribute="job.skipped", required=True, strict=True, validate=COUNT)
    failures = fields.List(fields.Raw(), required=True)  # each kind's schema defines its rows
    truncated = fields.Boolean(required=True)
    failuresTotal = fields.Integer(attribute="failures_total", required=True, strict=True, validate=COUNT)
    jobFailure = Absent(JobFailureSchema, attribute="job.job_failure")


class TransactionFailuresSchema(FailuresSchema):
    """The failed rows of a `transaction_batch`."""

    kind = _kind(Kind.TRANSACTION_BATCH)
    failures = fields.List(fields.Nested(TransactionFailureSchema), required=True)


class UserEventFailuresSchema(FailuresSchema):
    """The failed rows of a `user_event_batch`."""

    kind = _kind(Kind.USER_EVENT_BATCH)
    failures = fields.List(fields.Nested(UserEventFailureSchema), required=True)


class EntityFailuresSchema(FailuresSchema):
    """The failed and the skipped rows of an `entity_automatic`."""

    EXAMPLE: ClassVar[dict[str, Any]] = {
        "success": True,
        "jobId": "0199f3a1-7c11-7d4e-9a53-2f6b1c0d8e42",
        "kind": "entity_automatic",
        "status": "completed",
        "totalItems": 100,
        "succeeded": 98,
        "failed": 1,
        "skipped": 1,
        "failures": [
            {
                "taxId": "20123456789",
                "type": "company",
                "outcome": "failed",
                "code": "DUPLICATE_EXTERNAL_ID",
                "message": "another entity has this externalId",
            }
        ],
        "truncated": False,
        "failuresTotal": 1,
        "skips": [
            {
                "taxId": "30111222333",
                "type": "person",
                "outcome": "skipped_existing",
                "code": "SKIPPED_DUPLICATE_TAX_ID",
            }
        ],
        "skipsTotal": 1,
    }

    kind = _kind(Kind.ENTITY_AUTOMATIC)
    failures = fields.List(fields.Nested(EntityFailureSchema), required=True)
    skips = fields.List(fields.Nested(EntitySkipSchema), required=True)
    skipsTotal = fields.Integer(attribute="skips_total", required=True, strict=True, validate=COUNT)


FAILURES_SCHEMAS: Mapping[Kind, type[FailuresSchema]] = {
    Kind.TRANSACTION_BATCH: TransactionFailuresSchema,
    Kind.USER_EVENT_BATCH: UserEventFailuresSchema,
    Kind.ENTITY_AUTOMATIC: EntityFailuresSchema,
}
"""The schema of each kind's failures body."""
