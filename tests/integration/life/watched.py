"""A job whose every call, answer and stored field is held against the model and the rules."""

import json
from collections import Counter
from collections.abc import Callable
from typing import Any

from batchstatus import JobStore
from batchstatus.model.errors import BatchStatusError
from batchstatus.model.job import TRANSITIONS, Action, Job, Place, Status
from batchstatus.model.keys import Keys
from batchstatus.model.messages import Batch, Claim, Counts, Ending, Look, Reported, Verdict
from batchstatus.model.messages import Content as Given
from batchstatus.protocol import hashes, verbs
from batchstatus.protocol.at_once import AtOnce
from batchstatus.protocol.script import Sender
from batchstatus.settings import StoreSettings
from batchstatus.transport.connection import Connection
from tests.integration.life.landmarks import landmarks
from tests.integration.life.model import Life
from tests.integration.life.rules import ERRORS, PLACING, Rules, Step, Stored
from tests.integration.life.words import (
    GRACE_MS,
    KINDS,
    LEASE_MS,
    NOT_FOUND,
    Answer,
    Content,
    End,
    Holder,
    Report,
)
from tests.support.set_clock import SetClockRedis

ORG = "org_acme"
RETENTION_MS = 1_000_000_000
AGED_MS = 500_000_000
"""The time to live that every key is given before each call; only a write renews it."""
NO_KEY = -2
"""What PTTL answers where there is no key."""


