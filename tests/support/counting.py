"""Counting without a store: an importer, a deliverer, and the sum of a series of batches."""

import json
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

from batchstatus import Job, Kind, Run, Status
from batchstatus.model.messages import Batch, Claim
from batchstatus.model.rows import Shaped
from batchstatus.settings import StoreSettings
from batchstatus.worker.outbox import Outbox

JOB = Job(
    job_id="j",
    kind=Kind.TRANSACTION_BATCH,
    status=Status.RUNNING,
    total_items=None,
    succeeded=0,
    failed=0,
    skipped=0,
    heartbeat_at=None,
    lease_expires_at=None,
    worker_error=None,
    created_at=datetime(2026, 11, 23, tzinfo=UTC),
    completed_at=None,
)


def counting_half_of_a_run(outbox: Outbox) -> Run:
    """Returns a run over `outbox` that counts but never reports: only the test takes from the outbox."""
    run = object.__new__(Run)
    run._outbox = outbox
    run._steps = SimpleNamespace(settings=StoreSettings())  # type: ignore[assignment]
    run._claim = Claim(job=JOB, fence=1, token="t", seq=0, checkpoint=None)
    return run


def rejected(name: object) -> dict[str, str]:
    """Returns a failed or skipped row with a unique id."""
    return {"externalId": str(name), "code": "VALIDATION_ERROR"}


@dataclass(frozen=True)
class Counted:
    """The sum of some batches, and what its checkpoint covers. Rows are identified by their ids."""

    succeeded: int = 0
    failures: tuple[str, ...] = ()
    skips: tuple[str, ...] = ()
    total_items: int | None = None
    checkpoint: Any = None
    kept: tuple[int, tuple[str, ...], tuple[str, ...]] = (0, (), ())

    def plus(self, batch: Batch) -> "Counted":
        """Returns the sum with one more batch. A total or checkpoint of None keeps the previous one."""
        failures = self.failures + tuple(map(name_of, batch.failures))
        skips = self.skips + tuple(map(name_of, batch.skips))
        kept = self.kept
        if batch.checkpoint is not None:
            assert batch.covered is not None
            succeeded, failed, skipped = batch.covered
            assert 0 <= succeeded <= batch.succeeded
            assert 0 <= failed <= len(batch.failures)
            assert 0 <= skipped <= len(batch.skips)
            before = len(self.failures), len(self.skips)
            kept = self.succeeded + succeeded, failures[: before[0] + failed], skips[: before[1] + skipped]
        return Counted(
            self.succeeded + batch.succeeded,
            failures,
            skips,
            self.total_items if batch.total_items is None else batch.total_items,
            self.checkpoint if batch.checkpoint is None else plain(batch.checkpoint),
            kept,
        )


def name_of(row: Shaped) -> str:
    """Returns the id of a row in a batch."""
    return str(row["externalId"])


def plain(checkpoint: Any) -> Any:
    """Returns a checkpoint as the importer gave it. A text can only be JSON: no test uses a text as checkpoint."""
    return json.loads(checkpoint) if isinstance(checkpoint, str) else checkpoint


@dataclass
class Importer:
    """Counts rows through a run, and records every state that the run passed through."""

    outbox: Outbox
    passed: list[Counted] = field(default_factory=lambda: [Counted()])
    rows: int = 0

    def __post_init__(self) -> None:
        self.run = counting_half_of_a_run(self.outbox)

    def do(self, verb: str, value: Any = 1, checkpoint: Any = None) -> None:
        """Count a row or set the total. The new state is recorded first: another thread may see it at once."""
        self.rows += 1
        before, name = self.passed[-1], str(self.rows)
        if verb == "succeeded":
            self._passes(replace(before, succeeded=before.succeeded + value), checkpoint)
            self.run.succeeded(value, checkpoint=checkpoint)
        elif verb == "failed":
            self._passes(replace(before, failures=(*before.failures, name)), checkpoint)
            self.run.failed(rejected(name), checkpoint=checkpoint)
        elif verb == "skipped":
            self._passes(replace(before, skips=(*before.skips, name)), checkpoint)
            self.run.skipped(rejected(name), checkpoint=checkpoint)
        else:
            self._passes(replace(before, total_items=value), None)
            self.run.total(value)

    def _passes(self, state: Counted, checkpoint: Any) -> None:
        covered = state.succeeded, state.failures, state.skips
        self.passed.append(state if checkpoint is None else replace(state, checkpoint=checkpoint, kept=covered))


@dataclass
class Deliverer:
    """Takes batches as the reporter does, and adds up what has arrived."""

    outbox: Outbox
    arrived: Counted = field(default_factory=Counted)
    batches: list[Batch] = field(default_factory=list)

    def deliver(self) -> Batch | None:
        """Take a batch and acknowledge it. Returns None if there was none."""
        batch = self.outbox.take()
        if batch is not None:
            self.arrived = self.arrived.plus(batch)
            self.batches.append(batch)
            self.outbox.sent()
        return batch

    def deliver_all(self) -> None:
        """Take and acknowledge batches until none is left."""
        while self.deliver():
            pass
