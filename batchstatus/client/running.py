"""The calls with which a client creates and runs jobs; the other half of what a `Client` does."""

import json
import time
from collections.abc import Iterable, Mapping
from os import PathLike
from random import uniform
from typing import Any

from batchstatus.client import answers
from batchstatus.client.calling import Calling
from batchstatus.client.reports import MAX_ROWS
from batchstatus.client.steps import HttpSteps
from batchstatus.model import values
from batchstatus.model.errors import InvalidValue
from batchstatus.model.ids import new_job_id
from batchstatus.model.job import MAX_PARTS, Job, Kind
from batchstatus.model.kinds import JobKind
from batchstatus.settings import declared_kinds
from batchstatus.worker.options import Exceptions, RunOptions
from batchstatus.worker.run import Run

_LONGEST_PAUSE_S = 5.0
MAX_LEASE_S = 3_600


class Running(Calling):
    """Creates and runs jobs with one API key."""

    def parts(self, job_id: str) -> list[dict[str, Any]]:
        """Returns the parts of a split job, as on the wire; none of a job that is not split.

        Raises the errors of `get`.

            client.parts("0199…")[0]["status"]   # "running"
        """
        with self._answer(self._path(job_id, "?include=parts")) as response:
            return answers.read(response, lambda body: answers.typed(body["parts"], list))

    def create(
        self,
        kind: Kind | str,
        *,
        total_items: int | None = None,
        metadata: Mapping[str, Any] | None = None,
        job_id: str | None = None,
        takeover_s: int = 0,
        parts: int | None = None,
    ) -> Job:
        """Returns a new queued job, or the one that was created first with this `job_id` and the same content.

        - `takeover_s`: how long after the end of a dead worker's lease another may take the job over (seconds).
        - `parts`: into so many, 2 to 1,000, is the job split, each to be run by a worker of its own.

        Needs the permission of the kind. A create without an answer is sent again for up to `give_up_s`, and makes
        one job, also without a `job_id`. Raises JobExists if the id has other content, InvalidValue that says
        what is wrong, Refused and ServiceUnavailable.

            job = client.create("transaction_batch", total_items=1000, takeover_s=3600)
        """
        asked: dict[str, Any] = {"kind": kind, "jobId": job_id if job_id is not None else new_job_id()}
        asked |= {"totalItems": total_items, "metadata": dict(metadata or {}), "takeoverSeconds": takeover_s}
        if parts is not None:
            asked["parts"] = values.count("parts", parts, 2, MAX_PARTS)
        return self._until_answered(f"{self._base}/batch-import/jobs", asked)

    def split(self, job_id: str, parts: int) -> Job:
        """Split a queued job into `parts` (2 to 1,000), each to be run on its own, and return it.

        Needs the permission `jobs:run`. Sent again as a create is; the same again changes nothing. Raises
        InvalidTransition for another number, or once a worker has had the job, and the errors of `get`.

            client.split(job.job_id, 16)
        """
        asked = {"parts": values.count("parts", parts, 2, MAX_PARTS)}
        return self._until_answered(self._path(job_id, "/parts"), asked)

    def run(
        self,
        job_id: str,
        wait_s: float = RunOptions.wait_s,
        stall_s: float | None = RunOptions.stall_s,
        *,
        part: int | None = None,
        lease_s: int | None = None,
        give_up_s: float = RunOptions.give_up_s,
        flush_s: float = RunOptions.flush_s,
        flush_rows: int = RunOptions.flush_rows,
        max_waiting_rows: int = RunOptions.max_waiting_rows,
        hand_back: Exceptions = RunOptions.hand_back,
        kinds: Iterable[JobKind | str] | str | PathLike[str] | None = None,
    ) -> Run:
        """Returns a run of the job, to be entered with `with`: the same Run as that of `JobStore.run`, over HTTP.

        Needs the permission `jobs:run`. The run has a connection and a thread of its own. The options are those of
        `JobStore.run`, and:

        - `part`: a number from 1 on, for a run of one part of a split job.
        - `lease_s`: the length of the lease (whole seconds, up to 3,600; None: the service's).
        - `kinds`: the declared kinds, as `batchstatus.connect` takes them.

            with client.run(job.job_id, wait_s=60) as run:
                for number, row in enumerate(rows[run.checkpoint or 0 :], (run.checkpoint or 0) + 1):
                    run.check()
                    run.succeeded(checkpoint=number)
        """
        if lease_s is not None and (type(lease_s) is not int or not 1 <= lease_s <= MAX_LEASE_S):
            raise InvalidValue(f"lease_s {lease_s!r} is not a whole number of seconds from 1 to {MAX_LEASE_S:,}")
        options = RunOptions(
            wait_s=wait_s,
            stall_s=stall_s,
            give_up_s=give_up_s,
            flush_s=flush_s,
            flush_rows=min(flush_rows, MAX_ROWS),
            max_waiting_rows=max_waiting_rows,
            hand_back=hand_back,
        )
        number = None if part is None else values.count("part", part, 1, MAX_PARTS)
        known = declared_kinds(kinds)
        return Run(HttpSteps(self._another(), job_id, number, known, lease_s, self._timeout_s), options)

    def _until_answered(self, path: str, asked: Mapping[str, Any]) -> Job:
        """Send a POST that may be repeated until it is answered, for up to `give_up_s`. Returns the job."""
        until, pause_s = time.monotonic() + self._give_up_s, 0.1
        try:
            body = json.dumps(asked)
        except (TypeError, ValueError, RecursionError) as error:
            raise InvalidValue(f"metadata cannot be JSON: {error}") from None
        while True:
            try:
                with self._answer(path, body=body) as response:
                    return answers.read(response, answers.job)
            except answers.Transient as error:
                if time.monotonic() >= until:
                    raise
                time.sleep(min(max(0.0, until - time.monotonic()), error.retry_after_s + uniform(0, pause_s)))
                pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
