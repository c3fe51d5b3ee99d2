"""What workers and lookers do to a job: single calls, each by somebody who believes something."""

from collections import Counter
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from batchstatus.model import rows
from batchstatus.model.job import Action, Kind, Status
from batchstatus.protocol import verbs
from tests.integration.life.model import Life
from tests.integration.life.watched import WatchedJob
from tests.integration.life.words import KINDS, Content, End, Holder, Report
from tests.support.set_clock import SetClockRedis

START_MS = 1_800_000_000_000
NOBODY = Holder(0, "none")
ROWS: dict[str, dict[str, str]] = {
    Kind.ENTITY_AUTOMATIC: {"taxId": "#", "type": "person", "code": "DUPLICATE_TAX_ID"},
    Kind.TRANSACTION_BATCH: {"externalId": "#", "code": "VALIDATION_ERROR"},
    Kind.USER_EVENT_BATCH: {"rowKey": "#", "code": "ENTITY_NOT_FOUND"},
    "product_import": {"sku": "#", "code": "VALIDATION_ERROR"},
}
FAILED_ROW = {kind: rows.encode(rows.failure(KINDS[kind], row)) for kind, row in ROWS.items()}
SKIPPED_ROW = {kind: rows.encode(rows.skip(KINDS[kind], row)) for kind, row in ROWS.items()}
COMPLETED, GIVEN_BACK = End(Status.COMPLETED), End(Status.INTERRUPTED)


@dataclass
class Worker:
    """A worker, and what it believes."""

    name: str
    tokens: list[str] = field(default_factory=list)
    token: str = "none"
    fence: int = 0
    seq: int = 0
    last_report: tuple[Holder, int, Report, bool] = (NOBODY, 0, Report(), False)
    last_end: tuple[Holder, End, int | None] = (NOBODY, COMPLETED, None)


