"""Bodies of the routes for browsers: tickets, and who calls (docs/http.md)."""

from typing import Any, ClassVar

from marshmallow import Schema, fields, validate

from batchstatus.schemas.fields import RequestSchema, Time, about

LONGEST_S = 86_400


class TicketSchema(RequestSchema):
    """A ticket to be minted: for one job, or without `jobId` for all; for 15 minutes unless told."""

    EXAMPLE: ClassVar[dict[str, Any]] = {"jobId": "november-1", "seconds": 900}

    jobId = fields.String(metadata=about("The one job that it reads; without it, all of the organization."))
    seconds = fields.Integer(
        strict=True,
        validate=validate.Range(min=1, max=LONGEST_S),
        metadata=about("How long it holds, 900 unless told."),
    )


class TicketResponseSchema(Schema):
    """A ticket. It is shown once, and goes where an API key goes."""

    EXAMPLE: ClassVar[dict[str, Any]] = {
        "success": True,
        "ticket": "bst_4pQ0m6cYxkJ0W0m3bq1vV8x2r0Q7n5sT6u9yZaBcDeF",
        "expiresAt": "2026-11-23T15:19:05.123Z",
    }

    success = fields.Constant(True, required=True)
    ticket = fields.String(
        required=True,
        validate=validate.Regexp(r"^bst_[A-Za-z0-9_-]{43}\Z"),
        metadata=about("The secret; send it as an API key."),
    )
    expiresAt = Time(attribute="expires_at", required=True, metadata=about("When it ends."))


class CallerSchema(Schema):
    """Who calls. `ticket` is true for a ticket, and `jobId` then the one job that it reads, null for all."""

    org = fields.String(required=True, metadata=about("The organization."))
    ticket = fields.Boolean(required=True, metadata=about("True for a ticket, false for an API key."))
    jobId = fields.String(
        attribute="job_id",
        required=True,
        allow_none=True,
        metadata=about("The one job that a ticket reads; null for all."),
    )


class CallerKindSchema(Schema):
    """A kind of jobs: where its failed rows are, their members in the order of the CSV file, and what it allows.

    `skips`: it has skipped rows. `controls`: the caller may create and control its jobs.
    """

    name = fields.String(required=True, metadata=about("The kind."))
    path = fields.String(required=True, metadata=about("The part of the path that leads to its failed rows."))
    columns = fields.List(
        fields.String(), required=True, metadata=about("The members of a row, in the order of the CSV file.")
    )
    skips = fields.Boolean(required=True, metadata=about("Whether it has skipped rows."))
    controls = fields.Boolean(required=True, metadata=about("Whether the caller may create and control its jobs."))


class CallerResponseSchema(Schema):
    """The caller, and what it may do with the jobs of each kind."""

    EXAMPLE: ClassVar[dict[str, Any]] = {
        "success": True,
        "caller": {"org": "org_acme", "ticket": False, "jobId": None},
        "kinds": [
            {
                "name": "transaction_batch",
                "path": "transaction-jobs",
                "columns": ["externalId", "code", "message"],
                "skips": False,
                "controls": True,
            }
        ],
    }

    success = fields.Constant(True, required=True)
    caller = fields.Nested(CallerSchema, required=True)
    kinds = fields.List(fields.Nested(CallerKindSchema), required=True, metadata=about("All kinds of jobs."))
