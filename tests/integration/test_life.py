"""A job's life on a real Valkey: workers, takers and readers, in any order, at any moment, held against a model.

The calls go to `batchstatus.protocol.verbs` and the reads to JobStore. The store's clock stands still until a rule
moves it, so every answer, every stored field and every boundary is known to the millisecond. After each call
`life_model.Life` tells what the answer and the store must be, and `Rules` holds what was stored before and
after the call against the rules of a job's life, without the model.
"""

import json
import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count, cycle
from typing import Any

import pytest
import redis
from hypothesis import HealthCheck, Phase, event, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    rule,
    run_state_machine_as_test,
)
from redis.backoff import NoBackoff
from redis.retry import Retry

from batchstatus import JobStore, rows
from batchstatus.embedded import EmbeddedServer
from batchstatus.errors import (
    BatchStatusError,
    InvalidTransition,
    JobExists,
    JobNotFound,
    LeaseHeld,
    LeaseLost,
    ReportsLost,
)
from batchstatus.keys import Keys
from batchstatus.messages import Batch, Claim, Counts, Ending, Look, Reported, Verdict
from batchstatus.messages import Content as Given
from batchstatus.model import TERMINAL, TRANSITIONS, Action, Kind, Place, Status
from batchstatus.protocol import hashes, verbs
from batchstatus.settings import StoreSettings
from batchstatus.transport.connection import Connection
from tests.integration.life_model import (
    GRACE_MS,
    LEASE_MS,
    NOT_FOUND,
    Answer,
    Content,
    End,
    Holder,
    Life,
    Report,
)
from tests.support.set_clock import SetClockRedis

ORG = "org_acme"
START_MS = 1_800_000_000_000
RETENTION_MS = 1_000_000_000
AGED_MS = 500_000_000
"""The time to live that every key is given before each call; only a write renews it."""
NO_KEY = -2
"""What PTTL answers where there is no key."""
NOBODY = Holder(0, "none")

ERRORS = {
    "create TAKEN": JobExists,
    "claim HELD": LeaseHeld,
    "claim ENDED": InvalidTransition,
    "claim NOT_FOUND": JobNotFound,
    "report FENCED": LeaseLost,
    "report GAP": ReportsLost,
    "report NOT_FOUND": JobNotFound,
    "finish FENCED": LeaseLost,
    "finish GAP": ReportsLost,
    "finish NOT_FOUND": JobNotFound,
    "control ENDED": InvalidTransition,
    "control NOT_FOUND": JobNotFound,
    "settle NOT_FOUND": JobNotFound,
    "read NOT_FOUND": JobNotFound,
}
"""The answers that refuse, and the error that each of them becomes."""

PLACING = {"claim PLACE", "finish PLACE", "control PLACE", "settle PLACE"}
"""The answers that ask for a place in the index first."""


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
            assert [after.number(name) for name in ("succeeded", "failed", "skipped")] == [
                succeeded,
                failed,
                skipped,
            ]
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
            assert step.claimed_anew == (step.now < lease_end + window_ms), "the window was not kept to"
        if step.sign_of_life:
            self.first_look_at = None
            assert "suspectAt" not in step.after.job, "a sign of life left the mark"
        elif step.call == "finish RELEASED":
            self.first_look_at = 0  # its worker said so itself: no look is needed
        elif step.call == "settle SUSPECT" and self.first_look_at is None:
            self.first_look_at = step.now


@dataclass
class Worker:
    """A worker, and what it believes."""

    name: str
    tokens: list[str] = field(default_factory=list)
    token: str = "none"
    fence: int = 0
    seq: int = 0
    last_report: tuple[Holder, int, Report, bool] = (NOBODY, 0, Report(), False)
    last_end: tuple[Holder, End, int | None] = (NOBODY, End(Status.COMPLETED), None)


ROWS = {
    Kind.ENTITY_AUTOMATIC: {"taxId": "#", "type": "person", "code": "DUPLICATE_TAX_ID"},
    Kind.TRANSACTION_BATCH: {"externalId": "#", "code": "VALIDATION_ERROR"},
    Kind.USER_EVENT_BATCH: {"rowKey": "#", "code": "ENTITY_NOT_FOUND"},
}
FAILED_ROW = {kind: rows.encode(rows.failure(kind, row)) for kind, row in ROWS.items()}
SKIPPED_ROW = {kind: rows.encode(rows.skip(kind, row)) for kind, row in ROWS.items()}
FAILURE = '{"code":"WORKER_ERROR","message":"KeyError: id","details":{"row":3}}'

