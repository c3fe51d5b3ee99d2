"""Several jobs in one body: a page of history, and jobs by id (docs/http.md)."""

import re
from typing import Any, ClassVar

from marshmallow import Schema, ValidationError, fields

from batchstatus.model.cursor import Position
from batchstatus.model.errors import InvalidValue
from batchstatus.model.job import MAX_PAGE, Status
from batchstatus.model.kinds import Kinds
from batchstatus.schemas.fields import Commas, Time, about
from batchstatus.schemas.job import JobResponseSchema, JobSchema


class Digits(fields.Field[int]):
    """A number from 1 to MAX_PAGE, in ASCII digits only."""

    def _deserialize(self, value: str, attr: str | None, data: Any, **kwargs: Any) -> int:
        number = int(value) if re.fullmatch("[0-9]{1,9}", value) else 0
        if not 1 <= number <= MAX_PAGE:
            raise ValidationError(f"not a number from 1 to {MAX_PAGE}")
        return number


class Cursor(fields.Field[str]):
    """The `nextCursor` of an earlier page."""

    def _deserialize(self, value: str, attr: str | None, data: Any, **kwargs: Any) -> str:
        try:
            Position.of(value)
        except InvalidValue:
            raise ValidationError("not a nextCursor of this service") from None
        return value


def _one_to_a_page(ids: list[str]) -> None:
    if not any(ids) or len(ids) > MAX_PAGE:
        raise ValidationError(f"not 1 to {MAX_PAGE} ids")


class HistoryQuerySchema(Schema):
    """The query parameters of the history route. Unknown parameters and kinds are rejected."""

    kind = Commas()
    status = Commas([*Status])
    createdAfter = Time(attribute="created_after")
    createdBefore = Time(attribute="created_before")
    limit = Digits()
    cursor = Cursor()
    include = Commas(["progress"])

    def __init__(self, kinds: Kinds) -> None:
        super().__init__()
        self.fields["kind"].choices = [*kinds.names]  # type: ignore[attr-defined]


class JobsQuerySchema(Schema):
    """The query parameter that asks for jobs by id. No other parameter may accompany it, but `include`."""

    ids = Commas(required=True, validate=_one_to_a_page)
    include = Commas(["progress"])


class HistoryResponseSchema(Schema):
    """A page of the organization's jobs, newest first. `nextCursor` is null on the last page."""

    EXAMPLE: ClassVar[dict[str, Any]] = {
        "success": True,
        "jobs": [JobResponseSchema.EXAMPLE["job"]],
        "nextCursor": "MTc2Mzk5NjU4MDAwMC0wMTk5ZjNhMQ",
    }

    success = fields.Constant(True, required=True)
    jobs = fields.List(
        fields.Nested(JobSchema),
        required=True,
        metadata=about("The jobs, newest first; with `ids`, in the order asked."),
    )
    nextCursor = fields.String(attribute="next_cursor", required=True, allow_none=True)


class JobsResponseSchema(Schema):
    """The jobs found, in the order of the request, and the ids not found."""

    EXAMPLE: ClassVar[dict[str, Any]] = {
        "success": True,
        "jobs": [JobResponseSchema.EXAMPLE["job"]],
        "notFound": ["november-2"],
    }

    success = fields.Constant(True, required=True)
    jobs = fields.List(fields.Nested(JobSchema), required=True)
    notFound = fields.List(fields.String(), attribute="not_found", required=True)


class JobListSchema(HistoryResponseSchema):
    """Jobs: a page of history with `nextCursor`; or with `ids`, those found, and the others under `notFound`."""

    nextCursor = fields.String(
        allow_none=True, metadata=about("What to ask the next page with, null on the last; absent with `ids`.")
    )
    notFound = fields.List(fields.String(), metadata=about("The ids without a job; only with `ids`."))
