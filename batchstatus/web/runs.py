"""What requests of workers say, in the words of the store: run ids, batches, endings."""

import re
from dataclasses import dataclass
from typing import Any, Self

from batchstatus.model import rows, values
from batchstatus.model.errors import InvalidValue
from batchstatus.model.job import MAX_PARTS, Status
from batchstatus.model.kinds import JobKind, Kinds
from batchstatus.model.messages import Batch, Ending
from batchstatus.model.rows import Shaped
from batchstatus.schemas.run import RANDOM_TEXT
from batchstatus.web.errors import ApiError, invalid_request
from batchstatus.web.requests import MOST_FIELDS

MAX_ROWS = 1_000
RELEASED = "released"

_RUN_ID = re.compile(
    rf"(?:p([1-9][0-9]{{0,3}})\.)?([1-9][0-9]{{0,15}})\.([1-9][0-9]{{0,11}})\.([a-z][a-z0-9_]{{1,31}})\.({RANDOM_TEXT})"
)


@dataclass(frozen=True, slots=True)
class RunId:
    """What a run's writes carry. The store's token has the kind in it: another kind writes nothing."""

    fence: int
    lease_ms: int
    kind: str
    worker_token: str
    part: int | None = None

    @classmethod
    def of(cls, text: str, kinds: Kinds) -> Self | None:
        """Return what a `runId` says; None for a text that is none."""
        match = _RUN_ID.fullmatch(text)
        if match is None or match[4] not in kinds.names or int(match[1] or 0) > MAX_PARTS:
            return None
        return cls(int(match[2]), int(match[3]), match[4], match[5], int(match[1]) if match[1] else None)

    @property
    def token(self) -> str:
        """The token as the store has it."""
        return f"{self.kind}.{self.worker_token}"

    def __str__(self) -> str:
        part = "" if self.part is None else f"p{self.part}."
        return f"{part}{self.fence}.{self.lease_ms}.{self.token}"


def ending_of(asked: dict[str, Any]) -> Ending:
    """Return how a run ends for what a request to finish it asks."""
    if asked["status"] == RELEASED:
        return Ending(Status.INTERRUPTED)
    if asked["status"] != Status.FAILED:
        return Ending(Status(asked["status"]))
    said = asked.get("workerError")
    reason = asked.get("jobFailure") or {"code": "WORKER_ERROR", "message": said or "The worker gave no reason."}
    failure = values.job_failure(reason["code"], reason["message"], reason.get("details"))
    return Ending(Status.FAILED, values.text(said) if said else None, failure)


def batch_of(kind: JobKind, asked: dict[str, Any]) -> Batch:
    """Return what a report counts. 400 for too many rows, and for rows that are not of the job's kind."""
    failures, skips = asked.get("failures", []), asked.get("skips", [])
    if len(failures) + len(skips) > MAX_ROWS:
        raise ApiError(400, "TOO_MANY_ROWS", f"A report has at most {MAX_ROWS:,} failed and skipped rows.")
    wrong: dict[str, str] = {}
    failed = tuple(_shaped(kind, f"failures[{number}]", row, wrong) for number, row in enumerate(failures))
    skipped = tuple(_shaped(kind, f"skips[{number}]", row, wrong) for number, row in enumerate(skips))
    if wrong:
        raise invalid_request(wrong)
    succeeded, total = asked.get("succeeded", 0), asked.get("totalItems")
    return Batch(succeeded, failed, skipped, total, asked.get("checkpoint"))


def _shaped(kind: JobKind, name: str, row: Any, wrong: dict[str, str]) -> Shaped:
    """Return a row in its wire format; an empty one, and a word in `wrong`, for a row that is not of the kind."""
    shape = rows.failure if name.startswith("failures") else rows.skip
    if len(wrong) >= MOST_FIELDS:
        return {}
    if not isinstance(row, dict):
        wrong[name] = "not an object"
        return {}
    for member, value in row.items():
        if not isinstance(value, str) and not (value is None and member in kind.row):
            wrong[f"{name}.{member:.64}"] = f"not a text{' or null' if member in kind.row else ''}"
            return {}
    try:
        return shape(kind, row)
    except InvalidValue as error:
        wrong[f"{name}.code" if isinstance(error, rows.BadCode) else name] = str(error)
        return {}