few = st.sampled_from([*[0] * 6, 1, 1, 1, 2, 3])
mostly = st.sampled_from([*[True] * 9, False])
who = st.sampled_from([*["holder"] * 16, 0, 1, 2, 3])
fences = st.sampled_from([*["its own"] * 12, "the one before", "one too high", "another's"])
contents = st.builds(
    Content,
    kind=st.sampled_from(Kind),
    total=st.sampled_from([*[None] * 5, 0, 1, 2, 3, 4, 5, 6, 6]),
    takeover_ms=st.sampled_from([0, GRACE_MS - 1, 20_000, 20_000, 60_000]),
)
jobs = st.fixed_dictionaries(
    {
        "content": contents,
        "max_rows": st.sampled_from([2, 3, 1_500, 1_000_000]),
        "begun": st.sampled_from([*["claimed"] * 8, "created", "created", "not at all", "not at all"]),
    }
)
reports = st.fixed_dictionaries(
    {
        "succeeded": few,
        "failed": few,
        "skipped": few,
        "total": st.sampled_from([*[None] * 12, 0, 3, 6]),
        "checkpoint": st.sampled_from([None, None, "0", "7", '""', '{"row":3}']),
        "covers": st.sampled_from([(9_999, 9_999, 9_999), (0, 0, 0)]) | st.tuples(few, few, few),
    }
)
ends = st.builds(
    End,
    status=st.sampled_from([Status.INTERRUPTED, Status.INTERRUPTED, *sorted(TERMINAL)]),
    worker_error=st.sampled_from([None, "KeyError: id"]),
    job_failure=st.sampled_from([None, FAILURE]),
)


@dataclass(frozen=True)
class Act:
    """Something that happens: a method of Lives, and its arguments."""

    name: str
    arguments: dict[str, Any]

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        """As hypothesis prints it: a call."""
        printer.text(f"{self.name}({', '.join(f'{name}={value!r}' for name, value in self.arguments.items())})")


ARGUMENTS = {
    "create": {"content": contents, "same": st.booleans(), "late": st.sampled_from([*[None] * 4, 0, 0, 1])},
    "claim": {
        "who": who,
        "token": st.sampled_from(["new", "new", "new", "last", "first"]),
        "heard": mostly,
        "placed": mostly,
    },
    "fall_silent": {
        "moment": st.sampled_from(["grace", "grace", "window"]),
        "beside_ms": st.sampled_from([-1, 0, 0, 1]),
        "taker": st.sampled_from([None, None, 0, 1, 2, 3]),
        "comes_back": st.sampled_from(["never", "never", "never", "to report", "to finish"]),
        "pausing": st.sampled_from([False, False, True]),
    },
    "give_back": {"ms": st.sampled_from([0, 0, -1, 19_999, 20_000]), "taker": st.sampled_from([0, 1, 2, 3])},
    "work": {"content": reports},
    "work_on_thousands": {
        "failed": st.sampled_from([999, 1_000, 1_001, 2_001]),
        "skipped": st.sampled_from([0, 1, 1_001]),
    },
    "report": {
        "who": who,
        "content": reports,
        "fence": fences,
        "step": st.sampled_from([*[1] * 8, 2, -1]),
        "fate": st.sampled_from([*["arrives"] * 4, "is lost", "arrives, its answer is lost"]),
    },
    "report_again": {"who": who},
    "heartbeat": {"who": who, "fence": fences, "paused": st.booleans()},
    "finish": {
        "who": who,
        "fence": fences,
        "end": ends,
        "then": st.none() | ends,
        "lost": st.sampled_from([None, None, None, 0, 0, 1]),
        "placed": st.booleans(),
    },
    "finish_again": {"who": who},
    "control": {
        "action": st.sampled_from([Action.PAUSE, Action.PAUSE, Action.RESUME, Action.CANCEL]),
        "placed": st.booleans(),
    },
    "control_and_heed": {"action": st.sampled_from(Action), "end": ends},
    "look": {
        "how": st.sampled_from(["settle", "settle", "get", "outcome", "outcome"]),
        "limit": st.sampled_from([1, 2, 500]),
        "placed": mostly,
    },
    "time_passes": {
        "ms": st.sampled_from(
            [1, GRACE_MS - 1, GRACE_MS, LEASE_MS, "lease", "grace", "window", -1, -GRACE_MS, -40_000]
        )
    },
}
"""What can happen, and how."""

