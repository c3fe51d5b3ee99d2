"""What a job is: its kinds, its statuses, the transitions between them, and what a reader gets.

Nothing in here does input or output. The names on the wire are in `schemas`, those in Redis in
`batchstatus.protocol.hashes`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any, NamedTuple, TypeAlias

Row: TypeAlias = Mapping[str, Any]
"""A failed or skipped row in its wire shape, such as `{"externalId": "T-7", "code": …, "message": …}`."""

CONTROL_FLAGS = ("batchCancelRequested", "batchPauseRequested", "batchPaused")
"""What control adds to a job's metadata, as `true`; a creator must not set them."""

_EPOCH, _MILLISECOND = datetime(1970, 1, 1, tzinfo=UTC), timedelta(milliseconds=1)

MAX_COUNT = 2**53 - 1
"""The largest row count: the largest integer that JSON carries exactly everywhere (RFC 8259 §6)."""


MAX_PAGE = 100
"""The most jobs of one page, or of one question for several."""


class Kind(StrEnum):
    """What a job imports."""

    ENTITY_AUTOMATIC = "entity_automatic"
    TRANSACTION_BATCH = "transaction_batch"
    USER_EVENT_BATCH = "user_event_batch"


class Status(StrEnum):
    """Where a job is in its life."""

    QUEUED = "queued"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    INTERRUPTED = "interrupted"


class Action(StrEnum):
    """What control may ask of a job."""

    PAUSE = "pause"
    RESUME = "resume"
    CANCEL = "cancel"


TRANSITIONS: Mapping[Status, frozenset[Status]] = {
    Status.QUEUED: frozenset({Status.RUNNING, Status.CANCELLED}),
    Status.RUNNING: frozenset(
        {Status.RUNNING, Status.COMPLETED, Status.FAILED, Status.CANCELLED, Status.INTERRUPTED}
    ),
    Status.COMPLETED: frozenset(),
    Status.FAILED: frozenset(),
    Status.CANCELLED: frozenset(),
    Status.INTERRUPTED: frozenset(),
}
"""Every legal step of a job's life; `running → running` is a takeover by another worker."""

TERMINAL = frozenset(status for status, following in TRANSITIONS.items() if not following)
"""The statuses that are final."""


@dataclass(frozen=True, slots=True)
class JobFailure:
    """The stable reason why a whole job was aborted.

    `code` is machine-readable (`^[A-Z][A-Z0-9_]{1,63}$`), `message` is for people, `details` is any JSON.
    """

    code: str
    message: str
    details: Any = None


@dataclass(frozen=True, slots=True)
class Job:
    """A job as it stood at one moment. Times are aware and UTC; counters are rows.

    `total_items` is None while the rows are not counted yet; `completed_at` is set once the status is
    terminal; `rev` goes up by one with every change that a reader can see (a bare heartbeat is none), and
    is 0 on a job that came over HTTP.
    """

    job_id: str
    kind: Kind
    status: Status
    total_items: int | None
    succeeded: int
    failed: int
    skipped: int
    heartbeat_at: datetime | None
    lease_expires_at: datetime | None
    worker_error: str | None
    created_at: datetime
    completed_at: datetime | None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    job_failure: JobFailure | None = None
    rev: int = 0

    @property
    def created_ms(self) -> int:
        """When it was created, in milliseconds since the epoch."""
        return (self.created_at - _EPOCH) // _MILLISECOND

    @property
    def done(self) -> int:
        """The rows that have an outcome: succeeded, failed or skipped."""
        return self.succeeded + self.failed + self.skipped

    @property
    def flags(self) -> list[str]:
        """The control flags in its metadata, in the order of CONTROL_FLAGS."""
        return [flag for flag in CONTROL_FLAGS if flag in self.metadata]

    @property
    def state(self) -> str:
        """The status and, after dots, the control flags: `running`, `running.batchPauseRequested` …"""
        return ".".join([self.status, *self.flags])

    @property
    def terminal(self) -> bool:
        """Whether the status is final."""
        return self.status in TERMINAL


class Place(NamedTuple):
    """Where a job belongs in its organization's index; the time is its `created_at` in ms since the epoch."""

    kind: Kind
    status: Status
    created_ms: int


@dataclass(frozen=True, slots=True)
class Page:
    """Jobs of an organization, newest first, and the cursor of the next page; None if this is the last."""

    jobs: tuple[Job, ...]
    next_cursor: str | None


@dataclass(frozen=True, slots=True)
class Outcome:
    """A job together with its first failed and skipped rows, all of one moment."""

    job: Job
    failures: tuple[Row, ...]
    skips: tuple[Row, ...]

    @property
    def truncated(self) -> bool:
        """Whether more rows failed than `failures` holds."""
        return self.job.failed > len(self.failures)

    @property
    def failures_total(self) -> int:
        """How many rows failed, stored or not."""
        return self.job.failed

    @property
    def skips_total(self) -> int:
        """How many rows were skipped, stored or not."""
        return self.job.skipped
