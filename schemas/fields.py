"""What marshmallow lacks: fields, and what tells a request's body from an answer's."""

import re
from collections.abc import Iterable
from datetime import datetime
from typing import Any, ClassVar

from marshmallow import Schema, fields, missing, validate
from marshmallow.exceptions import ValidationError

# `fromisoformat` stops reading at a NUL, and accepts any character between date and time.
_ISO = re.compile(r"[0-9-]+T[0-9:.,]+(?:Z|[+-][0-9:.,]+)?")


def about(description: str) -> dict[str, str]:
    """Returns what a field says of itself in the OpenAPI document: its `metadata`."""
    return {"description": description}


class RequestSchema(Schema):
    """The body of a request, in which unknown members are refused. An answer may have more in later versions."""


class Word(fields.String):
    """One of these words, for now: later versions may know more. The OpenAPI document calls them `component`."""

    def __init__(self, component: str, choices: Iterable[str] = (), **options: Any) -> None:
        super().__init__(validate=[validate.OneOf([*choices])] if choices else [], **options)
        self.component = component


class KindName(Word):
    """The name of a declared kind."""

    def __init__(self, **options: Any) -> None:
        super().__init__("JobKind", **options)

    def one_of(self, names: Iterable[str]) -> None:
        """Accept these names only."""
        self.validators = [validate.OneOf([*names])]


class Time(fields.Field[datetime]):
    """A time in ISO 8601, UTC, with milliseconds and `Z`, such as `2026-11-23T15:04:05.123Z`."""

    PATTERN = r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$"

    @staticmethod
    def text(moment: datetime) -> str:
        """Returns the time as on the wire. `moment` must be in UTC, so its offset is the six characters +00:00."""
        return f"{moment.isoformat(timespec='milliseconds')[:-6]}Z"

    def _serialize(self, value: datetime | None, attr: str | None, obj: Any, **kwargs: Any) -> str | None:
        return None if value is None else self.text(value)

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> datetime:
        try:
            moment = datetime.fromisoformat(value if _ISO.fullmatch(value) else "")
        except (TypeError, ValueError):
            raise ValidationError("Not a time such as 2026-11-23T15:04:05Z (in a URL, + is %2B).") from None
        if moment.tzinfo is None:
            raise ValidationError("The time needs a zone.")
        return moment


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


class Metadata(fields.Dict):
    """What a job's creator gave, and the flags of control."""

    FLAGS: ClassVar[dict[str, str]] = {
        "batchCancelRequested": "True while a cancel is under way; the job may still read `running`.",
        "batchPauseRequested": "True from a pause to a resume.",
        "batchPaused": "True once the worker obeys a pause.",
        "batchAwaitingWorker": "True while the worker is dead and another may still take over.",
    }


class Absent(fields.Nested):
    """A nested object whose key is absent from the body if the object is None."""

    def get_value(self, obj: Any, attr: str, accessor: Any = None, default: Any = missing) -> Any:
        """Returns the object's value, or `missing` in place of None."""
        value = super().get_value(obj, attr, accessor, default)
        return missing if value is None else value


class Optional(fields.Raw):
    """Any JSON value whose key is absent from the body if the value is None."""

    def get_value(self, obj: Any, attr: str, accessor: Any = None, default: Any = missing) -> Any:
        """Returns the object's value, or `missing` in place of None."""
        value = super().get_value(obj, attr, accessor, default)
        return missing if value is None else value
