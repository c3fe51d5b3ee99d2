"""The steps of a run, taken over HTTP: what `Client.run` does in the place of the store's scripts."""

import json
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any, NamedTuple, TypeVar

from batchstatus.client import answers
from batchstatus.client.calling import Calling
from batchstatus.client.reports import reports_of
from batchstatus.model.errors import InvalidTransition, JobEnded, ReportsLost, StoreUnavailable
from batchstatus.model.job import Status
from batchstatus.model.kinds import Kinds
from batchstatus.model.messages import Batch, Claim, Ending, Look, Reported, Verdict, Wanted
from batchstatus.settings import StoreSettings

_UNKNOWN, _UNKNOWN_MS = 0, 1
"""How often the job was claimed, and its takeover window, which may be none: the service does not tell."""
_LEAST_LEASE_S = 1.0
"""The shortest lease that may be asked for over HTTP."""
_T = TypeVar("_T")


class _Run(NamedTuple):
    """A run as the service answers it."""

    run_id: str
    seq: int
    checkpoint: Any
    wanted: Wanted
    lease_expires_at: datetime


class HttpSteps:
    """The steps of one job, or of a part of it, over a connection of its own, in the run's own thread.

    A batch may take several reports. So the numbers of reports are counted here, and those of batches only tell
    a new batch from one that is sent again.
    """

    def __init__(
        self, calling: Calling, job_id: str, part: int | None, kinds: Kinds, lease_s: int | None, timeout_s: float
    ) -> None:
        self._calling, self._job_id, self._part, self._lease_s = calling, job_id, part, lease_s
        self._settings = StoreSettings(kinds=kinds, timeout_s=timeout_s)
        self._seq = self._batch = 0
        self._waiting: deque[dict[str, Any]] = deque()

    @property
    def name(self) -> str:
        """The job's id."""
        return self._job_id

    @property
    def settings(self) -> StoreSettings:
        """The kinds that are known here, the time limit, and the length of the lease that was granted."""
        return self._settings

    def claim(self, token: str, *, worker: str = "") -> Claim:
        """Claim the job, or its part. Raises LeaseHeld or JobEnded."""
        given = {"token": token, "leaseSeconds": self._lease_s, "part": self._part, "worker": worker or None}
        asked = {name: value for name, value in given.items() if value is not None}
        try:
            run, job = self._post("", asked, lambda body: (_run(body), answers.job(body)))
        except InvalidTransition as error:
            raise JobEnded(self._status()) from error
        if job.heartbeat_at is not None:
            # The job's heartbeat may be another part's, and later than the claim if that was repeated.
            left_s = (run.lease_expires_at - job.heartbeat_at).total_seconds()
            lease_s = self._lease_s or max(_LEAST_LEASE_S, left_s)
            timeout_s = self._calling._answers_within(lease_s / 3)
            self._settings = StoreSettings(kinds=self._settings.kinds, timeout_s=timeout_s, lease_s=lease_s)
        self._seq = self._batch = run.seq
        return Claim(
            job=job,
            fence=0,
            token=run.run_id,
            seq=run.seq,
            checkpoint=run.checkpoint,
            attempt=_UNKNOWN,
            takeover_ms=_UNKNOWN_MS,
        )

    def report(self, claim: Claim, seq: int, batch: Batch, *, paused: bool) -> Reported:
        """Send a batch, or what is left of it where some of its reports have been answered."""
        if batch and seq != self._batch:
            self._batch, self._waiting = seq, deque(reports_of(batch))
        if not batch:
            return self._report(claim, self._seq, {"paused": paused})
        while True:
            answer = self._report(claim, self._seq + 1, {**self._waiting[0], "paused": paused})
            self._seq += 1
            self._waiting.popleft()
            if not self._waiting:
                return answer

    def _report(self, claim: Claim, seq: int, content: dict[str, Any]) -> Reported:
        run = self._post(f"/{claim.token}/reports", {"seq": seq, **content}, _run)
        return Reported(run.wanted, None, run.lease_expires_at, run.checkpoint)

    def finish(self, claim: Claim, ending: Ending, seq: int | None) -> None:
        """End the job, or give its lease back. Without `seq` reports may have been lost."""
        status = "released" if ending.status is Status.INTERRUPTED else str(ending.status)
        reason = None if ending.job_failure is None else json.loads(ending.job_failure)
        asked: dict[str, Any] = {"status": status, "workerError": ending.worker_error, "jobFailure": reason}
        try:
            self._post(f"/{claim.token}/finish", {"seq": self._seq, **asked}, answers.job)
        except ReportsLost as lost:
            if seq is not None:
                raise
            self._post(f"/{claim.token}/finish", {"seq": lost.last, **asked}, answers.job)
        self._calling.close()

    def settle(self) -> Look:
        """Leave it to the service to look whether the job's worker is dead: each claim makes it look."""
        return Look(Verdict.SUSPECT, None)

    def _status(self) -> Status:
        """Returns how the job, or its part, has ended."""
        path = self._calling._path(self._job_id, "" if self._part is None else "?include=parts")
        with self._calling as calling, self._store_errors(), calling._answer(path) as response:
            return answers.read(response, self._status_in)

    def _status_in(self, body: Any) -> Status:
        if self._part is None:
            return answers.job(body).status
        parts = {answers.typed(part["part"], int): Status(part["status"]) for part in body["parts"]}
        return parts[self._part]

    def _post(self, rest: str, body: dict[str, Any], make: Callable[[Any], _T]) -> _T:
        path = self._calling._path(self._job_id, f"/runs{rest}")
        with self._store_errors(), self._calling._answer(path, body=json.dumps(body)) as response:
            return answers.read(response, make)

    @contextmanager
    def _store_errors(self) -> Iterator[None]:
        """Raise StoreUnavailable, after which a run repeats its call, where there was no usable answer."""
        try:
            yield
        except answers.Transient as error:
            raise StoreUnavailable(str(error)) from error


def _run(body: Any) -> _Run:
    wire = body["run"]
    return _Run(
        answers.typed(wire["runId"], str),
        answers.typed(wire["seq"], int),
        wire["checkpoint"],
        Wanted(wire["control"]),
        answers.time(answers.typed(wire["leaseExpiresAt"], str)),
    )
