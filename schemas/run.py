"""Bodies of the routes that create and run a job (docs/http.md)."""

from collections.abc import Callable
from typing import Any, ClassVar

from marshmallow import Schema, ValidationError, fields, validate, validates_schema

from batchstatus.model import values
from batchstatus.model.errors import InvalidValue
from batchstatus.model.job import MAX_COUNT, MAX_PARTS
from batchstatus.model.keys import ID
from batchstatus.model.kinds import Kinds
from batchstatus.model.messages import Wanted
from batchstatus.schemas.fields import KindName, RequestSchema, Time, Word, about
from batchstatus.schemas.job import COUNT, JobFailureSchema, JobResponseSchema, JobSchema

MOST_AT_ONCE = 10**9
"""The most succeeded rows of a report: the sum of all reports stays exact."""

MAX_LEASE_S = 3_600
RANDOM_TEXT = r"[A-Za-z0-9_-]{16,128}"
PARTS = validate.Range(min=2, max=MAX_PARTS)
ENDS = ("completed", "failed", "cancelled", "released")


def _valid(check: Callable[[Any], object]) -> Callable[[Any], None]:
    """Returns a validator that refuses what `check` refuses, in the same words."""

    def validator(value: Any) -> None:
        try:
            check(value)
        except InvalidValue as error:
            raise ValidationError(str(error)) from None

    return validator


class Rows(fields.List[Any]):
    """A list of rows. Each row is checked later, against the declaration of the job's kind."""

    def __init__(self, **options: Any) -> None:
        super().__init__(fields.Dict(keys=fields.String()), **options)

    def _deserialize(self, value: Any, attr: str | None, data: Any, **_: Any) -> list[Any]:
        if not isinstance(value, list):
            raise ValidationError("not a list")
        return value


class Flag(fields.Boolean):
    """True or false, and nothing that is taken for either."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **_: Any) -> bool:
        if not isinstance(value, bool):
            raise ValidationError("not true or false")
        return value


class CreateSchema(RequestSchema):
    """A job to be made. With a `jobId` of your own the request may be repeated."""

    EXAMPLE: ClassVar[dict[str, Any]] = {
        "kind": "transaction_batch",
        "jobId": "november-1",
        "totalItems": 1000,
        "metadata": {"fileName": "november.csv"},
        "takeoverSeconds": 3600,
    }

    kind = KindName(required=True, metadata=about("What the job imports."))
    jobId = fields.String(
        validate=validate.Regexp(rf"^{ID.pattern}\Z"),
        metadata=about("An id of your own; one is made if you give none."),
    )
    totalItems = fields.Integer(
        strict=True, allow_none=True, validate=COUNT, metadata=about("Its rows, if known already.")
    )
    metadata = fields.Dict(
        keys=fields.String(),
        validate=_valid(values.metadata),
        metadata=about("Whatever you want to find with the job. The flags of control are not yours to set."),
    )
    takeoverSeconds = fields.Integer(
        strict=True,
        validate=validate.Range(min=0, max=MAX_COUNT // 1000),
        metadata=about("How long after its worker's death another may take the job over; without it none may."),
    )
    parts = fields.Integer(
        strict=True,
        validate=PARTS,
        metadata=about("How many parts the job is split into, each for a worker of its own."),
    )

    def __init__(self, kinds: Kinds) -> None:
        super().__init__()
        self.fields["kind"].one_of(kinds.names)  # type: ignore[attr-defined]


class SplitSchema(RequestSchema):
    """Into how many parts a queued job is split, once."""

    EXAMPLE: ClassVar[dict[str, Any]] = {"parts": 16}

    parts = fields.Integer(required=True, strict=True, validate=PARTS, metadata=about("How many parts."))


class ClaimSchema(RequestSchema):
    """A claim. `token` is random text, new for each run; the same claim again is the same run."""

    EXAMPLE: ClassVar[dict[str, Any]] = {
        "token": "9f86d081884c7d659a2feaa0c55ad015",
        "leaseSeconds": 30,
        "worker": "import-3:4711",
    }

    token = fields.String(
        required=True,
        validate=validate.Regexp(rf"^{RANDOM_TEXT}\Z"),
        metadata=about("Random text, new for each run."),
    )
    leaseSeconds = fields.Integer(
        strict=True,
        validate=validate.Range(min=1, max=MAX_LEASE_S),
        metadata=about("How long without a report until the worker counts as dead."),
    )
    part = fields.Integer(
        strict=True, validate=validate.Range(min=1, max=MAX_PARTS), metadata=about("Which part of a split job.")
    )
    worker = fields.String(
        validate=validate.Regexp(r"^[ -~]{1,100}\Z"),
        metadata=about("Who the worker is, for people: host and process."),
    )


class ReportSchema(RequestSchema):
    """Rows since the last report. `seq` is its number plus one; without content, its number."""

    EXAMPLE: ClassVar[dict[str, Any]] = {
        "seq": 1,
        "succeeded": 499,
        "failures": [{"externalId": "T-7", "code": "VALIDATION_ERROR", "message": "no amount"}],
        "checkpoint": 500,
    }

    seq = fields.Integer(
        required=True,
        strict=True,
        validate=COUNT,
        metadata=about("The number of the last report plus one; without content, its number."),
    )
    succeeded = fields.Integer(
        strict=True,
        validate=validate.Range(min=0, max=MOST_AT_ONCE),
        metadata=about("Rows that succeeded since the last report."),
    )
    failures = Rows(metadata=about("Failed rows since the last report: what names each, `code` and `message`."))
    skips = Rows(metadata=about("Skipped rows since the last report: what names each, and `code`."))
    totalItems = fields.Integer(
        strict=True, allow_none=True, validate=COUNT, metadata=about("The job's rows, once they are counted.")
    )
    checkpoint = fields.Raw(
        allow_none=True,
        validate=_valid(values.checkpoint),
        metadata=about("Where to go on after a takeover: any JSON. It covers this report and all before it."),
    )
    paused = Flag(metadata=about("True while the worker obeys a pause."))


class FinishSchema(RequestSchema):
    """The end of a run, and of the job unless `released`. `seq` is the last report's number."""

    EXAMPLE: ClassVar[dict[str, Any]] = {"status": "completed", "seq": 1}

    status = fields.String(
        required=True,
        validate=validate.OneOf(ENDS),
        metadata=about("How the run ended; `released` lets another worker go on."),
    )
    seq = fields.Integer(
        required=True, strict=True, validate=COUNT, metadata=about("The number of the last report.")
    )
    workerError = fields.String(allow_none=True, metadata=about("For people; with `failed` only."))
    jobFailure = fields.Nested(JobFailureSchema, allow_none=True)

    @validates_schema
    def _reasons_are_of_failures(self, given: dict[str, Any], **_: Any) -> None:
        for name in ("workerError", "jobFailure"):
            if given.get(name) is not None and given.get("status") != "failed":
                raise ValidationError("only with the status failed", name)

    @validates_schema
    def _details_are_not_too_large(self, given: dict[str, Any], **_: Any) -> None:
        try:
            values.as_json("details", (given.get("jobFailure") or {}).get("details"), values.MAX_JSON_BYTES)
        except InvalidValue as error:
            raise ValidationError(str(error), "jobFailure") from None


