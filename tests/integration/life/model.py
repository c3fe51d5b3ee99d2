"""A job's life as it should be, in plain Python: the answer of each script, and what is stored after it.

The model follows the rules of a job's life, not the scripts: times are whole milliseconds given by the caller,
rows are kept as they were reported, and nothing here does input or output. `placed`: the job is in the index of
the status that the step would bring it into.
"""

import json
from dataclasses import dataclass, field, replace

from batchstatus.model.job import TERMINAL, Action, Job, JobFailure, Status
from batchstatus.model.messages import Wanted
from tests.integration.life.words import GRACE_MS, LEASE_MS, Answer, Content, End, Holder, Report, moment


@dataclass
class Life:
    """One job, from its creation on."""

    org: str
    job_id: str
    content: Content
    created_at: int
    max_rows: int

    status: Status = Status.QUEUED
    total: int | None = None
    succeeded: int = 0
    failures: list[str] = field(default_factory=list)
    skips: list[str] = field(default_factory=list)
    heartbeat_at: int | None = None
    completed_at: int | None = None
    end: End | None = None
    pausing: bool = False
    cancelling: bool = False
    paused: bool = False
    awaiting: bool = False
    capped: bool = False

    fence: int = 0
    seq: int = 0
    rev: int = 1
    attempt: int = 0
    token: str | None = None
    lease_end: int | None = None
    suspect_at: int | None = None
    checkpoint: str | None = None
    kept: tuple[int, int, int] | None = None
    claimed_at: int | None = None
    mark_due: int = 0
    marks: list[tuple[int, int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.total = self.content.total

    @property
    def done(self) -> int:
        return self.succeeded + len(self.failures) + len(self.skips)

    @property
    def terminal(self) -> bool:
        return self.status in TERMINAL

    @property
    def wanted(self) -> Wanted:
        return Wanted.CANCEL if self.cancelling else Wanted.PAUSE if self.pausing else Wanted.RUN

    @property
    def flags(self) -> list[str]:
        """What control has asked for, and whether a worker has paused or is awaited, as readers find it."""
        asked = {
            "Paused": self.paused,
            "PauseRequested": self.pausing,
            "CancelRequested": self.cancelling,
            "AwaitingWorker": self.awaiting,
        }
        return [f"batch{name}" for name, is_set in asked.items() if is_set]

    def created_again(self, content: Content) -> Answer:
        return (
            Answer("EXISTS", self.fields(), wrote=True)
            if content == self.content
            else Answer("TAKEN", self.status)
        )

    def claim(self, now: int, token: str, placed: bool = True) -> Answer:
        if self.terminal:
            return Answer("ENDED", self.status)
        if self.token == token:
            return Answer("OK", self.fields(), wrote=True)
        if self.status is Status.RUNNING and not self.vacant(now):
            return Answer("HELD", self.lease_end - now)
        if self.status is Status.QUEUED and not placed:
            return Answer("PLACE", Status.RUNNING)
        self.status = Status.RUNNING
        self.token = token
        self.fence += 1
        self.attempt += 1
        self.seq = 0
        self.paused = False
        self.rev += 1
        self.kept = self.kept or (0, 0, 0)
        self.succeeded = self.kept[0]
        self.failures, self.skips = self.failures[: self.kept[1]], self.skips[: self.kept[2]]
        self._sign_of_life(now)
        self.claimed_at = self.heartbeat_at
        self._measure_anew(self.heartbeat_at)
        return Answer("OK", self.fields(), wrote=True)

    def control(self, now: int, action: Action, placed: bool = True) -> Answer:
        if self.terminal:
            again = action is Action.CANCEL and self.status is Status.CANCELLED
            return Answer("OK", self.fields(), wrote=True) if again else Answer("ENDED", self.status)
        unheld = self.status is Status.QUEUED or self.awaiting
        if action is Action.CANCEL and unheld and not placed:
            return Answer("PLACE", Status.CANCELLED)
        before = self.flags, self.status
        if action is Action.PAUSE:
            self.pausing = True
        elif action is Action.RESUME:
            if self.pausing and self.status is Status.RUNNING:
                self._measure_anew(max(now, self.heartbeat_at))
            self.pausing = self.paused = False
        elif not unheld:
            self.cancelling = True
        else:
            self.token = None
            self._complete(End(Status.CANCELLED), max(now, self.heartbeat_at or self.created_at))
        self.rev += before != (self.flags, self.status)
        return Answer("OK", self.fields(), wrote=True)

    def report(self, now: int, holder: Holder, seq: int, report: Report, paused: bool = False) -> Answer:
        if self.status is not Status.RUNNING or holder != (self.fence, self.token):
            return Answer("FENCED", self.status)
        obeys = paused and self.wanted is Wanted.PAUSE and not self.paused
        if seq == self.seq:
            self.paused |= obeys
            self.rev += obeys or self.awaiting
            self._sign_of_life(now)
            return Answer("DUPLICATE", self.rev, wrote=True)
        if seq != self.seq + 1 or report == Report():
            return Answer("GAP" if seq != self.seq + 1 else "EMPTY", self.seq)
        total = self.total if report.total is None else report.total
        self.total = None if total is None else max(total, self.done + report.rows)
        if report.checkpoint is not None:
            before = self.succeeded, len(self.failures), len(self.skips)
            succeeded, failed, skipped = (sum(each) for each in zip(before, report.covered, strict=True))
            self.kept = succeeded, failed, skipped
        self.succeeded += report.succeeded
        self.failures += report.failures
        self.skips += report.skips
        self.capped |= max(len(self.failures), len(self.skips)) > self.max_rows
        self.checkpoint = report.checkpoint or self.checkpoint
        self.seq = seq
        self.paused |= obeys
        self.rev += 1
        self._sign_of_life(now)
        if self.heartbeat_at >= self.mark_due:
            self.mark_due = round(self.heartbeat_at + max(2_000, (self.heartbeat_at - self.claimed_at) / 8))
            self.marks = [(self.heartbeat_at, self.done), self.marks[0], self.marks[2]]
        return Answer("OK", self.rev, wrote=True)

    def finish(self, now: int, holder: Holder, end: End, seq: int | None = None, placed: bool = True) -> Answer:
        another = holder.token != self.token and (self.token is not None or self.status is Status.RUNNING)
        if holder.fence != self.fence or another or self.status is Status.QUEUED:
            return Answer("FENCED", self.status)
        if self.terminal:
            settled = self.status is Status.INTERRUPTED and end.status is not Status.INTERRUPTED
            return Answer("FENCED", self.status) if settled else Answer("OK", self.status, wrote=True)
        if seq is not None and seq != self.seq:
            return Answer("GAP", self.seq)
        given_back = end.status is Status.INTERRUPTED and self.content.takeover_ms
        cancelled = self.cancelling and (end.status is Status.COMPLETED or given_back)
        released = given_back and not cancelled
        if not released and not placed:
            return Answer("PLACE", Status.CANCELLED if cancelled else end.status)
        self.rev += 1
        self.heartbeat_at = max(now, self.heartbeat_at or 0)
        if released:
            self.fence += 1
            self.token = None
            self.lease_end = self.heartbeat_at
            self.suspect_at = 0
            self.awaiting, self.paused = True, False
            return Answer("RELEASED", wrote=True)
        self._complete(replace(end, status=Status.CANCELLED) if cancelled else end, self.heartbeat_at)
        return Answer("OK", self.status, wrote=True)

    def settle(self, now: int, placed: bool = True) -> Answer:
        if self.status is not Status.RUNNING:
            return Answer("QUEUED" if self.status is Status.QUEUED else "ENDED")
        if now < self.lease_end:
            return Answer("ALIVE", self.lease_end)
        if self.suspect_at is None:
            self.suspect_at = now
            return Answer("SUSPECT", now + GRACE_MS, wrote=True)
        if not self.known_dead(now):
            return Answer("SUSPECT", self.suspect_at + GRACE_MS)
        window_end = self.lease_end + self.content.takeover_ms
        if self.vacant(now) and self.awaiting:
            return Answer("VACANT", window_end)
        if self.vacant(now) and not self.cancelling:
            self.awaiting, self.paused = True, False
            self.rev += 1
            return Answer("VACANT", window_end, wrote=True)
        status = self.dies_as(now)
        if not placed:
            return Answer("PLACE", status)
        self.rev += 1
        self.token = None
        self._complete(End(status), max(now, self.heartbeat_at))
        return Answer("SETTLED", wrote=True)

    def dies_as(self, now: int) -> Status:
        """How the job ends once its worker is known to be dead, if it does."""
        return Status.CANCELLED if self.vacant(now) and self.cancelling else Status.INTERRUPTED

    def look_is_due(self, now: int) -> bool:
        """Whether a look by a reader may change the job."""
        window_ms = self.content.takeover_ms if self.awaiting else 0
        return self.lease_end is not None and now >= self.lease_end + window_ms

    def past_lease(self, now: int) -> bool:
        return self.lease_end is not None and now >= self.lease_end

    def known_dead(self, now: int) -> bool:
        return self.suspect_at is not None and now >= self.suspect_at + GRACE_MS

    def vacant(self, now: int) -> bool:
        """Whether another worker may take over."""
        in_window = self.past_lease(now) and now < self.lease_end + self.content.takeover_ms
        return self.known_dead(now) and in_window

    def job(self) -> Job:
        """The job as a reader has to see it."""
        failure = json.loads(self.end.job_failure) if self.end and self.end.job_failure else None
        return Job(
            job_id=self.job_id,
            kind=self.content.kind,
            status=self.status,
            total_items=self.total,
            succeeded=self.succeeded,
            failed=len(self.failures),
            skipped=len(self.skips),
            heartbeat_at=moment(self.heartbeat_at),
            lease_expires_at=moment(self.lease_end),
            worker_error=self.end.worker_error if self.end else None,
            created_at=moment(self.created_at),
            completed_at=moment(self.completed_at),
            metadata=json.loads(self.content.metadata) | dict.fromkeys(self.flags, True),
            job_failure=failure and JobFailure(failure["code"], failure["message"], failure.get("details")),
            rev=self.rev,
        )

    def fields(self) -> dict[str, str]:
        """The job's hash, all of it."""
        fields = {
            "orgId": self.org,
            "jobId": self.job_id,
            "kind": self.content.kind,
            "status": self.status,
            "totalItems": self.total,
            "succeeded": self.succeeded,
            "failed": len(self.failures),
            "skipped": len(self.skips),
            "createdAt": self.created_at,
            "metadata": self.content.metadata,
            "digest": self.content.digest,
            "fence": self.fence,
            "rev": self.rev,
            "attempt": self.attempt or None,
            "maxRows": self.max_rows if self.capped else None,
            "heartbeatAt": self.heartbeat_at,
            "completedAt": self.completed_at,
            "workerError": self.end and self.end.worker_error,
            "jobFailure": self.end and self.end.job_failure,
            "token": self.token,
            "leaseExpiresAt": self.lease_end,
            "suspectAt": self.suspect_at,
            "checkpoint": self.checkpoint,
            "kept": self.kept and "{} {} {}".format(*self.kept),
            "claimedAt": self.claimed_at,
            "pace": self._pace(),
        }
        fields |= dict.fromkeys(self.flags, 1)
        if not self.terminal:
            fields |= {"seq": self.seq, "takeoverMs": self.content.takeover_ms}
        return {name: str(value) for name, value in fields.items() if value is not None}

    def stored_failures(self) -> list[str]:
        return self.failures[: self.max_rows]

    def stored_skips(self) -> list[str]:
        return self.skips[: self.max_rows]

    def _sign_of_life(self, now: int) -> None:
        self.heartbeat_at = max(now, self.heartbeat_at or self.created_at)
        self.lease_end = self.heartbeat_at + LEASE_MS
        self.suspect_at = None
        self.awaiting = False

    def _measure_anew(self, now: int) -> None:
        self.mark_due, self.marks = now, [(now, self.done)] * 3

    def _pace(self) -> str | None:
        numbers = [self.mark_due, *(number for mark in self.marks for number in mark)]
        return " ".join(map(str, numbers)) if self.marks else None

    def _complete(self, end: End, now: int) -> None:
        self.status, self.end, self.completed_at = end.status, end, now
        self.lease_end = self.suspect_at = self.checkpoint = self.kept = None
        self.marks = []
        self.pausing = self.cancelling = self.paused = self.awaiting = False
