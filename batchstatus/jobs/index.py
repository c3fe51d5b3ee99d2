"""The organization's index: its jobs by kind and status, newest first.

A job's entry is written before the job is made, or comes into a status, and the one before is removed after
that. So there is no moment at which a job is missing, and an entry that leads nowhere, or to a job that has gone
on, is harmless: whoever reads a page looks at the jobs. All of an organization's index is in one slot, so that
what is read of it is of one moment.
"""

from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

from batchstatus.cursor import Position
from batchstatus.errors import JobCorrupt
from batchstatus.keys import ID, Keys
from batchstatus.model import MAX_COUNT, TRANSITIONS, Kind, Place, Status
from batchstatus.protocol import verbs
from batchstatus.transport.connection import Connection

DANGLING_MS = 10 * 60_000
"""How old an entry without a job has to be to be removed: the job of a younger one may be on its way."""


class Filter(NamedTuple):
    """Which jobs: of these kinds, in one of these statuses, created between two times.

    Both times are excluded, and in ms since the epoch; None: any.
    """

    kinds: Collection[Kind]
    statuses: Collection[Status]
    after_ms: int | None = None
    before_ms: int | None = None


class History:
    """The index of all organizations."""

    def __init__(self, connection: Connection, keys: Keys) -> None:
        self._connection = connection
        self._keys = keys

    def enter(self, org: str, kind: Kind, job_id: str) -> int:
        """Enter a job that is about to be made; its `createdAt` (ms since the epoch). A repeat moves nothing."""
        return verbs.enter(self._connection, (self._keys.index(org, kind, Status.QUEUED),), job_id=job_id)

    def place(self, org: str, job_id: str, place: Place) -> None:
        """Place a job where it is about to be."""
        key = self._keys.index(org, place.kind, place.status)
        verbs.place(self._connection, (key,), job_id=job_id, created_ms=place.created_ms)

    def tidy(self, org: str, job_id: str, kind: Kind, status: Status) -> None:
        """Remove a job, which is in this status now, from where it cannot be any more."""
        gone = set(Status) - {status} - TRANSITIONS[status]
        self._connection.pipeline([("ZREM", self._keys.index(org, kind, each), job_id) for each in sorted(gone)])

    def forget(self, org: str, job_id: str, older_ms: int) -> bool:
        """Remove a job that is gone from where it was entered so long ago; whether it is nowhere now."""
        keys = [self._keys.index(org, kind, status) for kind in Kind for status in Status]
        return verbs.forget(self._connection, keys, member=job_id, older_ms=older_ms)

    def positions(
        self, org: str, wanted: Filter, after: Position | None, many: int
    ) -> tuple[list[Position], bool]:
        """At most `many` positions that follow `after`, newest first, and whether there are more after them.

        There is one at least, unless there are none. The jobs may have gone on, or be gone.
        """
        keys = [self._keys.index(org, kind, status) for kind in wanted.kinds for status in wanted.statuses]
        while keys:
            lists = [_positions(answer) for answer in self._newest(keys, wanted, after, many)]
            # Of a list that was cut short nothing is known beyond its last entry.
            horizon = max((found[-1] for found in lists if len(found) == many), default=None)
            certain = {each for found in lists for each in found if horizon is None or each >= horizon}
            following = sorted(
                (each for each in certain if (after is None or each < after) and ID.fullmatch(each.job_id)),
                reverse=True,
            )
            if following or horizon is None:
                return following[:many], horizon is not None or len(following) > many
            many *= 2  # so many were created in the very millisecond of `after`, and come before it
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
    """What `ZREVRANGEBYSCORE … WITHSCORES` answers: pairs with RESP3, with RESP2 member, score, member, score …"""
    in_pairs = answer and not isinstance(answer[0], bytes)
    pairs = answer if in_pairs else zip(answer[::2], answer[1::2], strict=True)
    return [Position(_created_ms(float(score)), member.decode("utf-8", "replace")) for member, score in pairs]


def _created_ms(score: float) -> int:
    """A score as a time that a cursor can bear; one that is none, written by hand, leads to no job."""
    return int(max(0, min(score, MAX_COUNT)))