class WatchedJob:
    """A job, made or not yet. Each method makes one call and returns the answer that the model gave too."""

    def __init__(self, server: SetClockRedis, job_id: str, max_rows: int, met: Counter[str]) -> None:
        self._server, self._max_rows, self._met = server, max_rows, met
        self.job_id, self.keys = job_id, Keys("batchstatus").job(ORG, job_id)
        times = {"lease_s": LEASE_MS / 1000, "grace_s": GRACE_MS / 1000, "retention_s": RETENTION_MS / 1000}
        self._settings = StoreSettings(max_rows=max_rows, kinds=KINDS, **times)
        self._connection = Connection(server, self._settings)
        self._rules = Rules(max_rows)
        self._stored = self._look()
        self.life: Life | None = None
        self.calls_when_over = 0
        self._places_itself = False

    def create(self, content: Content, entered_ms: int, *, late: bool) -> Answer:
        """Make the job, which was entered into the index at `entered_ms`; `late`: too long ago."""
        if self.life:
            answer = self.life.created_again(content)
        elif late:
            answer = Answer("STALE")
        else:
            self.life = Life(ORG, self.job_id, content, entered_ms, self._max_rows)
            answer = Answer("CREATED", self.life.fields(), wrote=True)
        given = Given(content.kind, content.total, content.metadata, content.takeover_ms, content.digest)
        made = self._call("create", answer, lambda: verbs.create(*self._at, ORG, self.job_id, given, entered_ms))
        if answer.word != "TAKEN":
            assert made == (None if answer.word == "STALE" else self._seen)
        return answer

    def claim(self, token: str, *, placed: bool) -> tuple[Answer, Claim]:
        """Claim the job; `placed`: it is in the index of the running jobs."""
        answer = self.life.claim(self._now, token, placed) if self.life else NOT_FOUND
        way, there = self._way(Status.RUNNING, placed)
        claim = self._call("claim", answer, lambda: verbs.claim(way, self.keys, token, there))
        if answer.word == "HELD":
            assert claim.left_s == answer.rest / 1000
        if self.life and answer.word == "OK":
            checkpoint = json.loads(self.life.checkpoint or "null")
            seq, attempt, window_ms = self.life.seq, self.life.attempt, self.life.content.takeover_ms
            assert claim == Claim(self._seen, self.life.fence, token, seq, checkpoint, attempt, window_ms)
        return answer, claim

    def report(self, holder: Holder, seq: int, report: Report, *, paused: bool) -> Answer:
        """Report under a fence and a token; without content, the last report again or a heartbeat."""
        fence = self.right_of(holder)
        answer = self.life.report(self._now, holder, seq, report, paused) if self.life else NOT_FOUND
        claim, batch = _claim_of(holder), _batch(report)
        reported = self._call(
            "report", answer, lambda: verbs.report(*self._at, claim, seq, batch, paused=paused), fence
        )
        assert not answer.wrote or (self.life and reported == Reported(self.life.wanted, self.life.total))
        if answer.word == "DUPLICATE" and report.rows:
            self._met["a duplicate of counted rows"] += 1
            self._met["a duplicate after a takeover"] += fence > 1
        return answer

    def finish(self, holder: Holder, end: End, seq: int | None, *, placed: bool) -> Answer:
        """End the job, or give its lease back; with `seq`, only if the store has that report."""
        fence, was_over = self.right_of(holder), self._stored.terminal
        given_back = end.status is Status.INTERRUPTED and self.life and self.life.content.takeover_ms
        cancels = self.life and self.life.cancelling and (end.status is Status.COMPLETED or given_back)
        answer = self.life.finish(self._now, holder, end, seq, placed) if self.life else NOT_FOUND
        way, there = self._way(Status.CANCELLED if cancels else end.status, placed)
        claim, ending = _claim_of(holder), Ending(end.status, end.worker_error, end.job_failure)
        self._call("finish", answer, lambda: verbs.finish(way, self.keys, claim, ending, seq, there), fence)
        if answer.word == "OK" and was_over and end.status != answer.rest:
            self._met["a finish repeated with another status"] += 1
        if answer.word == "OK" and not was_over and given_back:
            self._met["a lease of a job that was to be cancelled is given back"] += 1
        return answer

    def control(self, action: Action, *, placed: bool) -> Answer:
        """Ask for an action; `placed`: the job is in the index of the cancelled jobs."""
        answer = self.life.control(self._now, action, placed) if self.life else NOT_FOUND
        way, there = self._way(Status.CANCELLED, placed)
        job = self._call("control", answer, lambda: verbs.control(way, self.keys, action, there))
        assert answer.word != "OK" or job == self._seen
        return answer

    def settle(self, *, placed: bool) -> Answer:
        """Look at the job; `placed`: it is in the index of the status as which it ends if its worker is dead."""
        ends_as = self.life.dies_as(self._now) if self.life and self.life.lease_end else Status.INTERRUPTED
        answer = self.life.settle(self._now, placed) if self.life else NOT_FOUND
        way, there = self._way(ends_as, placed)
        found = self._call("settle", answer, lambda: verbs.settle(way, self.keys, there))
        refused = f"settle {answer.word}" in {*ERRORS, *PLACING}
        assert refused or found == Look(Verdict(answer.word), answer.rest)
        return answer

    def read(self, limit: int | None) -> Answer:
        """Be a reader of the job, or with `limit` of its rows too: one past its lease is settled first."""
        store = JobStore(self._server, self._settings)
        verb, answer = "read", Answer("OK") if self.life else NOT_FOUND
        if self.life and self.life.look_is_due(self._now):
            verb, answer = "settle", self.life.settle(self._now)
            self._met[f"a reader finds it {answer.word}"] += 1
        if limit is None:
            found = self._call(verb, answer, lambda: store.get(ORG, self.job_id))
            assert self.life is None or found == self._seen
            return answer
        found = self._call(verb, answer, lambda: store.outcome(ORG, self.job_id, limit))
        if self.life:
            assert found.job == self._seen
            assert [*found.failures] == [json.loads(row) for row in self.life.stored_failures()[:limit]]
            assert [*found.skips] == [json.loads(row) for row in self.life.stored_skips()[:limit]]
            assert (found.failures_total, found.skips_total) == (self._seen.failed, self._seen.skipped)
            assert found.rows_lost == 0
        return answer

    def right_of(self, holder: Holder) -> int:
        """Returns the fence under which it may write; -1 where the token is another run's."""
        is_nobodys = self.life is None or (self.life.token is None and self.life.terminal)
        return holder.fence if is_nobodys or (self.life and self.life.token == holder.token) else -1

    @property
    def _now(self) -> int:
        return self._server.now_ms

    @property
    def _at(self) -> tuple[Connection, Any]:
        return self._connection, self.keys

    def _way(self, status: Status, placed: bool) -> tuple[Sender, str]:
        """Returns how to send a call, and as what it is `placed`: every other change places the job by itself."""
        self._places_itself = placed and bool(self.life and self.life.rev % 2 == 0)
        if not self._places_itself:
            return self._connection, status if placed else ""
        index = [self._index(kind, each) for kind in KINDS.names for each in Status]
        return AtOnce(
            self._connection, self.job_id, index, self._connection.keys.lease_entry(ORG, self.job_id)
        ), ""

    @property
    def _seen(self) -> Job:
        """The job as a reader has to see it."""
        assert self.life is not None
        return self.life.job()

    def _call(self, verb: str, answer: Answer, run: Callable[[], Any], fence: int | None = None) -> Any:
        """Returns the call's result or error, once the answer and all that is stored are as they must be."""
        before = self._stored
        self.calls_when_over += before.terminal
        self._server.answer = []
        try:
            result = run()
        except tuple(ERRORS.values()) as refusal:
            result = refusal
        self._stored = self._look()
        word, rest = answer[:2] if verb == "read" else _spoken(self._server.answer)
        step = Step(f"{verb} {word}", self._now, fence, before, self._stored)
        self._rules.check(step)
        assert (word, rest) == answer[:2]
        if step.call in PLACING:
            assert self.life is not None
            assert result == Place(self.life.content.kind, Status(answer.rest), self.life.created_at)
        else:
            assert type(result) is ERRORS[step.call] if step.refused else not isinstance(result, BatchStatusError)
        self._compare(step.after, answer.wrote)
        if self._places_itself and before.job.get("status") != self._stored.job.get("status"):
            self._is_listed_once()
        self._met.update((step.call, *landmarks(step)))
        return result

    def _compare(self, after: Stored, wrote: bool) -> None:
        life = self.life
        assert after.job == (life.fields() if life else {})
        assert after.failures == (life.stored_failures() if life else [])
        assert after.skips == (life.stored_skips() if life else [])
        if life:
            stored = {name.encode(): value.encode() for name, value in after.job.items()}
            assert hashes.decode(stored, KINDS) == life.job()
        renewed = [ttl_ms > AGED_MS for ttl_ms in after.ttls_ms if ttl_ms != NO_KEY]
        assert renewed == [wrote] * len(renewed), "only a write renews the time to live, and it renews every key's"

    def _is_listed_once(self) -> None:
        """Check that a job that has placed itself is in the index of its status, and of none that it has left."""
        assert self.life is not None
        found = {
            each: self._server.zscore(self._index(self.life.content.kind, each), self.job_id) for each in Status
        }
        assert found[self.life.status] == self.life.created_at
        gone = set(Status) - {self.life.status} - TRANSITIONS[self.life.status]
        assert [each for each in gone if found[each] is not None] == []
        self._met[f"places itself: {self.life.status}"] += 1

    @staticmethod
    def _index(kind: str, status: Status) -> str:
        return Keys("batchstatus").index(ORG, kind, status)

    def _look(self) -> Stored:
        """Returns what is stored, and ages its keys, so that the next look sees whether they were written."""
        with self._server.pipeline(transaction=False) as pipeline:
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


def _claim_of(holder: Holder) -> Claim:
    """Returns a claim with the holder's fence and token; nothing else of it is sent."""
    nothing: Any = None
    return Claim(nothing, holder.fence, holder.token or "", seq=0, checkpoint=None)


def _batch(report: Report) -> Batch:
    """Returns a report's content as the store is given it."""
    failures, skips = (tuple(map(json.loads, each)) for each in (report.failures, report.skips))
    checkpoint = None if report.checkpoint is None else json.loads(report.checkpoint)
    return Batch(report.succeeded, failures, skips, report.total, checkpoint, Counts(*report.covered))


def _spoken(answer: list[Any]) -> tuple[str, Any]:
    """Returns an answer as Redis gave it, in the model's words."""
    word, rest = answer[0].decode(), answer[1] if len(answer) > 1 else None
    if isinstance(rest, list):
        texts = [text.decode() for text in rest]
        return word, dict(zip(texts[::2], texts[1::2], strict=True))
    return word, rest.decode() if isinstance(rest, bytes) else rest
