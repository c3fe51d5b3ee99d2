"""Fills an organization with hundreds of thousands of jobs, faster than the SDK could run them.

The SDK runs one job for each wanted kind and status. The server copies the hashes of these jobs, so that no field
can be missing. Each copy gets an id and times of its own, and entries in the same indexes as the SDK's jobs.
"""

import time
from collections import defaultdict
from contextlib import suppress
from typing import Any

import redis

from batchstatus import JobAborted, JobCancelled, JobStore, Kind, Status
from batchstatus.model.keys import Keys
from bench.tools.setting import ORG

APART_MS = 10
"""Between the createdAt of two jobs."""
ONE_IN = {Status.INTERRUPTED: 10, Status.FAILED: 100, Status.QUEUED: 1_000, Status.CANCELLED: 10_000}
"""One job in so many has this status, spread evenly; all others are completed."""
BATCH = 5_000


class Filler:
    """Makes jobs of one organization, each older than the one before. Job 0 is the newest, created now."""

    def __init__(self, store: JobStore, url: str, org: str = ORG) -> None:
        self._client: Any = redis.Redis.from_url(url, protocol=2)
        self._keys = Keys(store.settings.prefix)
        self._retention_ms = store.settings.retention_ms
        self._newest_ms = time.time_ns() // 1_000_000
        self.org = org
        self._templates = {
            (kind, status): _lived(store, org, kind, status) for kind in Kind for status in STATUSES
        }
        self.jobs = 0

    def fill(self, jobs: int) -> None:
        """Make jobs until there are `jobs`."""
        while self.jobs < jobs:
            numbers = range(self.jobs, min(jobs, self.jobs + BATCH))
            self._make(numbers)
            self.jobs = numbers.stop

    def created_ms(self, number: int) -> int:
        """Returns the createdAt of a job, in ms since the epoch."""
        return self._newest_ms - number * APART_MS

    def _make(self, numbers: range) -> None:
        pipeline = self._client.pipeline(transaction=False)
        entries: dict[str, list[Any]] = defaultdict(list)
        for number in numbers:
            kind, status = kind_of(number), status_of(number)
            job_id, created_ms = id_of(number), self.created_ms(number)
            key = self._keys.job(self.org, job_id).job
            pipeline.execute_command("COPY", self._keys.job(self.org, self._templates[kind, status]).job, key)
            pipeline.execute_command("HSET", key, "jobId", job_id, "createdAt", created_ms)
            entries[self._keys.index(self.org, kind, status)] += (created_ms, job_id)
            expiry = self._keys.expiry_entry(self.org, job_id)
            entries[expiry.key] += (created_ms + self._retention_ms, expiry.member)
        for index, scores_and_members in entries.items():
            pipeline.execute_command("ZADD", index, *scores_and_members)
        pipeline.execute()


STATUSES = (Status.COMPLETED, *ONE_IN)


def id_of(number: int) -> str:
    """Returns a job's id, as long as a UUID."""
    return f"{number:08x}-0000-7000-8000-{number:012x}"


def kind_of(number: int) -> Kind:
    """Returns a job's kind; the kinds take turns."""
    return tuple(Kind)[number % len(Kind)]


def status_of(number: int) -> Status:
    """Returns a job's status. Each status has another last digit, so that no two statuses claim the same job."""
    rare = (status for digit, (status, many) in enumerate(ONE_IN.items()) if number % many == digit)
    return next(rare, Status.COMPLETED)


def _lived(store: JobStore, org: str, kind: Kind, status: Status) -> str:
    """Returns the id of a job that the SDK brought to this status."""
    job_id = store.create(org, kind, total_items=1_000, metadata={"fileName": "november.csv"}).job_id
    if status is Status.QUEUED:
        return job_id
    with suppress(KeyboardInterrupt, JobAborted), store.run(org, job_id) as run:
        run.succeeded(412, checkpoint=412)
        if status is Status.CANCELLED:
            store.control(org, job_id, "cancel")
            raise JobCancelled
        if status is Status.FAILED:
            raise JobAborted("FILE_UNREADABLE", "the file ends in the middle of a row")
        if status is Status.INTERRUPTED:
            raise KeyboardInterrupt  # gives the lease back; without a takeover window, the job is interrupted
    assert store.get(org, job_id).status is status
    return job_id