WEIGHTS = {
    "time_passes": 5,  # the smallest comes first: hypothesis can drop such a step from a failing example
    "create": 2,
    "claim": 4,
    "fall_silent": 4,
    "give_back": 1,
    "work": 6,
    "work_on_thousands": 3,
    "report": 4,
    "report_again": 3,
    "heartbeat": 3,
    "finish": 3,
    "finish_again": 2,
    "control": 2,
    "control_and_heed": 2,
    "look": 5,
}


NAMES = st.sampled_from([name for name, weight in WEIGHTS.items() for _ in range(weight)])
ARGUMENTS_OF = {name: st.fixed_dictionaries(arguments) for name, arguments in ARGUMENTS.items()}


@st.composite
def acts(draw: st.DrawFn) -> Act:
    name = draw(NAMES)
    return Act(name, draw(ARGUMENTS_OF[name]))


class Lives(RuleBasedStateMachine):
    """Four workers, anyone who looks, and the clock; one job at a time, and the next when it has ended.

    All happens in one rule: of several rules, hypothesis leaves out about half in each example, and a takeover
    needs nearly all of what can happen.
    """

    def __init__(self, server: SetClockRedis, met: Counter[str]) -> None:
        super().__init__()
        self.server = server
        self.met = met
        server.flushall()
        server.now_ms = START_MS
        self.numbers = count(1)
        self.life: Life | None = None
        self.known_keys: set[str] = set()

    @property
    def running(self) -> bool:
        return self.life is not None and self.life.status is Status.RUNNING

    @property
    def now(self) -> int:
        return self.server.now_ms

    # What happens to a job

    @initialize(jobs=st.lists(jobs, min_size=1, max_size=6))
    def the_first_job(self, jobs: list[dict[str, Any]]) -> None:
        self.jobs = cycle(jobs)
        self.next_job(**next(self.jobs))

    def next_job(self, content: Content, max_rows: int, begun: str) -> None:
        self.job_id = f"job-{next(self.numbers)}"
        self.keys = Keys("batchstatus").job(ORG, self.job_id)
        self.known_keys |= {*self.keys}
        self.max_rows = max_rows
        times = {"lease_s": LEASE_MS / 1000, "grace_s": GRACE_MS / 1000, "retention_s": RETENTION_MS / 1000}
        self.connection = Connection(self.server, StoreSettings(max_rows=max_rows, **times))
        self.calls_when_over = 0
        self.rules = Rules(max_rows)
        self.life = None
        self.stored = self._look()
        self.workers = [Worker(name) for name in ("ann", "bob", "cat", "dan")]
        if begun != "not at all":
            self.create(content, same=True, late=1 if begun == "created" else None)
        if begun == "claimed":
            self.claim(0, "new", heard=True, placed=False)

    @rule(act=acts())
    def happens(self, act: Act) -> None:
        getattr(self, act.name)(**act.arguments)
        if self.calls_when_over > 5:
            self.next_job(**next(self.jobs))

    def create(self, content: Content, same: bool, late: int | None = None) -> None:
        """Make the job, which may have been entered into the index as long ago as that is good for, and `late`."""
        entered = self.now if late is None else self.now - verbs.FRESH_MS - late
        if self.life is None and late:
            answer = Answer("STALE")
        elif self.life is None:
            self.life = Life(ORG, self.job_id, content, entered, self.max_rows)
            answer = Answer("CREATED", self.life.fields(), wrote=True)
        else:
            content = self.life.content if same else content
            answer = self.life.created_again(content)
        made = self._call(
            "create",
            answer,
            lambda: verbs.create(self.connection, self.keys, ORG, self.job_id, _given(content), entered),
        )
        if answer.word == "STALE":
            assert made is None
            self.create(content, same)  # as its creator does, once it is entered anew
        elif answer.word != "TAKEN":
            assert made == self.life.job()

    def claim(self, who: str | int, token: str, heard: bool, placed: bool = True) -> None:
        worker = self._worker(who)
        if token == "new" or not worker.tokens:
            worker.tokens.append(f"{worker.name}-{next(self.numbers)}")
        token = worker.tokens[0 if token == "first" else -1]
        answer = self.life.claim(self.now, token, placed) if self.life else NOT_FOUND
        claim = self._call(
            "claim",
            answer,
            lambda: verbs.claim(self.connection, self.keys, token, Status.RUNNING if placed else ""),
        )
        if answer.word == "HELD":
            assert claim.left_s == answer.rest / 1000
        if answer.word == "OK":
            checkpoint = json.loads(self.life.checkpoint or "null")
            assert claim == Claim(self.life.job(), self.life.fence, token, self.life.seq, checkpoint)
            if heard:
                worker.fence, worker.token, worker.seq = claim.fence, token, claim.seq
        if answer.word == "PLACE":
            self.claim(self.workers.index(worker), "last", heard)

    def work(self, content: dict[str, Any]) -> None:
        self.report("holder", content, "its own", step=1, fate="arrives")

    def report(self, who: str | int, content: dict[str, Any], fence: str, step: int, fate: str) -> None:
        worker = self._worker(who)
        report = self._report_of(**content)
        worker.last_report = self._holder(worker, fence), max(0, worker.seq + step), report, False
        if fate != "is lost":
            self._report(worker, heard=fate == "arrives")

    def work_on_thousands(self, failed: int, skipped: int) -> None:
        if not self.running or self.life.total is not None or len(self.life.failures) > 1_000:
            return
        thousands = {
            "succeeded": 1,
            "failed": failed,
            "skipped": skipped,
            "checkpoint": '"many"',
            "covers": (0, 1_000, 1),
        }
        self.report("holder", thousands, "its own", step=1, fate="arrives")

    def report_again(self, who: str | int) -> None:
        self._report(self._worker(who), heard=True)

    def heartbeat(self, who: str | int, fence: str, paused: bool) -> None:
        worker = self._worker(who)
        worker.last_report = self._holder(worker, fence), worker.seq, Report(), paused
        self._report(worker, heard=True)

    def finish(
        self,
        who: str | int,
        fence: str,
        end: End,
        then: End | None,
        lost: int | None = None,
        placed: bool = True,
    ) -> None:
        """End the job, or give its lease back; and perhaps once more, the same or another way.

        With `lost` only if the store has all reports of the worker; it has lost so many of them.
        """
        worker = self._worker(who)
        seq = None if lost is None else worker.seq + lost
        worker.last_end = self._holder(worker, fence), end, seq
        self._finish(worker, placed)
        if then:
            worker.last_end = worker.last_end[0], then, worker.last_end[2]
            self._finish(worker)

    def finish_again(self, who: str | int) -> None:
        self._finish(self._worker(who))

    def control(self, action: Action, placed: bool = True) -> None:
        answer = self.life.control(self.now, action, placed) if self.life else NOT_FOUND
        there = Status.CANCELLED if placed else ""
        job = self._call(
            "control",
            answer,
            lambda: verbs.control(self.connection, self.keys, action, there),
        )
        assert answer.word != "OK" or job == self.life.job()
        if answer.word == "PLACE":
            self.control(action)  # as whoever is told so does, once it is placed

    def control_and_heed(self, action: Action, end: End) -> None:
        """Somebody asks for something; the holder hears of it, obeys a pause, and in the end finishes."""
        self.control(action, placed=False)
        self.heartbeat("holder", "its own", paused=action is Action.PAUSE)
        if action is Action.CANCEL:
            self.finish("holder", "its own", end, None)

    def settle(self, placed: bool = True) -> None:
        answer = self.life.settle(self.now, placed) if self.life else NOT_FOUND
        there = Status.INTERRUPTED if placed else ""
        found = self._call(
            "settle",
            answer,
            lambda: verbs.settle(self.connection, self.keys, there),
        )
        refused = f"settle {answer.word}" in {*ERRORS, *PLACING}
        assert refused or found == Look(Verdict(answer.word), answer.rest)

    def look(self, how: str, limit: int, placed: bool) -> None:
        if how == "settle":
            self.settle(placed)
        else:
            self.read(limit if how == "outcome" else None)

    def read(self, limit: int | None) -> None:
        """A reader settles a job past its lease, and gets it as it is then."""
        store = JobStore(self.server, StoreSettings(grace_s=GRACE_MS / 1000, retention_s=RETENTION_MS / 1000))
        verb, answer = "read", Answer("OK") if self.life else NOT_FOUND
        if self.life and self.life.past_lease(self.now):
            verb, answer = "settle", self.life.settle(self.now)
            self._met(f"a reader finds it {answer.word}")
        if limit is None:
            job = self._call(verb, answer, lambda: store.get(ORG, self.job_id))
        else:
            outcome = self._call(verb, answer, lambda: store.outcome(ORG, self.job_id, limit))
            job = outcome.job if self.life else outcome
        if self.life is None:
            return
        assert job == self.life.job()
        if limit:
            assert [*outcome.failures] == [json.loads(row) for row in self.life.stored_failures()[:limit]]
            assert [*outcome.skips] == [json.loads(row) for row in self.life.stored_skips()[:limit]]
            assert (outcome.failures_total, outcome.skips_total) == (job.failed, job.skipped)

    # What happens to the clock

    def time_passes(self, ms: int | str) -> None:
        """So many ms, or until a certain moment; a failover may set the store's clock back."""
        if isinstance(ms, str):
            self.time_passes_until(ms, 0)
        else:
            self.server.now_ms += ms

    def time_passes_until(self, moment: str, beside_ms: int) -> None:
        """Until the end of the lease, of the grace after the first look, or of the takeover window."""
        if self.life and self.life.lease_end is not None:
            grace_end = (self.life.suspect_at or self.now) + GRACE_MS
            window_end = self.life.lease_end + self.life.content.takeover_ms
            until = {"lease": self.life.lease_end, "grace": grace_end, "window": window_end}[moment]
            self.server.now_ms = max(self.now, until + beside_ms)

    def fall_silent(self, moment: str, beside_ms: int, taker: int | None, comes_back: str, pausing: bool) -> None:
        """The holder does; somebody looks after its lease; a taker or a reader comes; then it comes back."""
        silent = self.workers.index(self._worker("holder"))
        if pausing:
            self.control(Action.PAUSE)
            self.heartbeat("holder", "its own", paused=True)
        self.time_passes_until("lease", 0)
        self.settle()
        self.time_passes_until(moment, beside_ms)
        if taker is None:
            self.settle(placed=False)
            self.read(limit=None)
        else:
            self.claim(taker, "new", heard=True)
        if comes_back == "to report":
            self.report(silent, {"succeeded": 1, "failed": 0, "skipped": 0}, "its own", step=1, fate="arrives")
        elif comes_back == "to finish":
            self.finish(silent, "its own", End(Status.COMPLETED), None)

    def give_back(self, ms: int, taker: int) -> None:
        """The holder gives its lease back; a moment later another worker takes it, if it may."""
        self.finish("holder", "its own", End(Status.INTERRUPTED), None)
        self.time_passes(ms)
        self.claim(taker, "new", heard=True)

    def teardown(self) -> None:
        jobs_keys = {key.decode() for key in self.server.scan_iter("batchstatus:{*")}
        assert jobs_keys <= self.known_keys, "a key that nobody knows"
        self.server.flushall()

    # How it is done

    def _worker(self, who: str | int) -> Worker:
        newest = self.life.fence if self.life else 0
        holders = [worker for worker in self.workers if worker.fence == newest]
        return self.workers[who] if isinstance(who, int) else [*holders, self.workers[0]][0]

    def _holder(self, worker: Worker, which: str) -> Holder:
        """A fence that no other worker was given; or one that was, to a claim that the store has lost since."""
        newest = self.life.fence if self.life else 0
        fences = {"its own": worker.fence, "the one before": max(0, worker.fence - 1), "another's": newest}
        return Holder(fences.get(which, newest + 1), "lost" if which == "another's" else worker.token)

    def _right_of(self, holder: Holder) -> int:
        """The fence under which it may write; none that is any good where the token is another run's."""
        nobodys = self.life is None or (self.life.token is None and self.life.terminal)
        return holder.fence if nobodys or self.life.token == holder.token else -1

    def _report_of(
        self, succeeded: int, failed: int, skipped: int, covers: tuple[int, ...] = (0, 0, 0), **others: Any
    ) -> Report:
        kind = self.life.content.kind if self.life else Kind.TRANSACTION_BATCH
        failures = tuple(FAILED_ROW[kind].replace("#", f"F-{next(self.numbers)}") for _ in range(failed))
        skips = tuple(SKIPPED_ROW[kind].replace("#", f"S-{next(self.numbers)}") for _ in range(skipped))
        covered = tuple(map(min, covers, (succeeded, failed, skipped)))
        return Report(succeeded, failures, skips, covered=covered, **others)

    def _report(self, worker: Worker, *, heard: bool) -> None:
        holder, seq, report, paused = worker.last_report
        fence = self._right_of(holder)
        answer = self.life.report(self.now, holder, seq, report, paused) if self.life else NOT_FOUND
        reported = self._call(
            "report",
            answer,
            lambda: verbs.report(
                self.connection, self.keys, _claim_of(holder), seq, _batch(report), paused=paused
            ),
            fence,
        )
        if answer.wrote:
            assert reported == Reported(self.life.wanted, self.life.total)
            if heard and worker.fence == fence:
                worker.seq = seq
        if answer.word == "DUPLICATE" and report.rows:
            self._met("a duplicate of counted rows")
            if fence > 1:
                self._met("a duplicate after a takeover")

    def _finish(self, worker: Worker, placed: bool = True) -> None:
        holder, end, seq = worker.last_end
        fence = self._right_of(holder)
        cancels = self.life and self.life.cancelling and end.status is Status.COMPLETED
        becomes = Status.CANCELLED if cancels else end.status
        answer = self.life.finish(self.now, holder, end, seq, placed) if self.life else NOT_FOUND
        self._call(
            "finish",
            answer,
            lambda: verbs.finish(
                self.connection,
                self.keys,
                _claim_of(holder),
                Ending(end.status, end.worker_error, end.job_failure),
                seq,
                becomes if placed else "",
            ),
            fence,
        )
        if answer.word == "PLACE":
            self._finish(worker)
        if answer.word == "OK" and end.status != self.life.status:
            self._met("a finish repeated with another status")

    def _call(self, verb: str, answer: Answer, run: Callable[[], Any], fence: int | None = None) -> Any:
        """What the call gives or raises, after the answer and all that is stored are held against what must be."""
        before = self.stored
        self.calls_when_over += before.terminal
        self.server.answer = []
        try:
            result = run()
        except tuple(ERRORS.values()) as refusal:
            result = refusal
        self.stored = self._look()
        word, rest = answer[:2] if verb == "read" else _spoken(self.server.answer)
        step = Step(f"{verb} {word}", self.now, fence, before, self.stored)
        self.rules.check(step)
        assert (word, rest) == answer[:2]
        if step.call in PLACING:
            assert result == Place(self.life.content.kind, Status(answer.rest), self.life.created_at)
        else:
            assert type(result) is ERRORS[step.call] if step.refused else not isinstance(result, BatchStatusError)
        self._compare(step, answer.wrote)
        for landmark in (step.call, *_landmarks(step)):
            self._met(landmark)
        return result

    def _compare(self, step: Step, wrote: bool) -> None:
        life, after = self.life, step.after
        assert after.job == (life.fields() if life else {})
        assert after.failures == (life.stored_failures() if life else [])
        assert after.skips == (life.stored_skips() if life else [])
        if life:
            stored = {name.encode(): value.encode() for name, value in after.job.items()}
            assert hashes.decode(stored) == life.job()
        renewed = [ttl_ms > AGED_MS for ttl_ms in after.ttls_ms if ttl_ms != NO_KEY]
        assert renewed == [wrote] * len(renewed), "only a write renews the time to live, and it renews every key's"

    def _look(self) -> Stored:
        """What is stored; and age its keys, so that the next look sees whether they were written."""
        with self.server.pipeline(transaction=False) as pipeline:
            pipeline.hgetall(self.keys.job)
            pipeline.lrange(self.keys.failures, 0, -1)
            pipeline.lrange(self.keys.skips, 0, -1)
            for key in self.keys:
                pipeline.pttl(key)
            for key in self.keys:
                pipeline.pexpire(key, AGED_MS)
            job, failures, skips, *ttls_ms = pipeline.execute()[:6]
        fields = {name.decode(): value.decode() for name, value in job.items()}
        return Stored(fields, [row.decode() for row in failures], [row.decode() for row in skips], ttls_ms)

    def _met(self, landmark: str) -> None:
        self.met[landmark] += 1
        event(landmark)


