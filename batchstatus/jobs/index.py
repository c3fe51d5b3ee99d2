"""The organization's index: its jobs by kind and status, newest first.

A job's entry is written before the job is made or comes into a status, and the previous entry is removed
afterwards. So a job is missing at no moment, and an entry that leads nowhere, or to a job that has gone on, is
harmless: whoever reads a page reads the jobs too. All of an organization's index is in one slot, so that a page is
of one moment.
"""

from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

from batchstatus.cursor import Position
from batchstatus.errors import JobCorrupt
from batchstatus.keys import ID
from batchstatus.model import MAX_COUNT, TRANSITIONS, Kind, Place, Status
from batchstatus.protocol import verbs
from batchstatus.transport.connection import Connection

DANGLING_MS = 10 * 60_000
"""The age from which an entry without a job is removed: the job of a younger entry may be on its way."""


class Filter(NamedTuple):
    """The jobs of these kinds, in one of these statuses, created between two times.

    Both times are excluded, and in ms since the epoch; None: unbounded.
    """

    kinds: Collection[Kind]
    statuses: Collection[Status]
    after_ms: int | None = None
    before_ms: int | None = None


class Index:
    """The index of all organizations."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._keys = connection.keys

    def enter(self, org: str, kind: Kind, job_id: str) -> int:
        """Enter a job that is about to be made; returns its `createdAt` (ms). A repeat moves nothing."""
        return verbs.enter(self._connection, (self._keys.index(org, kind, Status.QUEUED),), job_id)

    def place(self, org: str, job_id: str, place: Place) -> None:
        """Write the entry of a job at its place to come."""
        key = self._keys.index(org, place.kind, place.status)
        verbs.place(self._connection, (key,), job_id, place.created_ms)

    def tidy(self, org: str, job_id: str, kind: Kind, status: Status) -> None:
        """Remove a job that is in this status now from every status that it cannot be in any more."""
        gone = set(Status) - {status} - TRANSITIONS[status]
        self._connection.pipeline([("ZREM", self._keys.index(org, kind, each), job_id) for each in sorted(gone)])

    def forget(self, org: str, job_id: str, older_ms: int) -> bool:
        """Remove those entries of a job that is gone that are this old. Returns True if no entry is left."""
        keys = [self._keys.index(org, kind, status) for kind in Kind for status in Status]
        return verbs.forget(self._connection, keys, job_id, older_ms)

    def positions(
        self, org: str, wanted: Filter, after: Position | None, many: int
    ) -> tuple[list[Position], bool]:
        """Returns at most `many` positions that follow `after`, newest first, and True if more follow them.

        The list is empty only if no position follows. The jobs may have gone on, or be gone.
        """
        keys = [self._keys.index(org, kind, status) for kind in wanted.kinds for status in wanted.statuses]
        while keys:
            lists = [_positions(answer) for answer in self._newest(keys, wanted, after, many)]
            # Nothing is known beyond the last entry of a list that was cut short.
            horizon = max((found[-1] for found in lists if len(found) == many), default=None)
            certain = {each for found in lists for each in found if horizon is None or each >= horizon}
            following = sorted(
                (each for each in certain if (after is None or each < after) and ID.fullmatch(each.job_id)),
                reverse=True,
            )
            if following or horizon is None:
                return following[:many], horizon is not None or len(following) > many
            many *= 2  # that many jobs were created in the same millisecond as `after`, and come before it
        return [], False

    def _newest(
        self, keys: Sequence[str], wanted: Filter, after: Position | None, many: int
    ) -> list[Sequence[Any]]:
        highest = "+inf" if wanted.before_ms is None else f"({wanted.before_ms}"
        if after is not None and (wanted.before_ms is None or after.created_ms < wanted.before_ms):
            highest = str(after.created_ms)
        lowest = "-inf" if wanted.after_ms is None else f"({wanted.after_ms}"
        limit = ("WITHSCORES", "LIMIT", 0, many)
        try:
            return self._connection.transaction(
                *(("ZREVRANGEBYSCORE", key, highest, lowest, *limit) for key in keys)
            )
        except JobCorrupt as error:
            raise JobCorrupt(f"one of {', '.join(keys)}: {error}") from None


def _positions(answer: Sequence[Any]) -> list[Position]:
    """Returns the positions in an answer to `ZREVRANGEBYSCORE … WITHSCORES`: pairs with RESP3, flat with RESP2."""
    in_pairs = answer and not isinstance(answer[0], bytes)
    pairs = answer if in_pairs else zip(answer[::2], answer[1::2], strict=True)
    return [Position(_created_ms(float(score)), member.decode("utf-8", "replace")) for member, score in pairs]


def _created_ms(score: float) -> int:
    """Returns a score as a time that fits a cursor; a score written by hand may not fit, and leads to no job."""
    return int(max(0, min(score, MAX_COUNT)))
