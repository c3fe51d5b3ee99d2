"""The rules of a job's life, each held against what is stored before and after a call, without the model."""

from dataclasses import dataclass, field
from typing import Any

from batchstatus.model.errors import (
    JobEnded,
    JobNotFound,
    LeaseHeld,
    LeaseLost,
    ReportsLost,
)
from batchstatus.model.job import TERMINAL, TRANSITIONS, Status
from tests.integration.life.words import GRACE_MS

ERRORS = {
    "claim HELD": LeaseHeld,
    "claim ENDED": JobEnded,
    "claim NOT_FOUND": JobNotFound,
    "report FENCED": LeaseLost,
    "report GAP": ReportsLost,
    "report EMPTY": ReportsLost,
    "report NOT_FOUND": JobNotFound,
    "finish FENCED": LeaseLost,
    "finish GAP": ReportsLost,
    "finish NOT_FOUND": JobNotFound,
    "control ENDED": JobEnded,
    "control NOT_FOUND": JobNotFound,
    "settle NOT_FOUND": JobNotFound,
    "read NOT_FOUND": JobNotFound,
}
"""The answers that refuse, and the error that each of them becomes."""

PLACING = {"claim PLACE", "finish PLACE", "control PLACE", "settle PLACE", "create TAKEN"}
"""The answers that say where the index has, or must have, the job."""


@dataclass(frozen=True)
class Stored:
    """What the store has of a job at one moment."""

    job: dict[str, str]
    failures: list[str]
    skips: list[str]
    ttls_ms: list[int] = field(compare=False)

    def number(self, name: str) -> int:
        return int(self.job.get(name, 0))

    @property
    def running(self) -> bool:
        return self.job.get("status") == "running"

    @property
    def terminal(self) -> bool:
        return self.job.get("status") in TERMINAL

    def visible(self) -> tuple[Any, ...]:
        """What a reader sees of the job's progress: all but its heartbeat, its lease and `rev`."""
        unseen = {
            "heartbeatAt",
            "leaseExpiresAt",
            "rev",
            "fence",
            "seq",
            "token",
            "suspectAt",
            "checkpoint",
            "kept",
            "attempt",
            "maxRows",
        }
        fields = {name: value for name, value in self.job.items() if name not in {*unseen, "takeoverMs"}}
        return fields, self.failures, self.skips


@dataclass(frozen=True)
class Step:
    """One call: the verb and the answer's word, when, under which fence if any, and what was stored."""

    call: str
    now: int
    fence: int | None
    before: Stored
    after: Stored

    @property
    def refused(self) -> bool:
        return self.call in {*ERRORS, *PLACING}

    @property
    def claimed_anew(self) -> bool:
        return self.call == "claim OK" and self.before.job.get("token") != self.after.job["token"]

    @property
    def sign_of_life(self) -> bool:
        return self.claimed_anew or self.call in {"report OK", "report DUPLICATE"}