def _given(content: Content) -> Given:
    """A content as the store is given it."""
    return Given(content.kind, content.total, content.metadata, content.takeover_ms, content.digest)


def _claim_of(holder: Holder) -> Claim:
    """The claim of who says that it holds a job; only its fence and token are sent."""
    nothing: Any = None
    return Claim(nothing, holder.fence, holder.token, seq=0, checkpoint=None)


def _batch(report: Report) -> Batch:
    """A report's content as the store is given it."""
    failures, skips = (tuple(map(json.loads, each)) for each in (report.failures, report.skips))
    checkpoint = None if report.checkpoint is None else json.loads(report.checkpoint)
    return Batch(report.succeeded, failures, skips, report.total, checkpoint, Counts(*report.covered))


def _spoken(answer: list[Any]) -> tuple[str, Any]:
    """An answer as Redis gave it, as the model words it."""
    word, rest = answer[0].decode(), answer[1] if len(answer) > 1 else None
    if isinstance(rest, list):
        texts = [text.decode() for text in rest]
        return word, dict(zip(texts[::2], texts[1::2], strict=True))
    return word, rest.decode() if isinstance(rest, bytes) else rest


LANDMARKS = {
    "a claim repeated",
    "a takeover",
    "a takeover of counted rows, from a checkpoint",
    "a takeover that drops rows which the checkpoint does not cover",
    "a takeover that drops rows without a checkpoint",
    "a takeover that drops only some of the stored rows",
    "a total that was too low",
    "a taker refused by a second look too early",
    "a taker refused after the window",
    "a lease given back, and taken",
    "a lease given back, not taken under a clock that went back",
    "a duplicate of counted rows",
    "a duplicate after a takeover",
    "a worker past its lease goes on",
    "a sign of life wipes a mark",
    "a sign of life under a clock that went back",
    "an old fence refused on a running job",
    "rows beyond the most that are stored",
    "a thousand rows and more in one report",
    "a finish repeated",
    "a finish repeated with another status",
    "a finish of a job that was settled",
    "a job with a takeover window is settled",
    "a job that was to be cancelled ends as that",
    "a pause is obeyed",
    "a paused job is taken over",
    "a queued job is cancelled at once",
    "a reader finds it SUSPECT",
    "a reader finds it VACANT",
    "a reader finds it SETTLED",
}


