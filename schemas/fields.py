"""Fields that marshmallow lacks."""

import re
from datetime import datetime
from typing import Any

from marshmallow import fields, missing
from marshmallow.exceptions import ValidationError

# `fromisoformat` stops reading at a NUL, and accepts any character between date and time.
_ISO = re.compile(r"[0-9-]+T[0-9:.,]+(?:Z|[+-][0-9:.,]+)?")


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
