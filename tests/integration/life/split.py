"""A split job's life as it should be: each part lives as a job of its own does, and the job is their sum.

`SplitLife` is the model; `SplitLives` takes the same steps in the store, and holds what is stored against the
model after each. The store's clock stands still until an act moves it.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from batchstatus import JobStore
from batchstatus.model.errors import InvalidTransition, JobEnded, LeaseHeld, LeaseLost, ReportsLost
from batchstatus.model.job import TERMINAL, TRANSITIONS, Action, Job, Status
from batchstatus.model.keys import Keys
from batchstatus.model.messages import Batch, Claim, Counts, Ending, Look
from batchstatus.protocol import hashes
from batchstatus.settings import StoreSettings
from tests.integration.life.acts import FAILED_ROW, START_MS
from tests.integration.life.model import Life
from tests.integration.life.words import GRACE_MS, KINDS, LEASE_MS, Answer, Content, End, Holder, Report, moment
from tests.support.set_clock import SetClockRedis

ORG = "org_acme"
RETENTION_MS = 1_000_000_000
MAX_ROWS = 9
REFUSED = {
    "ENDED": JobEnded,
    "HELD": LeaseHeld,
    "FENCED": LeaseLost,
    "GAP": ReportsLost,
    "EMPTY": ReportsLost,
}
"""The answers that refuse, and the error that each of them becomes."""


@dataclass
class SplitLife:
    """The model of a split job: its parts' lives, by number, and what only the job has."""

    content: Content
    parts: int
    created_at: int
    lives: dict[int, Life] = field(default_factory=dict)
    status: Status = Status.QUEUED
    end: End | None = None
    completed_at: int | None = None
    pausing: bool = False
    cancelling: bool = False
    paused: bool = False
    rev: int = 1

    def __post_init__(self) -> None:
        self.total = self.content.total

    @property
    def ended(self) -> bool:
        return self.status in TERMINAL

    @property
    def at_work(self) -> list[Life]:
        return [life for life in self.lives.values() if life.status is Status.RUNNING and not life.awaiting]

    def step(self, now: int, number: int, verb: str, *arguments: Any) -> Answer:
        """Returns the answer to a step that is taken with a part, and takes it in the model."""
        life = self.lives.get(number)
        if self.ended and (life is None or not life.terminal):
            return Answer(
                *{"claim": ("ENDED", self.status), "settle": ("ENDED",)}.get(verb, ("FENCED", self.status))
            )
        if life is None:
            assert verb == "claim"
            part_of = Content(self.content.kind, None, self.content.takeover_ms)
            life = self.lives[number] = Life(ORG, "part", part_of, self.created_at, MAX_ROWS // self.parts, rev=0)
        if life.status in (Status.RUNNING, Status.QUEUED) and not self.ended:
            life.cancelling, life.pausing, life.paused = (
                self.cancelling,
                self.pausing,
                life.paused and self.pausing,
            )
        before = life.status, life.awaiting, life.rev
        answer: Answer = getattr(life, verb)(now, *arguments)
        if not self.ended and answer.wrote and answer.word != "SUSPECT":
            self.rev += life.rev - before[2]
            self._follow(now, life, *before[:2])
        return answer

    def look(self, now: int) -> None:
        """Look at the parts that are past their lease, or past their window."""
        for number, life in sorted(self.lives.items()):
            if not self.ended and life.status is Status.RUNNING and life.look_is_due(now):
                self.step(now, number, "settle")

    def control(self, now: int, action: Action) -> Answer:
        if self.ended:
            again = action is Action.CANCEL and self.status is Status.CANCELLED
            return Answer("OK") if again else Answer("ENDED", self.status)
        before = self.pausing, self.cancelling, self.status
        if action is not Action.CANCEL:
            self.pausing = action is Action.PAUSE
            self.paused = self.paused and self.pausing
        elif self.at_work:
            self.cancelling = True
        else:
            self._finish(End(Status.CANCELLED), max(now, self.heartbeat_at or self.created_at))
        self.rev += before != (self.pausing, self.cancelling, self.status)
        return Answer("OK")

    @property
    def heartbeat_at(self) -> int | None:
        return max((life.heartbeat_at for life in self.lives.values() if life.heartbeat_at), default=None)

    def job(self, job_id: str) -> Job:
        """The job as a reader has to see it."""
        lives, at_work = [*self.lives.values()], self.at_work
        shown = {
            "batchPaused": self.paused,
            "batchPauseRequested": self.pausing,
            "batchCancelRequested": self.cancelling,
            "batchAwaitingWorker": self.status is Status.RUNNING and not at_work,
        }
        counters = [sum(values) for values in zip(*(counters_of(life) for life in lives), strict=True)] or [0] * 3
        leases = [life.lease_end for life in at_work if life.lease_end]
        return Job(
            job_id=job_id,
            kind=self.content.kind,
            status=self.status,
            total_items=self.total,
            succeeded=counters[0],
            failed=counters[1],
            skipped=counters[2],
            heartbeat_at=moment(self.heartbeat_at),
            lease_expires_at=None if self.ended else moment(min(leases, default=None)),
            worker_error=self.end and self.end.worker_error,
            created_at=moment(self.created_at),
            completed_at=moment(self.completed_at),
            metadata={"fileName": "november.csv"} | {}
            if self.ended
            else {"fileName": "november.csv"} | flags(shown),
            rev=self.rev,
            parts=self.parts,
        )

    def _follow(self, now: int, life: Life, was: Status, was_awaiting: bool) -> None:
        """Let the job follow what has become of a part."""
        done = sum(life.done for life in self.lives.values())
        totals = [life.total for life in self.lives.values() if life.total is not None]
        if self.content.total is not None:
            self.total = max(self.total or 0, done)
        elif len(totals) == self.parts:
            self.total = sum(totals)
        if self.status is Status.QUEUED:
            self.status = Status.RUNNING
        self.paused = self.pausing and bool(self.at_work) and all(each.paused for each in self.at_work)
        if not life.terminal or was in TERMINAL:
            return
        if life.status is Status.COMPLETED:
            completed = [each for each in self.lives.values() if each.status is Status.COMPLETED]
            ends = len(completed) == self.parts and End(Status.COMPLETED)
        elif self.cancelling and (life.status is Status.CANCELLED or was_awaiting):
            ends = not self.at_work and End(Status.CANCELLED)
        else:
            ends = life.end if life.status is Status.FAILED else End(life.status)
        if ends:
            self._finish(ends, max(now, self.heartbeat_at or 0))

    def _finish(self, end: End, now: int) -> None:
        self.status, self.end, self.completed_at = end.status, end, now
        self.pausing = self.cancelling = self.paused = False


def counters_of(life: Life) -> tuple[int, int, int]:
    return life.succeeded, len(life.failures), len(life.skips)


def flags(shown: dict[str, object]) -> dict[str, bool]:
    return {name: True for name, is_set in shown.items() if is_set}


@dataclass
class Worker:
    """What a worker believes of its run of a part."""

    part: int = 1
    token: str = "none"
    claim: Claim | None = None
    seq: int = 0


class SplitLives:
    """Four workers and anyone who looks, at one split job after the other; each public method is an act."""

    def __init__(self, server: SetClockRedis) -> None:
        self._server, self.met, self._numbers = server, Counter[str](), count(1)
        server.flushall()
        server.now_ms = START_MS
        times = {"lease_s": LEASE_MS / 1000, "grace_s": GRACE_MS / 1000, "retention_s": RETENTION_MS / 1000}
        self.store = JobStore(server, StoreSettings(max_rows=MAX_ROWS, kinds=KINDS, **times))
        self.begin()

    @property
    def now(self) -> int:
        return self._server.now_ms

    def begin(self, parts: int = 3, content: Content | None = None, *, later: bool = False) -> None:
        """Make another job; split it with its creation, or later."""
        content = content or Content(takeover_ms=20_000)
        given: dict[str, Any] = {"total_items": content.total, "takeover_s": content.takeover_ms / 1000}
        given["metadata"] = {"fileName": "november.csv"}
        self.job_id = f"job-{next(self._numbers)}"
        create = self.store.create(ORG, content.kind, job_id=self.job_id, parts=None if later else parts, **given)
        if later:
            self.store.split(ORG, self.job_id, parts)
        self.life = SplitLife(content, parts, create.created_ms, rev=1 + later)
        self.workers = [Worker() for _ in range(4)]
        self._check()

    def claim(self, who: int = 0, part: int = 1, *, again: bool = False) -> None:
        """Claim a part; `again`: with the token of the last claim."""
        part = min(part, self.life.parts)
        worker = self.workers[who]
        part, token = (worker.part, worker.token) if again else (part, f"t-{next(self._numbers)}")
        answer = self.life.step(self.now, part, "claim", token)
        claim = self._call(answer, lambda: self._steps(part).claim(token))
        self.met[f"claim {answer.word}"] += 1
        if answer.word == "OK":
            self.met["takeover"] += not again and claim.attempt > 1
            life = self.life.lives[part]
            assert (claim.fence, claim.seq, claim.attempt) == (life.fence, life.seq, life.attempt)
            self.workers[who] = Worker(part, token, claim, claim.seq)

    def report(
        self,
        who: int = 0,
        rows: tuple[int, int, int] = (1, 0, 0),
        total: int | None = None,
        checkpoint: str | None = None,
        covers: tuple[int, int, int] = (9, 9, 9),
        step: int = 1,
        paused: bool = False,
    ) -> None:
        """Report rows as the report `step` after the last; without content and with `step` 0 a heartbeat."""
        worker = self.workers[who]
        if worker.claim is None:
            return
        failures, skips = (
            tuple(FAILED_ROW[self.life.content.kind].replace("#", f"F-{next(self._numbers)}") for _ in range(each))
            for each in rows[1:]
        )
        covered = tuple(min(given, counted) for given, counted in zip(covers, rows, strict=True))
        said = Report(rows[0], failures, skips, total, checkpoint, covered)
        seq = max(0, worker.seq + step)
        holder = Holder(worker.claim.fence, worker.token)
        answer = self.life.step(self.now, worker.part, "report", holder, seq, said, paused)
        batch = Batch(rows[0], shaped(failures), shaped(skips), total, checkpoint, Counts(*covered))
        claim = worker.claim
        self._call(answer, lambda: self._steps(worker.part).report(claim, seq, batch, paused=paused))
        self.met[f"report {answer.word}"] += 1
        if answer.wrote:
            worker.seq = seq

    def finish(self, who: int = 0, status: Status = Status.COMPLETED, error: str | None = None) -> None:
        """End a part, or give its lease back."""
        worker = self.workers[who]
        if worker.claim is None:
            return
        end = End(status, error)
        answer = self.life.step(self.now, worker.part, "finish", Holder(worker.claim.fence, worker.token), end)
        claim = worker.claim
        self._call(answer, lambda: self._steps(worker.part).finish(claim, Ending(status, error), None))
        self.met[f"finish {answer.word}"] += 1
        self.met[f"the job is {self.life.status}"] += 1

    def control(self, action: Action) -> None:
        """Ask the job for an action."""
        answer = self.life.control(self.now, action)
        self._call(answer, lambda: self.store.steps(ORG, self.job_id).control(action))

    def look(self) -> None:
        """Look at the job as a reaper does."""
        self.life.look(self.now)
        self._call(Answer("OK"), lambda: self.store.reader.look(ORG, self.job_id))
        self.met[f"the job is {self.life.status}"] += 1

    def settle(self, part: int) -> None:
        """Look at one part, as a worker does that waits for it."""
        part = min(part, self.life.parts)
        if part in self.life.lives:
            answer = self.life.step(self.now, part, "settle")
            self._call(answer, self._steps(part).settle)
            self.met[f"settle {answer.word}"] += 1

    def time_passes(self, ms: int) -> None:
        """Move the clock."""
        self._server.now_ms += ms

    def _steps(self, part: int) -> Any:
        return self.store.steps(ORG, self.job_id, part)

    def _call(self, answer: Answer, run: Callable[[], Any]) -> Any:
        """Returns the call's result, once the answer and all that is stored are as they must be."""
        refused = REFUSED.get(answer.word)
        try:
            result = run()
        except (InvalidTransition, LeaseHeld, LeaseLost, ReportsLost) as error:
            result = error
        found_out = answer.word == "ENDED" and isinstance(result, Look)
        assert type(result) is refused if refused and not found_out else not isinstance(result, Exception)
        self._check()
        return result

    def _check(self) -> None:
        """Hold what is stored against the model, and the job against the sum of its parts."""
        keys, life = Keys("batchstatus").parts(ORG, self.job_id), self.life
        server: Any = self._server
        stored = server.hgetall(keys.job)
        job = hashes.decode(stored, KINDS)
        wanted = life.job(self.job_id)
        assert job == wanted
        windows = [each.lease_end + life.content.takeover_ms for each in life.lives.values() if each.awaiting]
        ends_at = b"%d" % min(windows) if windows and not life.ended else None
        assert server.hget(keys.job, "windowEndsAt") == ends_at
        parts = [
            hashes.part(n, server.hmget(keys.part(n).job, hashes.PART), job) for n in range(1, life.parts + 1)
        ]
        for name in ("succeeded", "failed", "skipped"):
            assert sum(getattr(part, name) for part in parts) == getattr(job, name)
        for number, each in life.lives.items():
            part = parts[number - 1]
            assert (part.succeeded, part.failed, part.skipped) == counters_of(each)
            assert part.status is each.status or (job.terminal and not each.terminal)
            rows = [row.decode() for row in server.lrange(keys.part(number).failures, 0, -1)]
            assert rows == each.stored_failures()
        for key in server.scan_iter(f"{keys.job}*"):
            assert server.pttl(key) > 0, f"{key} has no time to live"
        for key in filter(server.exists, (keys.leases, keys.awaiting)):
            assert server.pttl(key) >= server.pttl(keys.job), f"{key} goes before its job"
        listed = {
            status
            for status in Status
            if server.zscore(Keys("batchstatus").index(ORG, job.kind, status), self.job_id)
        }
        assert job.status in listed <= {job.status} | TRANSITIONS[job.status]


def shaped(failures: tuple[str, ...]) -> tuple[dict[str, Any], ...]:
    return tuple(hashes.load_json({b"row": row.encode()}, b"row") for row in failures)
