"""Reads the rows of a split job, its parts' lists one after the other, and the job, all of one moment."""

from typing import Any, NamedTuple

from batchstatus.model.errors import JobNotFound
from batchstatus.model.keys import PartsKeys
from batchstatus.protocol.script import digest, load
from batchstatus.transport.connection import Connection, Hash

_SCRIPT = load("part/rows")
_SHA1 = digest(_SCRIPT)


class RowsOfParts(NamedTuple):
    """A split job, some of its failed and skipped rows, and how many are stored of each part, and lost of all."""

    job: Hash
    failures: list[bytes]
    skips: list[bytes]
    stored: list[int]
    failures_lost: int
    skips_lost: int

    @property
    def lost(self) -> tuple[int, int]:
        """How many failed and skipped rows that were stored are gone."""
        return self.failures_lost, self.skips_lost


def rows_of_parts(connection: Connection, keys: PartsKeys, parts: int, start: int, limit: int) -> RowsOfParts:
    """Returns at most `limit` failed and as many skipped rows of a split job, from number `start` on (from 0)."""
    all_keys = (keys.job, *keys.all(parts))
    arguments: tuple[Any, ...] = (start, limit, connection.settings.max_rows)
    flat, *rest = connection.evaluate(_SHA1, _SCRIPT, all_keys, arguments, durable=False)
    if not flat:
        raise JobNotFound("there is no such job")
    return RowsOfParts(dict(zip(flat[::2], flat[1::2], strict=True)), *rest)
