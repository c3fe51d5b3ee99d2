"""Reads jobs, and settles them first where their lease has run out: what a reader gets is true."""

from collections.abc import Callable, Sequence
from typing import Any

from batchstatus.errors import JobCorrupt, JobNotFound
from batchstatus.jobs.transitions import Transitions
from batchstatus.keys import Keys
from batchstatus.model import CONTROL_FLAGS, Job, Verdict
from batchstatus.protocol import hashes
from batchstatus.transport.clock import StoreClock
from batchstatus.transport.connection import Connection


class Reader:
    """Reads the jobs of all organizations; `on_settled` is called when it has found a worker dead."""

    def __init__(
        self, connection: Connection, keys: Keys, transitions: Transitions, on_settled: Callable[[], None]
    ) -> None:
        self._connection = connection
        self._keys = keys
        self._clock = StoreClock(connection)
        self._transitions = transitions
        self._on_settled = on_settled

    def look(self, org: str, job_id: str) -> tuple[Verdict, int | None]:
        """Look whether a running job's worker is dead; what the look found, and when the next is due."""
        found = self._transitions.settle(org, job_id)
        if found[0] is Verdict.SETTLED:
            self._on_settled()
        return found

    def read(self, org: str, job_id: str, *others: tuple[Any, ...]) -> list[Any]:
        """The job's hash, and the answers to `others` of the same moment; JobNotFound if there is none."""
        key = self._keys.job(org, job_id).job
        hash_ = ("HGETALL", key)
        answers = self._connection.transaction(hash_, *others) if others else [self._connection.command(*hash_)]
        if not self._belongs(answers[0], org):
            raise JobNotFound("there is no such job")
        if self._is_past_lease(answers[0], key):
            verdict, _ = self.look(org, job_id)
            if verdict in (Verdict.SETTLED, Verdict.ENDED):
                return self.read(org, job_id, *others)
        return answers

    def read_many(self, org: str, job_ids: Sequence[str]) -> dict[str, Job | JobCorrupt]:
        """The jobs among these that there are, by id, or what is wrong with them."""
        keys = {job_id: self._keys.job(org, job_id).job for job_id in job_ids}
        answers = self._connection.pipeline([("HGETALL", key) for key in keys.values()])
        found: dict[str, Job | JobCorrupt] = {}
        for (job_id, key), stored in zip(keys.items(), answers, strict=True):
            try:
                if self._belongs(stored, org):
                    settled = self.read(org, job_id)[0] if self._is_past_lease(stored, key) else stored
                    found[job_id] = hashes.decode(settled)
            except JobNotFound:
                continue
            except JobCorrupt as error:
                found[job_id] = JobCorrupt(f"{key}: {error}")
        return found

    def states(self, jobs: Sequence[tuple[str, str]]) -> Sequence[str | None]:
        """The `state` of each (org, job id), None where there is no job that can be read; one round trip."""
        fields = ("status", *CONTROL_FLAGS)
        answers = self._connection.pipeline([("HMGET", self._keys.job(*each).job, *fields) for each in jobs])
        return [None if isinstance(each, JobCorrupt) else hashes.state(each[0], each[1:]) for each in answers]

    def _belongs(self, stored: hashes.Hash | JobCorrupt, org: str) -> bool:
        """Whether there is a job at all. The key holds the organization; a key written by hand may not."""
        if isinstance(stored, JobCorrupt):
            raise stored
        return bool(stored) and stored.get(b"orgId") == org.encode()

    def _is_past_lease(self, stored: hashes.Hash, key: str) -> bool:
        lease_ms = hashes.lease_ms(stored)
        return lease_ms is not None and self._clock.passed(lease_ms, key)
