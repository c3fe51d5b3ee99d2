"""Takes jobs that have expired out of the indexes. Redis drops a job's own keys by itself.

Each job is looked at ten minutes after its creation, which finds entries whose job was never made, and then
whenever it is due to expire; a change may have put its expiry off. With `queued_at_most_s` a queued job is looked
at once it has waited that long, too. Nothing scans the keyspace.
"""

import logging
import math
from contextlib import suppress

from batchstatus.jobs.index import DANGLING_MS, Index
from batchstatus.jobs.looks import Expiries
from batchstatus.jobs.transitions import Transitions
from batchstatus.model.errors import InvalidValue, JobCorrupt, JobEnded
from batchstatus.model.job import Place, Status
from batchstatus.model.keys import Entry
from batchstatus.protocol import hashes
from batchstatus.transport.connection import Connection

_log = logging.getLogger(__name__)


class Retention:
    """Looks after the index entries of the jobs of all organizations."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._keys = connection.keys
        self._kinds = connection.settings.kinds
        self._retention_ms = connection.settings.retention_ms
        self._queued_at_most_ms = round(connection.settings.queued_at_most_s * 1000)
        self._index = Index(connection)
        self._expiries = Expiries(connection)

    def sweep(self) -> None:
        """Look once at every job that is due. Raises as `Looks.work_off` does."""
        self._expiries.work_off(self._look_at)

    def hasten(self, org: str, job_id: str) -> None:
        """Have the index entries of a job put right with the next sweep."""
        self._expiries.hasten(self._keys.expiry_entry(org, job_id))

    def _may_wait_ms(self, org: str, job_id: str, place: Place) -> float:
        """Returns how much longer the job may be queued (ms); no end for one that is not, or without a limit."""
        if place.status is not Status.QUEUED or not self._queued_at_most_ms:
            return math.inf
        now_ms = self._connection.clock_ms(self._keys.job(org, job_id).job)
        return place.created_ms + self._queued_at_most_ms - now_ms

    def _expire(self, org: str, job_id: str) -> None:
        """Cancel a job that was queued for too long, unless a worker has claimed it meanwhile."""
        with suppress(JobEnded):
            if Transitions(self._connection, org, job_id).expire().terminal:
                _log.info("job %s of %s was queued for too long, and is cancelled", job_id, org)

    def _look_at(self, entry: Entry) -> None:
        org, job_id = entry.job
        try:
            key = self._keys.job(org, job_id).job
            fields = ("HMGET", key, "status", "kind", "createdAt")
            (status, kind, created_ms), left_ms = self._connection.transaction(fields, ("PTTL", key))
            if status is None:
                if self._index.forget(org, job_id, DANGLING_MS):
                    self._expiries.drop(entry)
                else:  # too new: the job is on its way, or never comes
                    self._expiries.put_off(entry, DANGLING_MS)
                return
            # Put right the entries that a crash between two writes has left behind.
            place = hashes.place_of(self._kinds, status, kind, created_ms)
            self._index.place(org, job_id, place)
            next_ms = left_ms if left_ms > 0 else self._retention_ms
            waits_ms = self._may_wait_ms(org, job_id, place)
            if waits_ms <= 0:
                self._expire(org, job_id)
            elif waits_ms < next_ms:
                next_ms = math.ceil(waits_ms)
            if place.status is not Status.QUEUED:  # a queued job may be on its way to any status by now
                self._index.tidy(org, job_id, place.kind, place.status)
        except InvalidValue:
            self._expiries.drop(entry)
        except JobCorrupt as error:
            _log.error("job %s of %s cannot be looked at: %s", job_id, org, error)
            self._expiries.put_off(entry, self._retention_ms)
        else:
            self._expiries.put_off(entry, next_ms)
