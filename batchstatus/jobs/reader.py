"""Reads jobs, and settles those first whose lease has run out: what a reader gets is true."""

import logging
from collections.abc import Callable, Sequence
from typing import Any

from batchstatus.errors import JobCorrupt, JobNotFound
from batchstatus.jobs.transitions import Transitions
from batchstatus.messages import Look, Verdict
from batchstatus.model import CONTROL_FLAGS, Job
from batchstatus.protocol import hashes
from batchstatus.transport.clock import StoreClock
from batchstatus.transport.connection import Connection, Hash

_log = logging.getLogger(__name__)


class Reader:
    """Reads the jobs of all organizations."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._clock = StoreClock(connection)
        self._listeners: list[Callable[[], None]] = []

    def listen_for_settled(self, listener: Callable[[], None]) -> None:
        """Have `listener` called whenever this reader has found a job's worker dead and ended the job."""
        self._listeners.append(listener)

    def look(self, org: str, job_id: str) -> Look:
        """Look whether a running job's worker is dead."""
        found = Transitions(self._connection, org, job_id).settle()
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
            if not self._ends_by_a_look(org, job_id, key, stored):
                return hashes.decode(stored), answers

    def read_many(self, org: str, job_ids: Sequence[str], *, leave_out_damaged: bool = False) -> dict[str, Job]:
        """Returns the jobs that there are, by id; one round trip (in a Cluster, one for each server).

        A damaged job raises JobCorrupt, which names its key; or is left out and logged.
        """
        keys = {job_id: self._connection.keys.job(org, job_id).job for job_id in job_ids}
        found = {}
        for (job_id, key), stored in zip(keys.items(), self._connection.hashes([*keys.values()]), strict=True):
            try:
                if job := self._job_in(stored, org, job_id, key):
                    found[job_id] = job
            except JobCorrupt as error:
                if not leave_out_damaged:
                    raise JobCorrupt(f"{key}: {error}") from error
                _log.error("left out of a page: %s: %s", key, error)
        return found

    def states(self, jobs: Sequence[tuple[str, str]]) -> list[str | None]:
        """Returns the `state` of each (org, job id), None where no job can be read; one round trip."""
        fields = ("status", *CONTROL_FLAGS)
        keys = [self._connection.keys.job(*each).job for each in jobs]
        answers = self._connection.pipeline([("HMGET", key, *fields) for key in keys])
        return [None if each is None else hashes.state(each[0], each[1:]) for each in answers]

    def _job_in(self, stored: Hash | None, org: str, job_id: str, key: str) -> Job | None:
        """Returns the job in a hash that was read together with others; None if there is no job."""
        if stored is None:
            raise JobCorrupt("the key holds no hash")
        if not _belongs(stored, org):
            return None
        try:
            return self.read(org, job_id)[0] if self._is_past_lease(stored, key) else hashes.decode(stored)
        except JobNotFound:  # the job expired meanwhile
            return None

    def _ends_by_a_look(self, org: str, job_id: str, key: str, stored: Hash) -> bool:
        """Look at a job that is past its lease. Returns True if it has ended, so that `stored` is out of date."""
        return self._is_past_lease(stored, key) and self.look(org, job_id).verdict in (
            Verdict.SETTLED,
            Verdict.ENDED,
        )

    def _is_past_lease(self, stored: Hash, key: str) -> bool:
        lease_ms = hashes.lease_ms(stored)
        return lease_ms is not None and self._clock.passed(lease_ms, key)


def _belongs(stored: Hash, org: str) -> bool:
    """Returns True if there is a job of this organization: the key names it; a hash written by hand may not."""
    return bool(stored) and stored.get(b"orgId") == org.encode()
