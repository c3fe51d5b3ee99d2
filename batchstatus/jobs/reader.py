"""Reads jobs, and settles those first whose lease has run out: what a reader gets is true."""

import logging
from collections.abc import Callable, Sequence
from typing import Any

from batchstatus.jobs.parts import look_at_parts
from batchstatus.jobs.transitions import Transitions
from batchstatus.model.errors import JobCorrupt, JobNotFound, NotReplicated, StoreRefused, StoreUnavailable
from batchstatus.model.job import CONTROL_FLAGS, Job, Part
from batchstatus.model.messages import JobKey, Look, Seen, Verdict
from batchstatus.protocol import hashes
from batchstatus.transport.clock import StoreClock
from batchstatus.transport.connection import Connection, Hash

_log = logging.getLogger(__name__)


class Reader:
    """Reads the jobs of all organizations."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._kinds = connection.settings.kinds
        self._clock = StoreClock(connection)
        self._listeners: list[Callable[[], None]] = []

    def listen_for_settled(self, listener: Callable[[], None]) -> None:
        """Have `listener` called whenever this reader has found a job's worker dead and ended the job."""
        self._listeners.append(listener)

    def look(self, org: str, job_id: str) -> Look:
        """Look whether a running job's worker is dead."""
        found = Transitions(self._connection, org, job_id).settle()
        if found.verdict is Verdict.SPLIT:
            found = look_at_parts(self._connection, org, job_id)
        if found.verdict is Verdict.SETTLED:
            for listener in self._listeners:
                listener()
        return found

    def read(self, org: str, job_id: str, *others: tuple[Any, ...]) -> tuple[Job, list[Any]]:
        """Returns the job, and the answers to `others` of the same moment; JobNotFound if there is no such job."""
        key = self._connection.keys.job(org, job_id).job
        while True:
            if others:
                stored, *answers = self._connection.transaction(("HGETALL", key), *others)
            else:
                stored, answers = self._connection.hash(key), []
            if not _belongs(stored, org):
                raise JobNotFound("there is no such job")
            if not self._changes_by_a_look(org, job_id, key, stored):
                return hashes.decode(stored, self._kinds), answers

    def parts(self, org: str, job_id: str) -> tuple[Job, tuple[Part, ...]]:
        """Returns the job and its parts, all of one moment; none of a job that is not split."""
        job, _ = self.read(org, job_id)
        if not job.parts:
            return job, ()
        keys = self._connection.keys.parts(org, job_id)
        numbers = range(1, job.parts + 1)
        job, found = self.read(org, job_id, *(("HMGET", keys.part(each).job, *hashes.PART) for each in numbers))
        return job, tuple(hashes.part(*each, job) for each in zip(numbers, found, strict=False))

    def read_many(self, org: str, job_ids: Sequence[str], *, leave_out_damaged: bool = False) -> dict[str, Job]:
        """Returns the jobs that there are, by id; one round trip (in a Cluster, one for each server).

        A damaged job raises JobCorrupt, which names its key; or is left out and logged. Where the store takes no
        writes, a job past its lease is returned as it reads: it keeps nobody from the others.
        """
        refusals: list[StoreUnavailable] = []
        keys = {job_id: self._connection.keys.job(org, job_id).job for job_id in job_ids}
        found = {}
        for (job_id, key), stored in zip(keys.items(), self._connection.hashes([*keys.values()]), strict=True):
            try:
                if job := self._job_in(stored, org, job_id, key, refusals):
                    found[job_id] = job
            except JobCorrupt as error:
                if not leave_out_damaged:
                    raise JobCorrupt(f"{key}: {error}") from error
                _log.error("left out of a page: %s: %s", key, error)
        return found

    def look_at(self, jobs: Sequence[JobKey]) -> list[Seen | None]:
        """Returns what tells whether each job has changed, None where no job can be read; one round trip."""
        fields = ("status", "rev", "createdAt", *CONTROL_FLAGS)
        keys = [self._connection.keys.job(*each).job for each in jobs]
        answers = self._connection.pipeline([("HMGET", key, *fields) for key in keys])
        return [None if each is None else hashes.seen(*each) for each in answers]

    def read_each(self, jobs: Sequence[JobKey]) -> list[Job | None]:
        """Returns each job; None if it is not there, or damaged, which is logged. Trips as for `read_many`."""
        keys = [self._connection.keys.job(*each).job for each in jobs]
        refusals: list[StoreUnavailable] = []
        found: list[Job | None] = []
        for (org, job_id), key, stored in zip(jobs, keys, self._connection.hashes(keys), strict=True):
            try:
                found.append(self._job_in(stored, org, job_id, key, refusals))
            except JobCorrupt as error:
                _log.error("left out of events: %s: %s", key, error)
                found.append(None)
        return found

    def _job_in(
        self, stored: Hash | None, org: str, job_id: str, key: str, refusals: list[StoreUnavailable]
    ) -> Job | None:
        """Returns the job in a hash that was read together with others; None if there is no job.

        Once a job could not be settled, no other is tried: each may take as long.
        """
        if stored is None:
            raise JobCorrupt("the key holds no hash")
        if not _belongs(stored, org):
            return None
        if not refusals and self._look_is_due(stored, key):
            try:
                return self.read(org, job_id)[0]
            except JobNotFound:  # the job expired meanwhile
                return None
            except (StoreRefused, NotReplicated) as error:
                refusals.append(error)
        return hashes.decode(stored, self._kinds)

    def _changes_by_a_look(self, org: str, job_id: str, key: str, stored: Hash) -> bool:
        """Look at a job if that is due. Returns True if it has changed, so that `stored` is out of date."""
        if not self._look_is_due(stored, key):
            return False
        verdict = self.look(org, job_id).verdict
        awaits = verdict is Verdict.VACANT and hashes.AWAITS not in stored
        return awaits or verdict in (Verdict.SETTLED, Verdict.ENDED)

    def _look_is_due(self, stored: Hash, key: str) -> bool:
        due_ms = hashes.look_due_ms(stored)
        return due_ms is not None and self._clock.passed(due_ms, key)


def _belongs(stored: Hash, org: str) -> bool:
    """Returns True if there is a job of this organization: the key names it; a hash written by hand may not."""
    return bool(stored) and stored.get(b"orgId") == org.encode()
