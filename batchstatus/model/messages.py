"""What passes between a worker and the store: a new job, claims, reports, ends, and looks at leases."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, NamedTuple, Protocol, Self, TypeAlias

from batchstatus.model import values
from batchstatus.model.job import MAX_PARTS, Job, Kind, Status
from batchstatus.model.kinds import Kinds
from batchstatus.model.rows import Shaped


@dataclass(frozen=True, slots=True)
class Content:
    """What a job is created with. `metadata` is JSON text; equal contents have the same `digest`."""

    kind: Kind | str
    total_items: int | None
    metadata: str
    takeover_ms: int
    digest: str
    parts: int | None = None

    @classmethod
    def checked(
        cls,
        kinds: Kinds,
        kind: str,
        total_items: int | None,
        metadata: Mapping[str, Any] | None,
        takeover_s: float,
        parts: int | None = None,
    ) -> Self:
        """Returns the content that a creator gave; InvalidValue names what is wrong."""
        known, total = kinds.named(kind), None if total_items is None else values.count("total_items", total_items)
        takeover_ms = values.seconds_as_ms("takeover_s", takeover_s)
        encoded = values.metadata(metadata)
        content = (known, total, dict(metadata or {}), takeover_ms)
        split = () if parts is None else (values.count("parts", parts, 2, MAX_PARTS),)
        return cls(known, total, encoded, takeover_ms, values.digest(*content, *split), *split)


class Wanted(StrEnum):
    """What the answer to a report asks of the worker."""

    RUN = "run"
    PAUSE = "pause"
    CANCEL = "cancel"


class Grant(Protocol):
    """What every write of a run carries: the claim's fence and token. `lease_ms` is how long its lease lasts.

    None for `lease_ms`: as long as the store's settings say.
    """

    @property
    def fence(self) -> int:
        """The number of the claim."""

    @property
    def token(self) -> str:
        """The text that the claim was made with."""

    @property
    def lease_ms(self) -> int | None:
        """How long the lease lasts (ms)."""


@dataclass(frozen=True, slots=True)
class Claim:
    """A granted claim: the job, and the fence and token that every later write carries.

    `seq` is the number of the last report that the store has. `checkpoint` is where to go on, None on a job that
    nobody ran before. `attempt` counts the job's claims, this one included. `takeover_ms` is the job's takeover
    window: how long after the end of its lease another worker may claim it. `lease_ms` is the length of the lease;
    None: as the store's settings say. `lease_expires_at` is when the lease runs out unless it is renewed. Of a
    part, `job` is the whole job, and all else the part's.
    """

    job: Job
    fence: int
    token: str
    seq: int
    checkpoint: Any
    attempt: int = 1
    takeover_ms: int = 0
    lease_ms: int | None = None
    lease_expires_at: datetime | None = field(default=None, compare=False)

    @property
    def wanted(self) -> Wanted:
        """What had been asked of the job before it was claimed."""
        if "batchCancelRequested" in self.job.metadata:
            return Wanted.CANCEL
        return Wanted.PAUSE if "batchPauseRequested" in self.job.metadata else Wanted.RUN


class Counts(NamedTuple):
    """Numbers of rows by outcome."""

    succeeded: int
    failed: int
    skipped: int


@dataclass(frozen=True, slots=True)
class Batch:
    """The content of one report: rows counted, failed and skipped rows, a total, a checkpoint.

    `covered` says how much of the batch the checkpoint covers, the first failed and skipped rows of it; None means
    all of the batch. Without content the batch is falsy, and the report a heartbeat.
    """

    succeeded: int = 0
    failures: tuple[Shaped, ...] = ()
    skips: tuple[Shaped, ...] = ()
    total_items: int | None = None
    checkpoint: Any = None
    covered: Counts | None = None

    @property
    def counts(self) -> Counts:
        """How many rows the batch counts."""
        return Counts(self.succeeded, len(self.failures), len(self.skips))

    def __bool__(self) -> bool:
        return self != HEARTBEAT


HEARTBEAT = Batch()


@dataclass(frozen=True, slots=True)
class Reported:
    """The answer to a report: what is asked of the worker, and the job's number of rows; None while not known.

    A total that proved too low was raised to the number of rows that are counted. `lease_expires_at` is when the
    renewed lease runs out, `checkpoint` the newest one that the store has.
    """

    wanted: Wanted
    total_items: int | None
    lease_expires_at: datetime | None = field(default=None, compare=False)
    checkpoint: Any = field(default=None, compare=False)


class Ending(NamedTuple):
    """How a run ends its job: with a terminal status, or with `interrupted` by giving the lease back.

    `job_failure` is JSON text.
    """

    status: Status
    worker_error: str | None = None
    job_failure: str | None = None


JobKey: TypeAlias = tuple[str, str]
"""A job of any organization: the organization, and the job's id."""


class Seen(NamedTuple):
    """What tells whether a job has changed: its `Job.state`, its revision, and when it was created (ms)."""

    state: str
    rev: int
    created_ms: int


class Verdict(StrEnum):
    """What a look at a job found; the words are explained in settle.lua."""

    ALIVE = "ALIVE"
    SUSPECT = "SUSPECT"
    VACANT = "VACANT"
    SETTLED = "SETTLED"
    QUEUED = "QUEUED"
    ENDED = "ENDED"
    SPLIT = "SPLIT"


class Look(NamedTuple):
    """What a look found, and when the next one is due (ms since the epoch); None if there is none to take."""

    verdict: Verdict
    due_ms: int | None