def _landmarks(step: Step) -> Iterator[str]:
    """What is worth meeting in this step; the words of the answers are met anyway."""
    before, after, now = step.before, step.after, step.now
    past_ms = now - before.number("leaseExpiresAt") if before.running else 0
    marked, window_ms = "suspectAt" in before.job, before.number("takeoverMs")
    if step.call == "claim OK" and not step.claimed_anew:
        yield "a claim repeated"
    if step.claimed_anew and before.running:
        yield "a takeover" if "token" in before.job else "a lease given back, and taken"
        if after.number("succeeded") and "checkpoint" in after.job:
            yield "a takeover of counted rows, from a checkpoint"
        if before.visible()[0] | {"batchPaused": None} != after.visible()[0] | {"batchPaused": None}:
            covered = "checkpoint" in after.job
            beyond = "which the checkpoint does not cover" if covered else "without a checkpoint"
            yield f"a takeover that drops rows {beyond}"
        if 0 < len(after.failures) < len(before.failures):
            yield "a takeover that drops only some of the stored rows"
    if step.call == "claim HELD" and marked:
        if 0 <= past_ms < window_ms:
            yield "a taker refused by a second look too early"
        if past_ms >= window_ms > 0:
            yield "a taker refused after the window"
        if past_ms < 0 and before.job["suspectAt"] == "0":
            yield "a lease given back, not taken under a clock that went back"
    if step.call in {"report OK", "report DUPLICATE"}:
        if marked:
            yield "a sign of life wipes a mark"
        if past_ms > 0:
            yield "a worker past its lease goes on"
        if now < before.number("heartbeatAt"):
            yield "a sign of life under a clock that went back"
    if step.call == "report OK" and 0 < before.number("totalItems") < after.number("totalItems"):
        yield "a total that was too low"
    if step.call == "report FENCED" and before.running:
        yield "an old fence refused on a running job"
    if after.number("failed") > len(after.failures) or after.number("skipped") > len(after.skips):
        yield "rows beyond the most that are stored"
    if len(after.failures) - len(before.failures) > 1_000:
        yield "a thousand rows and more in one report"
    if step.call == "finish OK" and before.terminal:
        yield "a finish repeated"
    if step.call == "finish OK" and after.job["status"] == "cancelled" and "batchCancelRequested" in before.job:
        yield "a job that was to be cancelled ends as that"
    if "batchPaused" in after.job and "batchPaused" not in before.job:
        yield "a pause is obeyed"
    if step.claimed_anew and "batchPaused" in before.job:
        yield "a paused job is taken over"
    if step.call == "control OK" and before.job["status"] == "queued" and after.terminal:
        yield "a queued job is cancelled at once"
    if step.call == "finish FENCED" and before.terminal and step.fence == before.number("fence"):
        yield "a finish of a job that was settled"
    if step.call == "settle SETTLED" and window_ms:
        yield "a job with a takeover window is settled"


