"""A job's failed and skipped rows on the wire (docs/http.md), dumped from `model.Outcome`.

Each kind has a schema of its own, made from its declaration.
"""

from typing import Any

from marshmallow import Schema, fields, validate

from batchstatus.model.job import Status
from batchstatus.model.kinds import JobKind
from batchstatus.schemas.fields import Absent, KindName, Word, about
from batchstatus.schemas.job import CODE, JobFailureSchema, rows


class FailuresSchema(Schema):
    """The members common to all kinds: counters and failed rows, one consistent snapshot."""

    success = fields.Constant(True, required=True)
    jobId = fields.String(attribute="job.job_id", required=True, metadata=about("The job's id."))
    kind = KindName(attribute="job.kind", required=True)
    status = Word(
        "JobStatus",
        [*Status],
        attribute="job.status",
        required=True,
        metadata=about("Where the job stands. A status that you do not know is not terminal."),
    )
    totalItems = rows("Its rows; null while not counted yet.", attribute="job.total_items", allow_none=True)
    succeeded = rows("Rows that succeeded.", attribute="job.succeeded")
    failed = rows("Rows that failed.", attribute="job.failed")
    skipped = rows("Rows that were skipped, which is no failure.", attribute="job.skipped")
    failures = fields.List(fields.Raw(), required=True)  # each kind's schema defines its rows
    truncated = fields.Boolean(required=True, metadata=about("True if there are more failed rows than these."))
    failuresTotal = rows("How many rows failed in all.", attribute="failures_total")
    jobFailure = Absent(JobFailureSchema, attribute="job.job_failure")


def failures_schema(kind: JobKind) -> type[FailuresSchema]:
    """Returns the schema of the failures body of a kind."""
    failed, skipped = _row_schema(kind, "failed"), _row_schema(kind, "skipped")
    members: dict[str, Any] = {
        "__doc__": f"The failed {'and skipped ' if kind.skips else ''}rows of a job of the kind `{kind.name}`.",
        "EXAMPLE": _example(kind),
        "kind": fields.String(
            attribute="job.kind",
            required=True,
            validate=validate.OneOf([kind.name]),
            metadata=about("The kind of the job."),
        ),
        "failures": fields.List(
            fields.Nested(failed),
            required=True,
            metadata=about("The first 500 failed rows, in the order counted."),
        ),
    }
    if kind.skips:
        members["skips"] = fields.List(
            fields.Nested(skipped), required=True, metadata=about("The first 500 skipped rows.")
        )
        members["skipsTotal"] = rows("How many rows were skipped in all.", attribute="skips_total")
    return type(f"{words_of(kind)}FailuresSchema", (FailuresSchema,), members)


def words_of(kind: JobKind) -> str:
    """Returns the name of a kind as it stands in other names: `ProductImport`."""
    return "".join(word.capitalize() for word in kind.name.split("_"))


def _row_schema(kind: JobKind, outcome: str) -> type[Schema]:
    made: dict[str, Any] = {
        # Named by number, since a member may be called as something that every schema has.
        f"member_{number}": fields.String(
            data_key=name, attribute=name, required=True, allow_none=True, metadata=about("What names the row.")
        )
        for number, name in enumerate(kind.row)
    }
    if kind.skips:
        made["outcome"] = fields.String(required=True, metadata=about("What came of the row."))
    made["code"] = fields.String(required=True, validate=CODE, metadata=about("The reason, for programs."))
    if outcome == "failed":
        made["message"] = fields.String(required=True, metadata=about("The reason, for people."))
    made["__doc__"] = f"A {outcome} row of the kind `{kind.name}`."
    name = "Failure" if outcome == "failed" else "Skip"
    return type(f"{words_of(kind)}{name}Schema", (Schema,), made)


def _example(kind: JobKind) -> dict[str, Any]:
    """Returns a body with a failed row and, if the kind shows them, a skipped one."""
    failed, skipped = ({name: f"{name}-{number}" for name in kind.row} for number in (7, 8))
    outcomes = ({"outcome": "failed"}, {"outcome": kind.skip_outcome}) if kind.skips else ({}, {})
    reason = {"code": "VALIDATION_ERROR", "message": "a text that says why"}
    skips = [{**skipped, **outcomes[1], "code": kind.skip_code}]
    return {
        "success": True,
        "jobId": "0199f3a1-7c11-7d4e-9a53-2f6b1c0d8e42",
        "kind": str(kind.name),
        "status": "completed",
        "totalItems": 100,
        "succeeded": 98 if kind.skips else 99,
        "failed": 1,
        "skipped": 1 if kind.skips else 0,
        "failures": [{**failed, **outcomes[0], **reason}],
        "truncated": False,
        "failuresTotal": 1,
        **({"skips": skips, "skipsTotal": 1} if kind.skips else {}),
    }
