"""Several jobs in one body: a page of history, and jobs by id (docs/http.md)."""

import re
from typing import Any, ClassVar

from marshmallow import Schema, ValidationError, fields

from batchstatus.cursor import Position
from batchstatus.errors import InvalidValue
from batchstatus.model import MAX_PAGE, Kind, Status
from batchstatus.schemas.fields import Time
from batchstatus.schemas.job import JobResponseSchema, JobSchema


class Commas(fields.Field[list[str]]):
    """A comma-separated list of words, each one of `choices`, or any word without choices."""

    def __init__(self, choices: list[str] | None = None, **options: Any) -> None:
        super().__init__(**options)
        self.choices = choices

    def _deserialize(self, value: str, attr: str | None, data: Any, **kwargs: Any) -> list[str]:
        words = list(dict.fromkeys(value.split(",")))
        if self.choices and (unknown := sorted(set(words) - set(self.choices))):
            raise ValidationError(f"unknown: {', '.join(unknown)[:200]}; known: {', '.join(self.choices)}")
        return words


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
    """The query parameters of the history route. Unknown parameters are rejected."""

    kind = Commas([*Kind])
    status = Commas([*Status])
    createdAfter = Time(attribute="created_after")
    createdBefore = Time(attribute="created_before")
    limit = Digits()
    cursor = Cursor()


class JobsQuerySchema(Schema):
    """The query parameter that asks for jobs by id. No other parameter may accompany it."""

    ids = Commas(required=True, validate=_one_to_a_page)


class HistoryResponseSchema(Schema):
    """A page of the organization's jobs, newest first. `nextCursor` is null on the last page."""

    EXAMPLE: ClassVar[dict[str, Any]] = {
        "success": True,
        "jobs": [JobResponseSchema.EXAMPLE["job"]],
        "nextCursor": "MTc2Mzk5NjU4MDAwMC0wMTk5ZjNhMQ",
    }

    success = fields.Constant(True, required=True)
    jobs = fields.List(fields.Nested(JobSchema), required=True)
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