class RunSchema(Schema):
    """A run: what to send with its reports, where to go on, and what control asks of the worker."""

    runId = fields.String(attribute="run_id", required=True, metadata=about("What its reports and its end go to."))
    part = fields.Integer(
        required=True, allow_none=True, metadata=about("Which part of the job; null for the whole.")
    )
    seq = fields.Integer(
        required=True, strict=True, validate=COUNT, metadata=about("The number of the last report.")
    )
    checkpoint = fields.Raw(
        required=True, allow_none=True, metadata=about("Where to go on, as last reported; null if nothing was.")
    )
    control = Word(
        "RunControl", [*Wanted], required=True, metadata=about("What the job's control asks of the worker.")
    )
    leaseExpiresAt = Time(
        attribute="lease_expires_at",
        required=True,
        allow_none=True,
        metadata=about("When the lease runs out unless a report comes."),
    )


_RUN: dict[str, Any] = {
    "runId": "1.30000.transaction_batch.9f86d081884c7d659a2feaa0c55ad015",
    "part": None,
    "seq": 1,
    "checkpoint": 500,
    "control": "run",
    "leaseExpiresAt": "2026-11-23T15:04:35.123Z",
}


class RunResponseSchema(Schema):
    """The answer to a report."""

    EXAMPLE: ClassVar[dict[str, Any]] = {"success": True, "run": _RUN}

    success = fields.Constant(True, required=True)
    run = fields.Nested(RunSchema, required=True)


class ClaimedResponseSchema(RunResponseSchema):
    """The answer to a claim."""

    EXAMPLE: ClassVar[dict[str, Any]] = {
        **RunResponseSchema.EXAMPLE,
        "job": JobResponseSchema.EXAMPLE["job"],
    }

    job = fields.Nested(JobSchema, required=True)