def every_answer() -> set[str]:
    """Each word that the head of a script says it may answer, with its verb."""
    found = set()
    for verb in ("create", "claim", "report", "finish", "settle", "control"):
        source = getattr(verbs, verb.upper()).source
        returns = source.partition("-- RETURNS")[2].partition("-- WRITES")[0]
        found |= {f"{verb} {word}" for word in re.findall(r"\{'([A-Z_]+)'", returns)}
    return found


@pytest.fixture(scope="module")
def server() -> Iterator[SetClockRedis]:
    """A client that sets the clock of a real server of our own."""
    once = {"protocol": 2, "socket_timeout": 60, "retry": Retry(NoBackoff(), 0)}
    with EmbeddedServer() as embedded, SetClockRedis.from_url(embedded.url, **once) as client:
        yield client


def live(server: SetClockRedis, met: Counter[str], **how: Any) -> None:
    """Live so many lives (`max_examples`) of so many steps; `met` counts what was met."""
    chosen = settings(
        deadline=None,
        print_blob=True,
        report_multiple_bugs=False,
        suppress_health_check=[HealthCheck.too_slow],
        phases=set(Phase) - {Phase.explain},  # it traces every line, and a shrinking takes minutes
    )
    run_state_machine_as_test(lambda: Lives(server, met), settings=settings(chosen, **how))


