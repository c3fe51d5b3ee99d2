"""Many running jobs in one process: each reports five times a second, and ends on request.

The SDK's own functions send the SDK's scripts. Unlike the SDK, the process has no thread per run, and sends the
reports of many jobs in one trip.
"""

import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection as Pipe
from typing import Any

from batchstatus import Status, connect
from batchstatus.jobs.transitions import Transitions
from batchstatus.model.messages import Batch, Claim, Ending
from batchstatus.protocol import verbs
from batchstatus.settings import StoreSettings
from batchstatus.transport.connection import Connection
from batchstatus.transport.urls import open_client
from bench.tools.setting import KIND, ORG

PERIOD_S, SLICES = 0.2, 10
"""Every job reports once a period; the jobs report in slices, so that the reports are spread evenly."""


@dataclass
class Running:
    """A job that this process runs, and the number of its last report."""

    claim: Claim
    seq: int = 0


class OneTrip:
    """Stands in for a connection: collects scripts to be run in one trip."""

    def __init__(self, settings: StoreSettings) -> None:
        self.settings = settings
        self.commands: list[tuple[Any, ...]] = []

    def evaluate(
        self, sha1: str, source: str, keys: Sequence[str], arguments: Sequence[Any], *, durable: bool
    ) -> list[Any]:
        """Collect a script, and answer OK; `Worker` checks the real answers."""
        self.commands.append(("EVALSHA", sha1, len(keys), *keys, *arguments))
        return [b"OK", 0, b"run", b"", b"", b""]


class Worker:
    """Creates jobs and runs them."""

    def __init__(self, url: str) -> None:
        self._settings = StoreSettings()
        self._connection = Connection(partial(open_client, url, self._settings), self._settings)
        self._store = connect(url)
        self.running: dict[str, Running] = {}

    def start(self) -> str:
        """Create a job, claim it and report once. Returns its id."""
        job_id = self._store.create(ORG, KIND, total_items=1_000_000).job_id
        self.running[job_id] = Running(self._transitions(job_id).claim(secrets.token_hex(8)))
        self._report(self._connection, job_id)  # alone, so that the server has loaded the script from now on
        return job_id

    def report(self, job_ids: Sequence[str]) -> None:
        """Report for several jobs in one trip."""
        trip = OneTrip(self._settings)
        for job_id in job_ids:
            self._report(trip, job_id)
        answers = self._connection.pipeline(trip.commands) if job_ids else []
        assert all(answer[0] == b"OK" for answer in answers), answers

    def end(self, job_id: str) -> float:
        """End a job. Returns the time of the acknowledgement."""
        ended = self.running.pop(job_id)
        self._transitions(job_id).finish(ended.claim, Ending(Status.COMPLETED), ended.seq)
        return time.monotonic()

    def _transitions(self, job_id: str) -> Transitions:
        return Transitions(self._connection, ORG, job_id)

    def _report(self, connection: Any, job_id: str) -> None:
        job = self.running[job_id]
        job.seq += 1
        keys, batch = self._connection.keys.job(ORG, job_id), Batch(succeeded=10, checkpoint=10 * job.seq)
        verbs.report(connection, keys, job.claim, job.seq, batch)


def keep_running(pipe: Pipe, url: str, jobs: int) -> None:
    """The body of the process: send the jobs' ids, report, and end the jobs within the received number of seconds.

    Sends at last when each job ended, and the number of reports per second.
    """
    worker = Worker(url)
    job_ids = [worker.start() for _ in range(jobs)]
    pipe.send(job_ids)
    started, reports, ends = time.monotonic(), 0, dict[str, float]()
    due, end_at = started, dict[str, float]()
    while worker.running:
        for number in range(SLICES):
            slice_ = [job_id for job_id in job_ids[number::SLICES] if job_id in worker.running]
            worker.report(slice_)
            reports += len(slice_)
            ends |= {job_id: worker.end(job_id) for job_id in _due(end_at, worker.running)}
            due += PERIOD_S / SLICES
            time.sleep(max(0.0, due - time.monotonic()))
        if pipe.poll():
            seconds, now = pipe.recv(), time.monotonic()
            rate = reports / (now - started)
            end_at = {job_id: now + seconds * number / jobs for number, job_id in enumerate(job_ids)}
    pipe.send((ends, rate))


def _due(end_at: dict[str, float], running: dict[str, Running]) -> list[str]:
    return [job_id for job_id, at in end_at.items() if at <= time.monotonic() and job_id in running]
