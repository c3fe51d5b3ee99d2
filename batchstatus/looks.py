"""When to look at a job next: for its lease, and for its expiry. The reaper works both off.

An entry is written before that which it is for, moved when a look found that there is another to take, and
dropped when there is none. It lives in another slot than the job, so it is only ever a hint: what holds is what
the look finds.
"""

from collections.abc import Callable

from batchstatus import scripts
from batchstatus.connection import Connection
from batchstatus.keys import Entry, Keys


class Looks:
    """An index of the jobs of all organizations, by the time of the next look, spread over a few keys."""

    def __init__(self, connection: Connection, key: Callable[[int], str]) -> None:
        self._connection = connection
        self._key = key

    def due(self, bucket: int, limit: int) -> list[Entry]:
        """At most `limit` entries of a bucket whose time has come, the longest overdue first."""
        key = self._key(bucket)
        return [Entry(key, member) for member in scripts.due(self._connection, (key,), limit=limit)]

    def put_off(self, entry: Entry, in_ms: int) -> None:
        """Have a job that is still tracked looked at once `in_ms` have passed, and no sooner."""
        self._track(entry, in_ms, "XX")

    def _track(self, entry: Entry, in_ms: int, which: str) -> None:
        scripts.track(self._connection, (entry.key,), member=entry.member, in_ms=in_ms, which=which)


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
        self._connection.command("ZADD", entry.key, "XX", due_ms, entry.member)

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
        scripts.forget(self._connection, (entry.key,), member=entry.member, older_ms=0)
