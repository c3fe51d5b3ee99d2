"""The organization's index: its jobs by kind and status, newest first.

A job's entry is written before the job is made or comes into a status, and the previous entry is removed
afterwards. So a job is missing at no moment, and an entry that leads nowhere, or to a job that has gone on, is
harmless: whoever reads a page reads the jobs too. All of an organization's index is in one slot, so that a page is
of one moment.
"""

from collections.abc import Collection, Sequence
from typing import NamedTuple

from batchstatus.model.cursor import Position
from batchstatus.model.errors import JobCorrupt
from batchstatus.model.job import MAX_COUNT, TRANSITIONS, Place, Status
from batchstatus.model.keys import ID
from batchstatus.protocol import verbs
from batchstatus.protocol.newest import Newest, newest
from batchstatus.transport.connection import Connection
from batchstatus.transport.together import scored

DANGLING_MS = 10 * 60_000
"""The age from which an entry without a job is removed: the job of a younger entry may be on its way."""


class Filter(NamedTuple):
    """The jobs of these kinds, in one of these statuses, created between two times.

    Both times are excluded, and in ms since the epoch; None: unbounded.
    """

    kinds: Collection[str]
    statuses: Collection[Status]
    after_ms: int | None = None
    before_ms: int | None = None


class Index:
    """The index of all organizations."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._keys = connection.keys
        self._kinds = connection.settings.kinds

    def enter(self, org: str, kind: str, job_id: str) -> int:
        """Enter a job that is about to be made; returns its `createdAt` (ms). A repeat moves nothing."""
        return verbs.enter(self._connection, (self._keys.index(org, kind, Status.QUEUED),), job_id)

    def leave(self, org: str, job_id: str, kind: str, status: Status = Status.QUEUED) -> None:
        """Remove the entry of a job that was not made, because a job of another kind has the id; or is gone."""
        self._connection.pipeline([("ZREM", self._keys.index(org, kind, status), job_id)])

    def place(self, org: str, job_id: str, place: Place) -> None:
        """Write the entry of a job at its place to come."""
        key = self._keys.index(org, place.kind, place.status)
        verbs.place(self._connection, (key,), job_id, place.created_ms)

    def tidy(self, org: str, job_id: str, kind: str, status: Status) -> None:
        """Remove a job that is in this status now from every status that it cannot be in any more."""
        gone = set(Status) - {status} - TRANSITIONS[status]
        self._connection.pipeline([("ZREM", self._keys.index(org, kind, each), job_id) for each in sorted(gone)])

    def forget(self, org: str, job_id: str, older_ms: int) -> bool:
        """Remove those entries of a job that is gone that are this old. Returns True if no entry is left."""
        return verbs.forget(self._connection, self.keys(org), job_id, older_ms)

    def keys(self, org: str) -> list[str]:
        """Returns the keys of the organization's index."""
        return self._keys.indexes(org, self._kinds.names, tuple(Status))

    def newest(self, orgs: Sequence[str], statuses: Collection[Status], many: int) -> list[list[str]]:
        """Returns the ids of each organization's newest jobs in these statuses, newest first; one round trip.

        The jobs may have gone on, or be gone.
        """
        keys = [self._keys.indexes(org, self._kinds.names, statuses) for org in orgs]
        asked = [
            ("ZREVRANGEBYSCORE", key, "+inf", "-inf", "WITHSCORES", "LIMIT", 0, many) for of in keys for key in of
        ]
        answers = iter(self._connection.pipeline(asked))
        found = []
        for of in keys:
            positions = {each for _ in of for each in _positions(scored(next(answers) or ()))}
            ordered = sorted((each for each in positions if ID.fullmatch(each.job_id)), reverse=True)
            found.append(list(dict.fromkeys(each.job_id for each in ordered))[:many])
        return found

    def positions(
        self, org: str, wanted: Filter, after: Position | None, many: int
    ) -> tuple[list[Position], bool]:
        """Returns at most `many` positions that follow `after`, newest first, and True if more follow them.

        The list is empty only if no position follows. The jobs may have gone on, or be gone.
        """
        keys = self._keys.indexes(org, wanted.kinds, wanted.statuses)
        while keys:
            found_by, least = self._newest(keys, wanted, after, many)
            lists = [_positions(found) for found in found_by]
            # Nothing is known beyond the last entry of a list that was cut short, and of entries below `least`.
            ends = [found[-1] for found in lists if len(found) == many]
            if least is not None:
                ends.append(Position(_created_ms(least), ""))
            horizon = max(ends, default=None)
            certain = {each for found in lists for each in found if horizon is None or each >= horizon}
            following = sorted(
                (each for each in certain if (after is None or each < after) and ID.fullmatch(each.job_id)),
                reverse=True,
            )
            if following or horizon is None:
                return following[:many], horizon is not None or len(following) > many
            many *= 2  # that many jobs were created in the same millisecond as `after`, and come before it
        return [], False

    def _newest(self, keys: Sequence[str], wanted: Filter, after: Position | None, many: int) -> Newest:
        highest = "+inf" if wanted.before_ms is None else f"({wanted.before_ms}"
        if after is not None and (wanted.before_ms is None or after.created_ms < wanted.before_ms):
            highest = str(after.created_ms)
        lowest = "-inf" if wanted.after_ms is None else f"({wanted.after_ms}"
        try:
            return newest(self._connection, keys, highest, lowest, many)
        except JobCorrupt as error:
            raise JobCorrupt(f"one of {', '.join(keys)}: {error}") from None


def _positions(found: Sequence[tuple[bytes, float]]) -> list[Position]:
    """Returns the positions of members with their scores."""
    return [Position(_created_ms(score), member.decode("utf-8", "replace")) for member, score in found]


def _created_ms(score: float) -> int:
    """Returns a score as a time that fits a cursor; a score written by hand may not fit, and leads to no job."""
    return int(max(0, min(score, MAX_COUNT)))