class Acts:
    """Four workers, and anyone who looks, on a store whose clock stands still; `met` counts landmarks.

    Each public method is an act. `who` is one of the workers, or "holder", whoever holds the newest fence; `fence`
    says under which fence a worker calls. Whoever is told to place the job first does so, and asks again.
    """

    def __init__(self, server: SetClockRedis) -> None:
        self._server = server
        server.flushall()
        server.now_ms = START_MS
        self.met: Counter[str] = Counter()
        self._numbers = count(1)
        self._known_keys: set[str] = set()
        self.next_job()

    @property
    def calls_when_over(self) -> int:
        """How many calls the job has had since its end."""
        return self._job.calls_when_over

    def next_job(self, max_rows: int = 1_000_000) -> None:
        """Go on to another job, which is not made yet, and to workers who know nothing."""
        self._job = WatchedJob(self._server, f"job-{next(self._numbers)}", max_rows, self.met)
        self._max_rows = max_rows
        self._known_keys |= {*self._job.keys}
        self._workers = [Worker(name) for name in ("ann", "bob", "cat", "dan")]

    def end(self) -> None:
        """Check that no key of a job is there that nobody knows, and empty the store."""
        jobs_keys = {key.decode() for key in self._server.scan_iter("batchstatus:{*")}
        self._server.flushall()
        assert jobs_keys <= self._known_keys, "a key that nobody knows"

    def create(self, content: Content | None = None, late_ms: int | None = None) -> None:
        """Make the job, the same again without `content`.

        With `late_ms`, it was entered into the index as long ago as that is good for, and so much longer.
        """
        content = content or (self._life.content if self._life else Content())
        entered_ms = self._now if late_ms is None else self._now - verbs.FRESH_MS - late_ms
        if self._job.create(content, entered_ms, late=bool(late_ms)).word == "STALE":
            self.create(content)  # as its creator does, once it is entered anew

    def claim(self, who: str | int = 0, token: str = "new", heard: bool = True, placed: bool = True) -> None:
        """Claim the job, with a new token, or the worker's first or last one; the answer may get lost."""
        worker = self._worker(who)
        if token == "new" or not worker.tokens:
            worker.tokens.append(f"{worker.name}-{next(self._numbers)}")
        token = worker.tokens[0 if token == "first" else -1]
        answer, claim = self._job.claim(token, placed=placed)
        if answer.word == "OK" and heard:
            worker.fence, worker.token, worker.seq = claim.fence, token, claim.seq
        if answer.word == "PLACE":
            self.claim(self._workers.index(worker), "last", heard)

    def report(
        self,
        who: str | int = "holder",
        content: dict[str, Any] | None = None,
        fence: str = "its own",
        step: int = 1,
        fate: str = "arrives",
    ) -> None:
        """Report one row or `content`, as the report `step` after the last; "is lost" is for `report_again`."""
        worker = self._worker(who)
        report = self._report_of(**(content or {"succeeded": 1}))
        worker.last_report = self._holder(worker, fence), max(0, worker.seq + step), report, False
        if fate != "is lost":
            self._report(worker, heard=fate == "arrives")

    def report_again(self, who: str | int = "holder") -> None:
        """Send a worker's last report again."""
        self._report(self._worker(who), heard=True)

    def heartbeat(self, who: str | int = "holder", fence: str = "its own", paused: bool = False) -> None:
        """Say that a worker lives, and perhaps that it obeys a pause."""
        worker = self._worker(who)
        worker.last_report = self._holder(worker, fence), worker.seq, Report(), paused
        self._report(worker, heard=True)

    def finish(
        self,
        who: str | int = "holder",
        fence: str = "its own",
        end: End = COMPLETED,
        then: End | None = None,
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
            worker.last_end = worker.last_end[0], then, seq
            self._finish(worker)

    def finish_again(self, who: str | int = "holder") -> None:
        """Repeat a worker's last finish."""
        self._finish(self._worker(who))

    def control(self, action: Action, placed: bool = True) -> None:
        """Ask for a pause, a resume or a cancel."""
        if self._job.control(action, placed=placed).word == "PLACE":
            self.control(action)

    def settle(self, placed: bool = True) -> None:
        """Look at the job as a reaper does."""
        self._job.settle(placed=placed)

    def read(self, limit: int | None = None) -> None:
        """Read the job, or with `limit` its rows too."""
        self._job.read(limit)

    @property
    def _life(self) -> Life | None:
        return self._job.life

    @property
    def _now(self) -> int:
        return self._server.now_ms

    @property
    def _newest(self) -> int:
        return self._life.fence if self._life else 0

    def _worker(self, who: str | int) -> Worker:
        holders = [worker for worker in self._workers if worker.fence == self._newest]
        return self._workers[who] if isinstance(who, int) else [*holders, self._workers[0]][0]

    def _holder(self, worker: Worker, which: str) -> Holder:
        """A fence that no other worker was given; or one that was, to a claim that the store has lost since."""
        fences = {"its own": worker.fence, "the one before": max(0, worker.fence - 1), "another's": self._newest}
        return Holder(fences.get(which, self._newest + 1), "lost" if which == "another's" else worker.token)

    def _report_of(
        self,
        succeeded: int = 0,
        failed: int = 0,
        skipped: int = 0,
        covers: tuple[int, int, int] = (0, 0, 0),
        **others: Any,
    ) -> Report:
        kind = self._life.content.kind if self._life else Kind.TRANSACTION_BATCH
        failures = tuple(FAILED_ROW[kind].replace("#", f"F-{next(self._numbers)}") for _ in range(failed))
        skips = tuple(SKIPPED_ROW[kind].replace("#", f"S-{next(self._numbers)}") for _ in range(skipped))
        covered = min(covers[0], succeeded), min(covers[1], failed), min(covers[2], skipped)
        return Report(succeeded, failures, skips, covered=covered, **others)

    def _report(self, worker: Worker, *, heard: bool) -> None:
        holder, seq, report, paused = worker.last_report
        fence = self._job.right_of(holder)
        answer = self._job.report(holder, seq, report, paused=paused)
        if answer.wrote and heard and worker.fence == fence:
            worker.seq = seq

    def _finish(self, worker: Worker, placed: bool = True) -> None:
        holder, end, seq = worker.last_end
        if self._job.finish(holder, end, seq, placed=placed).word == "PLACE":
            self._finish(worker)
