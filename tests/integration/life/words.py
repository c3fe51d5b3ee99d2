"""The words of a job's life: the content of calls, and answers."""

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

from batchstatus.model import values
from batchstatus.model.job import Kind, Status
from batchstatus.model.kinds import Kinds
from tests.support.own_kinds import PRODUCTS

KINDS = Kinds([*Kind, PRODUCTS])
"""The published kinds, and one that is declared."""

GRACE_MS = 3_000
LEASE_MS = 30_000


class Answer(NamedTuple):
    """A script's answer: its word, what belongs to the word, and True if the script wrote."""

    word: str
    rest: Any = None
    wrote: bool = False


NOT_FOUND = Answer("NOT_FOUND")


class Holder(NamedTuple):
    """Fence and token under which somebody calls, as if holding the job."""

    fence: int
    token: str | None


@dataclass(frozen=True)
class Content:
    """What a job is created with."""

    kind: str = Kind.TRANSACTION_BATCH
    total: int | None = None
    takeover_ms: int = 0
    metadata: str = '{"fileName":"november.csv"}'

    @property
    def digest(self) -> str:
        return values.digest(self.kind, self.total, json.loads(self.metadata), self.takeover_ms)


@dataclass(frozen=True)
class Report:
    """The content of one report; failed and skipped rows, and the checkpoint, as JSON.

    `covered` is how many of its succeeded, failed and skipped rows the checkpoint covers.
    """

    succeeded: int = 0
    failures: tuple[str, ...] = ()
    skips: tuple[str, ...] = ()
    total: int | None = None
    checkpoint: str | None = None
    covered: tuple[int, int, int] = (0, 0, 0)

    @property
    def rows(self) -> int:
        return self.succeeded + len(self.failures) + len(self.skips)


@dataclass(frozen=True)
class End:
    """How a worker ends a job; `interrupted` gives the lease back."""

    status: Status
    worker_error: str | None = None
    job_failure: str | None = None


def moment(ms: int | None) -> datetime | None:
    """Returns the time that is so many ms after the epoch; None for None."""
    return None if ms is None else datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=ms)
