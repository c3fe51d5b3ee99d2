"""The job: its kinds, its statuses, the transitions between them, and the values that a reader gets.

No input or output happens here. The names on the wire are in `batchstatus.schemas`, the names in Redis in
`batchstatus.protocol.hashes`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any, NamedTuple, TypeAlias

from batchstatus.model.progress import Noted, Progress, estimate

Row: TypeAlias = Mapping[str, Any]
"""A failed or skipped row in its wire format, such as `{"externalId": "T-7", "code": …, "message": …}`."""

CONTROL_FLAGS = ("batchCancelRequested", "batchPauseRequested", "batchPaused", "batchAwaitingWorker")
"""The flags that are added to a job's metadata, with the value `true`; a creator may not set them."""

_EPOCH, _MILLISECOND = datetime(1970, 1, 1, tzinfo=UTC), timedelta(milliseconds=1)

MAX_COUNT = 2**53 - 1
"""The largest row count: the largest integer that every JSON parser reads exactly (RFC 8259 §6)."""


MAX_PARTS = 1_000
"""The largest number of parts of a job."""

MAX_PAGE = 100
"""The largest number of jobs on one page, and of ids in one request."""


class Kind(StrEnum):
    """The kinds of the published API. Other kinds are declared (`model.kinds`), and named by plain text."""

    ENTITY_AUTOMATIC = "entity_automatic"
    TRANSACTION_BATCH = "transaction_batch"
    USER_EVENT_BATCH = "user_event_batch"


class Status(StrEnum):
    """The state of a job in its life."""

    QUEUED = "queued"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    INTERRUPTED = "interrupted"


class Action(StrEnum):
    """The actions that control may ask of a job."""

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
"""Every legal transition; `running → running` is a takeover by another worker."""

TERMINAL = frozenset(status for status, following in TRANSITIONS.items() if not following)
"""The statuses that are final."""


def moment(milliseconds: int) -> datetime:
    """Returns the time that is so many milliseconds after the epoch, in UTC."""
    return datetime.fromtimestamp(milliseconds / 1000, UTC)


def time_text(moment: datetime | None) -> str | None:
    """Returns a time in UTC as on the wire, such as `2026-11-23T15:04:05.123Z`; None for None."""
    # The offset of UTC is the six characters +00:00.
    return None if moment is None else f"{moment.isoformat(timespec='milliseconds')[:-6]}Z"


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
    """A snapshot of a job. Times are aware and in UTC; counters count rows.

    `kind` is a `Kind` for the published kinds, plain text for any other.

    `total_items` is None until the rows are counted; `completed_at` is set once the status is terminal; `rev`
    goes up by one with every change that a reader can see (a bare heartbeat is none), and is 0 on a job that was
    read over HTTP. `parts` is into how many parts the job is split; None for a job of one worker, and over HTTP.
    `pace` is what `progress` is made of: as the store has noted it, or as a service has answered.
    """

    job_id: str
    kind: Kind | str
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
    parts: int | None = None
    pace: Noted | Progress = field(default=Noted(), repr=False, compare=False)

    @property
    def created_ms(self) -> int:
        """The creation time in milliseconds since the epoch."""
        return (self.created_at - _EPOCH) // _MILLISECOND

    @property
    def done(self) -> int:
        """The number of rows that have an outcome: succeeded, failed or skipped."""
        return self.succeeded + self.failed + self.skipped

    @property
    def progress(self) -> Progress:
        """The pace of the present claim and the time left, as of `heartbeat_at`; what is not known is None."""
        if isinstance(self.pace, Progress):
            return self.pace
        works = self.status is Status.RUNNING and not {"batchPaused", "batchAwaitingWorker"} & self.metadata.keys()
        heartbeat_at = self.heartbeat_at if works else None
        at_ms = None if heartbeat_at is None else (heartbeat_at - _EPOCH) // _MILLISECOND
        return estimate(self.pace, at_ms, self.done, self.total_items)

    @property
    def flags(self) -> list[str]:
        """The control flags in the metadata, in the order of CONTROL_FLAGS."""
        return [flag for flag in CONTROL_FLAGS if flag in self.metadata]

    @property
    def state(self) -> str:
        """The status and, after dots, the control flags: `running`, `running.batchPauseRequested` …"""
        return ".".join([self.status, *self.flags])

    @property
    def terminal(self) -> bool:
        """True if the status is final."""
        return self.status in TERMINAL

    def to_dict(self) -> dict[str, Any]:
        """Returns the job as the service answers it, for JSON: the wire's names, times as text."""
        wire: dict[str, Any] = {
            "jobId": self.job_id,
            "kind": str(self.kind),
            "status": str(self.status),
            "totalItems": self.total_items,
            "succeeded": self.succeeded,
            "failed": self.failed,
            "skipped": self.skipped,
            "heartbeatAt": time_text(self.heartbeat_at),
            "leaseExpiresAt": time_text(self.lease_expires_at),
            "workerError": self.worker_error,
            "createdAt": time_text(self.created_at),
            "completedAt": time_text(self.completed_at),
            "metadata": dict(self.metadata),
        }
        if self.job_failure is not None:
            failure, details = self.job_failure, self.job_failure.details
            wire["jobFailure"] = {"code": failure.code, "message": failure.message}
            wire["jobFailure"] |= {} if details is None else {"details": details}
        return wire


@dataclass(frozen=True, slots=True)
class Part:
    """A part of a split job: `part` is its number, from 1. All else as for a job of its own."""

    part: int
    status: Status
    total_items: int | None
    succeeded: int
    failed: int
    skipped: int
    heartbeat_at: datetime | None
    lease_expires_at: datetime | None


class Place(NamedTuple):
    """A job's place in its organization's index; `created_ms` is its creation time in ms since the epoch."""

    kind: Kind | str
    status: Status
    created_ms: int


@dataclass(frozen=True, slots=True)
class Page:
    """Jobs of an organization, newest first, and the cursor of the next page; None on the last page."""

    jobs: tuple[Job, ...]
    next_cursor: str | None


@dataclass(frozen=True, slots=True)
class Outcome:
    """A job with its first failed and skipped rows, read as one consistent snapshot.

    `rows_lost` is how many of the job's rows had been stored and are gone, by eviction or by hand.
    """

    job: Job
    failures: tuple[Row, ...]
    skips: tuple[Row, ...]
    rows_lost: int = 0

    @property
    def truncated(self) -> bool:
        """True if more rows failed than `failures` holds."""
        return self.job.failed > len(self.failures)

    @property
    def failures_total(self) -> int:
        """The number of failed rows, stored or not."""
        return self.job.failed

    @property
    def skips_total(self) -> int:
        """The number of skipped rows, stored or not."""
        return self.job.skipped
