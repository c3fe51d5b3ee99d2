"""The lease index: which running jobs to look at, and when. The reaper works it off.

An entry is written before the job is claimed and moved when a look found the lease renewed; it is dropped
when its job has ended or is gone. It lives in another slot than the job, so it is only ever a hint: what
holds is what `settle` finds.
"""

from batchstatus import scripts
from batchstatus.connection import Connection
from batchstatus.keys import Keys, LeaseEntry


class LeaseIndex:
    """The entries of all organizations, spread over a few keys."""

    def __init__(self, connection: Connection, keys: Keys) -> None:
        self._connection = connection
        self._keys = keys

    def track(self, entry: LeaseEntry, lease_ms: int) -> None:
        """Have a job looked at once `lease_ms` have passed, or sooner if it is due sooner."""
        scripts.track(self._connection, (entry.key,), member=entry.member, lease_ms=lease_ms)

    def due(self, bucket: int, limit: int) -> list[LeaseEntry]:
        """At most `limit` entries of a bucket whose time has come, the longest overdue first."""
        key = self._keys.leases(bucket)
        return [LeaseEntry(key, member) for member in scripts.due(self._connection, (key,), limit=limit)]

    def move(self, entry: LeaseEntry, due_ms: int) -> None:
        """Have a job that is still tracked looked at again at `due_ms` (ms since the epoch)."""
        self._connection.command("ZADD", entry.key, "XX", due_ms, entry.member)

    def put_off(self, entry: LeaseEntry, lease_ms: int) -> None:
        """Have a job that is still tracked looked at once `lease_ms` have passed, and no sooner."""
        scripts.put_off(self._connection, (entry.key,), member=entry.member, lease_ms=lease_ms)

    def drop(self, entry: LeaseEntry) -> None:
        """Look at a job no more."""
        self._connection.command("ZREM", entry.key, entry.member)