@pytest.mark.timeout(600)  # finding the shortest life that shows a failure takes a while
def test_a_job_lives_as_the_model_says(server: SetClockRedis) -> None:
    """The same lives each time: the fast tier says the same of the same code."""
    live(server, Counter(), max_examples=12, stateful_step_count=25, derandomize=True)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_everything_that_can_happen_to_a_job_happens_and_is_as_the_model_says(server: SetClockRedis) -> None:
    """Other lives each time, until each answer of each script was given, and each landmark seen.

    Hypothesis gives the same lives each time where it finds itself in CI, unless it is told otherwise.
    """
    met: Counter[str] = Counter()
    for turn in count(1):
        live(server, met, max_examples=50, stateful_step_count=50, derandomize=False)
        missing = (every_answer() | LANDMARKS) - met.keys()
        if turn >= 2 and not missing:
            return
        assert turn < 6, f"never met in {turn} turns: {missing}"


def test_the_clock_that_counts_is_the_servers(server: SetClockRedis) -> None:
    """Above, the clock is set; here the scripts ask the server for the time."""
    server.flushall()
    client = redis.Redis(connection_pool=server.connection_pool)
    keys = Keys("batchstatus").job(ORG, "job-now")
    before = _server_time(client)
    created = JobStore(client).create(ORG, "transaction_batch", job_id="job-now")
    connection = Connection(client, StoreSettings(lease_s=LEASE_MS / 1000))
    claim = verbs.claim(connection, keys, "ann-1")
    claimed = claim.job
    verbs.report(connection, keys, claim, seq=0)
    reported = JobStore(client).get(ORG, "job-now")
    verbs.finish(connection, keys, claim, Ending(Status.COMPLETED))
    ended = JobStore(client).get(ORG, "job-now")
    after = _server_time(client)
    assert (
        before
        <= created.created_at
        <= claimed.heartbeat_at
        <= reported.heartbeat_at
        <= ended.completed_at
        <= after
    )
    assert reported.lease_expires_at - reported.heartbeat_at == timedelta(milliseconds=LEASE_MS)


def _server_time(client: "redis.Redis") -> datetime:
    seconds, microseconds = client.time()
    return datetime.fromtimestamp(seconds, UTC) + timedelta(milliseconds=microseconds // 1000)
