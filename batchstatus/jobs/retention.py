"""Takes jobs that have expired out of the indexes. Redis drops a job's own keys by itself.

Each job is looked at ten minutes after its creation, which finds entries whose job was never made, and then
whenever it is about to expire, which it may have put off by a change. Nothing scans the keyspace.
"""

import logging

from batchstatus.errors import InvalidValue, JobCorrupt
from batchstatus.jobs.index import DANGLING_MS, History
from batchstatus.jobs.looks import Expiries
from batchstatus.keys import Entry, Keys
from batchstatus.model import Status
from batchstatus.protocol import hashes
from batchstatus.settings import StoreSettings
from batchstatus.transport.connection import Connection

_log = logging.getLogger(__name__)


class Retention:
    """Looks after the entries of the jobs of all organizations."""

    def __init__(self, connection: Connection, keys: Keys, settings: StoreSettings) -> None:
        self._connection = connection
        self._keys = keys
        self._settings = settings
        self._history = History(connection, keys)
        self._expiries = Expiries(connection, keys)

    def sweep(self) -> None:
        """Look once at what is due. Raises as `Looks.work_off` does."""
        self._expiries.work_off(self._look_at)

    def hasten(self, org: str, job_id: str) -> None:
        """Have what the indexes say of a job put right with the next sweep."""
        self._expiries.hasten(self._keys.expiry_entry(org, job_id))

    def _look_at(self, entry: Entry) -> None:
        org, job_id = entry.job
        try:
            key = self._keys.job(org, job_id).job
            fields = ("HMGET", key, "status", "kind", "createdAt")
            (status, kind, created_ms), left_ms = self._connection.transaction(fields, ("PTTL", key))
            if status is None:
                if self._history.forget(org, job_id, DANGLING_MS):
                    self._expiries.drop(entry)
                else:  # too new: a job on its way, or one that never comes
                    self._expiries.put_off(entry, DANGLING_MS)
                return
            # What a crash between two writes has left behind is put right on the way.
            place = hashes.place(status, kind, created_ms)
            self._history.place(org, job_id, place)
            if place.status is not Status.QUEUED:  # which may be on its way to anywhere by now
                self._history.tidy(org, job_id, place.kind, place.status)
        except InvalidValue:
            self._expiries.drop(entry)
        except JobCorrupt as error:
            _log.error("job %s of %s cannot be looked at: %s", job_id, org, error)
            self._expiries.put_off(entry, self._settings.retention_ms)
        else:
            self._expiries.put_off(entry, left_ms if left_ms > 0 else self._settings.retention_ms)
