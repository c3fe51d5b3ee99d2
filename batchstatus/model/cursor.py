"""A job's position in the index, and the opaque cursor that stands for it where a page of history ends."""

import base64
import binascii
import re
from contextlib import suppress
from typing import NamedTuple

from batchstatus.model.errors import InvalidValue
from batchstatus.model.keys import ID

_CURSOR = re.compile(rf"(\d{{1,16}})-({ID.pattern})", re.ASCII)


class Position(NamedTuple):
    """A job's position in the index, ordered by `createdAt` (ms since the epoch), then by id."""

    created_ms: int
    job_id: str

    @property
    def cursor(self) -> str:
        """The position as opaque text, safe in a URL."""
        return base64.urlsafe_b64encode(f"{self.created_ms}-{self.job_id}".encode()).decode().rstrip("=")

    @classmethod
    def of(cls, cursor: str) -> "Position":
        """Returns the position of a cursor. Raises InvalidValue for any other text."""
        text = ""
        with suppress(binascii.Error, ValueError, AttributeError):
            text = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True).decode()
        found = _CURSOR.fullmatch(text)
        if found is None:
            raise InvalidValue(f"cursor {cursor!r:.100} did not come from a page")
        return cls(int(found[1]), found[2])
