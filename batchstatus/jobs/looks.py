"""The schedules of looks at jobs: for their leases, and for their expiry. The reaper works both off.

An entry is written before the lease or job that it tracks, moved when a look found that another is due, and
dropped when none is. The entry is in another slot than the job, and so only a hint: what the look finds decides.
"""

import logging
from collections.abc import Callable, Sequence
from typing import TypeVar

from batchstatus.model.errors import JobCorrupt, StoreRefused, StoreUnavailable
from batchstatus.model.keys import BUCKETS, Entry
from batchstatus.protocol import verbs
from batchstatus.transport.connection import Connection

SLICE = 200
"""The most entries of one bucket to work off before the next bucket."""

_A = TypeVar("_A")
_T = TypeVar("_T")
_log = logging.getLogger(__name__)


class Looks:
    """An index of the jobs of all organizations, by the time of the next look, spread over a few keys."""

    def __init__(self, connection: Connection, key: Callable[[int], str]) -> None:
        self._connection = connection
        self._key = key

    def due(self, *buckets: int, limit: int = SLICE) -> list[Entry]:
        """Returns of each bucket at most `limit` entries that are due, the longest overdue first; one round trip.

        In a Cluster for one bucket at a time.
        """
        keys = [self._key(bucket) for bucket in buckets]
        try:
            found = verbs.due(self._connection, keys, limit)
        except JobCorrupt as error:
            if len(keys) > 1:
                return [entry for bucket in buckets for entry in self.due(bucket, limit=limit)]
            _log.error("%s holds a value of another type: %s", keys[0], error)
            return []
        return [Entry(key, member) for key, members in zip(keys, found, strict=True) for member in members]

    def entries(self, bucket: int) -> list[Entry]:
        """Returns all entries of a bucket, due or not, the next one first."""
        key = self._key(bucket)
        members = self._connection.command("ZRANGEBYSCORE", key, "-inf", "+inf")
        return [Entry(key, member.decode(errors="replace")) for member in members]

    def work_off(self, look_at: Callable[[Entry], None]) -> None:
        """Look at the jobs that are due, the longest overdue first, at most SLICE of each bucket.

        Raises StoreUnavailable only after all other looks: a server of a Cluster that does not answer is asked
        once and then passed over.
        """
        away: dict[str, StoreUnavailable] = {}
        buckets = range(BUCKETS)
        # The buckets of a Cluster are in as many slots, and a script reads one slot.
        for together in [(each,) for each in buckets] if self._connection.is_cluster() else [buckets]:
            for entry in self._unless_away(away, self._key(together[0]), self._due_in, together) or ():
                self._unless_away(away, entry.job_tag, look_at, entry)
        for error in away.values():
            raise error

    def _due_in(self, buckets: Sequence[int]) -> list[Entry]:
        return self.due(*buckets)

    def _unless_away(
        self, away: dict[str, StoreUnavailable], key: str, step: Callable[[_A], _T], argument: _A
    ) -> _T | None:
        """Take a step that needs the server that has `key`, unless that server is away; note a server that is."""
        server = f"that of {key}"  # until its name is known
        try:
            server = self._connection.server_of(key)
            if server not in away:
                return step(argument)
        except StoreRefused as error:
            away[f"that of {key}"] = error  # the server is there, and may well take the next step
        except StoreUnavailable as error:
            away[server] = error
        return None

    def put_off(self, entry: Entry, in_ms: int) -> None:
        """Have a job that is still tracked looked at `in_ms` from now, and no sooner."""
        self._track(entry, in_ms, "XX")

    def _track(self, entry: Entry, in_ms: int, which: str) -> None:
        verbs.track(self._connection, (entry.key,), entry.member, in_ms, which)


class Leases(Looks):
    """The schedule of looks at the leases of running jobs."""

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection, connection.keys.leases)

    def track(self, entry: Entry, lease_ms: int) -> None:
        """Have a job looked at `lease_ms` from now, or sooner if it is due sooner.

        Never later: the claim may be refused, and the lease is then another worker's.
        """
        self._track(entry, lease_ms, "LT")

    def move(self, entry: Entry, due_ms: int) -> None:
        """Have a job that is still tracked looked at again at `due_ms` (ms since the epoch)."""
        verbs.move(self._connection, (entry.key,), entry.member, due_ms)

    def drop(self, entry: Entry) -> bool:
        """Track a job's lease no more. Returns True if it was tracked."""
        return bool(self._connection.command("ZREM", entry.key, entry.member))


class Expiries(Looks):
    """The schedule of looks at jobs that may have expired."""

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection, connection.keys.expiries)

    def track(self, entry: Entry, in_ms: int) -> None:
        """Have a job looked at `in_ms` from now, or later if it is due later."""
        self._track(entry, in_ms, "GT")

    def hasten(self, entry: Entry) -> None:
        """Have a job looked at with the next sweep."""
        self._track(entry, 0, "LT")

    def drop(self, entry: Entry) -> None:
        """Track a job that is gone no more, unless a job is about to be made under its id."""
        verbs.forget(self._connection, (entry.key,), entry.member, older_ms=0)
