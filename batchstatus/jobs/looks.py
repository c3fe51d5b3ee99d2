"""When to look at a job next: for its lease, and for its expiry. The reaper works both off.

An entry is written before that which it is for, moved when a look found that there is another to take, and
dropped when there is none. It lives in another slot than the job, so it is only ever a hint: what holds is what
the look finds.
"""

import logging
from collections.abc import Callable
from typing import TypeVar

from batchstatus.errors import JobCorrupt, StoreRefused, StoreUnavailable
from batchstatus.keys import BUCKETS, Entry, Keys
from batchstatus.protocol import verbs
from batchstatus.transport.connection import Connection

SLICE = 200
"""The most entries of one bucket to work off before the next bucket has its turn."""

_A = TypeVar("_A")
_T = TypeVar("_T")
_log = logging.getLogger(__name__)


class Looks:
    """An index of the jobs of all organizations, by the time of the next look, spread over a few keys."""

    def __init__(self, connection: Connection, key: Callable[[int], str]) -> None:
        self._connection = connection
        self._key = key

    def due(self, bucket: int, limit: int = SLICE) -> list[Entry]:
        """At most `limit` entries of a bucket whose time has come, the longest overdue first."""
        key = self._key(bucket)
        try:
            return [Entry(key, member) for member in verbs.due(self._connection, (key,), limit=limit)]
        except JobCorrupt as error:
            _log.error("%s holds something else than it should: %s", key, error)
            return []

    def work_off(self, look_at: Callable[[Entry], None]) -> None:
        """Look at the jobs whose time has come, the longest overdue first, at most SLICE of each bucket.

        Raises StoreUnavailable, but only after looking at all else: of a Cluster's servers, one that does not
        answer is asked once and then passed over.
        """
        away: dict[str, StoreUnavailable] = {}
        for bucket in range(BUCKETS):
            for entry in self._unless_away(away, self._key(bucket), self.due, bucket) or ():
                self._unless_away(away, entry.job_tag, look_at, entry)
        for error in away.values():
            raise error

    def _unless_away(
        self, away: dict[str, StoreUnavailable], key: str, step: Callable[[_A], _T], argument: _A
    ) -> _T | None:
        """Take a step that needs the server that has `key`, unless that one is away; note it if it is."""
        server = f"that of {key}"  # as long as nobody knows which one it is
        try:
            server = self._connection.server_of(key)
            if server not in away:
                return step(argument)
        except StoreRefused as error:
            away[f"that of {key}"] = error  # it is there, and may well take the next step
        except StoreUnavailable as error:
            away[server] = error
        return None

    def put_off(self, entry: Entry, in_ms: int) -> None:
        """Have a job that is still tracked looked at once `in_ms` have passed, and no sooner."""
        self._track(entry, in_ms, "XX")

    def _track(self, entry: Entry, in_ms: int, which: str) -> None:
        verbs.track(self._connection, (entry.key,), member=entry.member, in_ms=in_ms, which=which)


class Leases(Looks):
    """When to look at the leases of running jobs."""

    def __init__(self, connection: Connection, keys: Keys) -> None:
        super().__init__(connection, keys.leases)

    def track(self, entry: Entry, lease_ms: int) -> None:
        """Have a job looked at once `lease_ms` have passed, or sooner if it is due sooner.

        For the claim may be refused, and then the lease is another's.
        """
        self._track(entry, lease_ms, "LT")

    def move(self, entry: Entry, due_ms: int) -> None:
        """Have a job that is still tracked looked at again at `due_ms` (ms since the epoch)."""
        verbs.move(self._connection, (entry.key,), member=entry.member, due_ms=due_ms)

    def drop(self, entry: Entry) -> None:
        """Look at a job's lease no more."""
        self._connection.command("ZREM", entry.key, entry.member)


class Expiries(Looks):
    """When to look whether jobs have expired."""

    def __init__(self, connection: Connection, keys: Keys) -> None:
        super().__init__(connection, keys.expiries)

    def track(self, entry: Entry, in_ms: int) -> None:
        """Have a job looked at once `in_ms` have passed, or later if it is due later."""
        self._track(entry, in_ms, "GT")

    def hasten(self, entry: Entry) -> None:
        """Have a job looked at with the next sweep."""
        self._track(entry, 0, "LT")

    def drop(self, entry: Entry) -> None:
        """Look no more at a job that is gone, unless one is about to be made under its id."""
        verbs.forget(self._connection, (entry.key,), member=entry.member, older_ms=0)
