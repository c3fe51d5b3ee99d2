"""The jobs at work of all organizations: each, for an operator, and how many, for the metrics of every replica.

They are found through the schedule of looks at leases, which has each running job. Nothing scans the keyspace.
"""

import heapq
import logging
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

from batchstatus.jobs.looks import Leases
from batchstatus.model.errors import InvalidValue, JobCorrupt, NotReplicated
from batchstatus.model.keys import BUCKETS
from batchstatus.model.messages import JobKey
from batchstatus.model.progress import AtWork
from batchstatus.protocol import hashes
from batchstatus.transport.clock import StoreClock
from batchstatus.transport.connection import Connection

SLICE = 200
"""How many jobs are read in one round trip."""

MEASURED_MS = 30_000
"""How long a measurement is worth something; longer than a sweep takes to pass to another reaper."""

_log = logging.getLogger(__name__)


class Measured(NamedTuple):
    """How many jobs run, and how old the oldest of their heartbeats is (seconds); 0 where none runs."""

    running: int
    oldest_heartbeat_s: float


class Running:
    """The running jobs of a store. Every method may raise StoreUnavailable."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._keys = connection.keys
        self._leases = Leases(connection)
        self._clock = StoreClock(connection)

    def longest_silent(self, most: int) -> tuple[list[AtWork], int]:
        """Returns at most `most` jobs and parts at work, the oldest heartbeat first, and how many there are."""
        found: list[AtWork] = []
        total = 0
        for jobs in self._slices():
            at_work = [each for job, values in self._read(jobs, hashes.AT_WORK) for each in self._of(job, values)]
            found = heapq.nsmallest(most, (*found, *at_work), key=_by_heartbeat)
            total += len(at_work)
        return found, total

    def measure(self) -> None:
        """Count the running jobs, for all replicas to tell. A split job counts once, with its latest heartbeat."""
        running, oldest_ms = 0, 0
        for jobs in self._slices():
            for job, (status, heartbeat_at) in self._read(jobs, ("status", "heartbeatAt")):
                running += status == b"running"
                if status == b"running" and (heartbeat_at or b"").isdigit():
                    age_ms = self._clock.now_ms(self._keys.job(*job).job) - int(heartbeat_at)
                    oldest_ms = max(oldest_ms, round(age_ms))
        key = self._keys.measured()
        write = ("HSET", key, "running", running, "oldestHeartbeatMs", oldest_ms)
        with suppress(NotReplicated):  # if it is lost, the next one is soon there
            self._connection.write_together(write, ("PEXPIRE", key, MEASURED_MS))

    def measured(self) -> Measured | None:
        """Returns what was measured last; None if nobody has lately. One command."""
        stored = self._connection.hash(self._keys.measured())
        running, oldest_ms = (hashes.integer(stored, each) for each in (b"running", b"oldestHeartbeatMs"))
        return None if running is None or oldest_ms is None else Measured(running, oldest_ms / 1000)

    def _slices(self) -> Iterator[list[JobKey]]:
        """Yields all jobs that are tracked, some at a time. Not each of them runs."""
        for bucket in range(BUCKETS):
            entries = self._leases.entries(bucket)
            for first in range(0, len(entries), SLICE):
                yield [each.job for each in entries[first : first + SLICE]]

    def _read(self, jobs: Sequence[JobKey], fields: Sequence[str]) -> Iterator[tuple[JobKey, Sequence[Any]]]:
        """Yields the jobs, each with these fields; those that cannot be are left out."""
        keys = {}
        for job in jobs:
            with suppress(InvalidValue):  # somebody wrote the entry by hand
                keys[job] = self._keys.job(*job).job
        answers = self._connection.pipeline([("HMGET", key, *fields) for key in keys.values()])
        return ((job, values) for job, values in zip(keys, answers, strict=True) if values)

    def _of(self, job: JobKey, values: Sequence[bytes | None]) -> Iterator[AtWork]:
        """Yields the job if it runs; of a split one each part that has a worker or awaits one, if there is any."""
        stored = dict(zip(hashes.AT_WORK, values, strict=True))
        if stored["status"] != b"running":
            return
        found: list[tuple[int | None, Sequence[bytes | None]]] = []
        if stored["parts"]:
            found += self._parts_of(job)
        key = self._keys.job(*job).job
        for part, fields in found or [(None, values)]:
            try:
                yield hashes.at_work(fields, *job, part, self._clock.now_ms(key))
            except JobCorrupt as error:
                _log.error("left out: %s, part %s: %s", key, part, error)

    def _parts_of(self, job: JobKey) -> Iterator[tuple[int, Sequence[bytes | None]]]:
        keys = self._keys.parts(*job)
        found = self._connection.transaction(
            *(("ZRANGEBYSCORE", key, "-inf", "+inf") for key in (keys.leases, keys.awaiting))
        )
        numbers = sorted({int(number) for several in found for number in several})
        answers = self._connection.pipeline([("HMGET", keys.part(n).job, *hashes.AT_WORK) for n in numbers])
        for number, values in zip(numbers, answers, strict=True):
            if values and values[0] == b"running":
                yield number, values


def _by_heartbeat(each: AtWork) -> tuple[Any, ...]:
    return each.heartbeat_at, each.org, each.job_id, each.part or 0