class Rules:
    """The rules of a job's life (one job's), each held against what was stored before and after a call."""

    def __init__(self, max_rows: int) -> None:
        self.max_rows = max_rows
        self.holders: dict[int, str] = {}
        self.first_look_at: int | None = None

    def check(self, step: Step) -> None:
        self.every_key_expires(step)
        self.rows_and_counters_agree(step.after)
        if step.before.job:
            self.terminal_is_final(step.before, step.after)
            self.nothing_goes_back(step)
            self.a_takeover_returns_to_the_checkpoint(step)
            self.a_refused_call_changes_nothing(step)
            self.rev_tells_what_a_reader_sees(step)
            self.expiry_alone_does_not_fence(step)
            self.one_holder_at_a_time(step)
            self.a_silent_worker_is_looked_at_twice(step)
            self.a_job_without_a_worker_says_so(step)

    def every_key_expires(self, step: Step) -> None:
        stored = [bool(step.after.job), bool(step.after.failures), bool(step.after.skips)]
        assert [ttl_ms > 0 for ttl_ms in step.after.ttls_ms] == stored, "a key without a time to live"

    def rows_and_counters_agree(self, after: Stored) -> None:
        succeeded, failed, skipped = map(after.number, ("succeeded", "failed", "skipped"))
        assert len(after.failures) == min(failed, self.max_rows)
        assert len(after.skips) == min(skipped, self.max_rows)
        assert succeeded + failed + skipped <= int(after.job.get("totalItems", 2**53 - 1))

    def terminal_is_final(self, before: Stored, after: Stored) -> None:
        status, then = Status(before.job["status"]), Status(after.job["status"])
        assert then is status or then in TRANSITIONS[status]
        assert after.terminal == ("completedAt" in after.job)
        assert after == before or not before.terminal
        assert "batchCancelRequested" not in before.job or then is not Status.COMPLETED

    def nothing_goes_back(self, step: Step) -> None:
        before, after = step.before, step.after
        counters = () if step.claimed_anew else ("succeeded", "failed", "skipped")
        for name in (*counters, "totalItems", "rev", "fence", "heartbeatAt"):
            lowered = name == "totalItems" and step.call == "report OK"  # a worker may set a lower total
            assert lowered or after.number(name) >= before.number(name), f"{name} went back"
        if not step.claimed_anew:
            assert after.failures[: len(before.failures)] == before.failures
            assert after.skips[: len(before.skips)] == before.skips

    def a_takeover_returns_to_the_checkpoint(self, step: Step) -> None:
        if step.claimed_anew:
            before, after = step.before, step.after
            succeeded, failed, skipped = map(int, before.job.get("kept", "0 0 0").split())
            counters = [after.number(name) for name in ("succeeded", "failed", "skipped")]
            assert counters == [succeeded, failed, skipped]
            assert (after.failures, after.skips) == (before.failures[:failed], before.skips[:skipped])
            assert ("checkpoint" in before.job) or succeeded + failed + skipped == 0

    def a_refused_call_changes_nothing(self, step: Step) -> None:
        assert step.after == step.before or not step.refused
        old_fence = step.fence is not None and step.fence != step.before.number("fence")
        assert step.refused or not old_fence, "an old fence was let through"

    def rev_tells_what_a_reader_sees(self, step: Step) -> None:
        if step.after.visible() != step.before.visible():
            assert step.after.number("rev") > step.before.number("rev")
        elif step.refused or step.call in {"report DUPLICATE", "settle SUSPECT", "settle VACANT"}:
            assert step.after.number("rev") == step.before.number("rev")

    def expiry_alone_does_not_fence(self, step: Step) -> None:
        if step.before.running and step.fence == step.before.number("fence"):
            assert not step.call.endswith("FENCED")

    def one_holder_at_a_time(self, step: Step) -> None:
        fence = step.after.number("fence")
        moves = step.claimed_anew or step.call == "finish RELEASED"
        assert fence == step.before.number("fence") + moves
        if token := step.after.job.get("token"):
            assert self.holders.setdefault(fence, token) == token, "two hold the newest fence"

    def a_silent_worker_is_looked_at_twice(self, step: Step) -> None:
        if step.call == "settle SETTLED" or (step.claimed_anew and step.before.running):
            lease_end, window_ms = step.before.number("leaseExpiresAt"), step.before.number("takeoverMs")
            assert step.now >= lease_end
            assert self.first_look_at is not None, "nobody had looked"
            assert step.now - self.first_look_at >= GRACE_MS
            in_window = step.now < lease_end + window_ms
            cancelled = step.after.job["status"] == "cancelled"
            assert (step.claimed_anew or cancelled) == in_window, "the window was not kept to"
            assert not cancelled or "batchCancelRequested" in step.before.job
        if step.sign_of_life:
            self.first_look_at = None
            assert "suspectAt" not in step.after.job, "a sign of life left the mark"
        elif step.call == "finish RELEASED":
            self.first_look_at = 0  # its worker said so itself: no look is needed
        elif step.call == "settle SUSPECT" and self.first_look_at is None:
            self.first_look_at = step.now

    def a_job_without_a_worker_says_so(self, step: Step) -> None:
        awaits, awaited = "batchAwaitingWorker" in step.after.job, "batchAwaitingWorker" in step.before.job
        assert not awaits or step.after.running
        assert not awaits or "batchPaused" not in step.after.job, "nobody is there to pause"
        assert not awaits or "batchCancelRequested" not in step.after.job, "nobody is there to cancel"
        if awaits and not awaited:
            assert step.call in {"settle VACANT", "finish RELEASED"}
        if awaited and not awaits:
            assert step.sign_of_life or step.after.terminal
        if step.call == "control OK" and step.before.running and step.after.terminal:
            assert awaited, "a worker was not asked"
