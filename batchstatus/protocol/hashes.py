"""Reads a job's hash: the only module that knows the hash's fields from the reader's side.

The fields bear the wire's names. Times are milliseconds since the epoch, null is an absent field,
`metadata` and `jobFailure` are JSON text. Fields that only coordinate workers (`fence`, `seq`,
`token`, `suspectAt` …) are described in docs/redis-protocol.md.
"""

import json
import logging
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NoReturn

from batchstatus.model.errors import JobCorrupt
from batchstatus.model.job import CONTROL_FLAGS, TERMINAL, Job, JobFailure, Part, Place, Status
from batchstatus.model.kinds import Kinds
from batchstatus.model.messages import Reported, Seen, Wanted
from batchstatus.model.progress import AtWork, Noted
from batchstatus.transport.connection import Hash

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_log = logging.getLogger(__name__)


def decode(stored: Hash, kinds: Kinds) -> Job:
    """Returns the job in a hash that is not empty. JobCorrupt names the field that cannot be right.

    A job whose kind is not among `kinds` cannot be read: nobody knows what names its rows.
    """
    return Job(
        job_id=_text(stored, b"jobId") or _corrupt(stored, b"jobId"),
        kind=_kind(stored, kinds),
        status=_status(stored),
        total_items=integer(stored, b"totalItems"),
        succeeded=_count(stored, b"succeeded"),
        failed=_count(stored, b"failed"),
        skipped=_count(stored, b"skipped"),
        heartbeat_at=time(stored, b"heartbeatAt"),
        lease_expires_at=time(stored, b"leaseExpiresAt"),
        worker_error=_text(stored, b"workerError"),
        created_at=time(stored, b"createdAt") or _corrupt(stored, b"createdAt"),
        completed_at=time(stored, b"completedAt"),
        metadata=_metadata(stored),
        job_failure=_job_failure(stored),
        rev=_count(stored, b"rev"),
        parts=integer(stored, b"parts"),
        pace=Noted(stored.get(b"claimedAt"), stored.get(b"pace")),
    )


PART = ("status", "totalItems", "succeeded", "failed", "skipped", "heartbeatAt", "leaseExpiresAt")
"""The fields of a part's hash that readers see."""


def part(number: int, values: Sequence[bytes | None], job: Job) -> Part:
    """Returns a part of a job from its fields `PART`; a part that nobody has claimed yet has none.

    A part that had not ended when its job did ended with the job.
    """
    stored = {name.encode(): value for name, value in zip(PART, values, strict=True) if value is not None}
    stored = {b"status": b"queued", b"succeeded": b"0", b"failed": b"0", b"skipped": b"0"} | stored
    status = _status(stored)
    ended_with_it = job.terminal and status not in TERMINAL
    if ended_with_it:
        status = Status.CANCELLED if job.status is Status.CANCELLED else Status.INTERRUPTED
    return Part(
        part=number,
        status=status,
        total_items=integer(stored, b"totalItems"),
        succeeded=_count(stored, b"succeeded"),
        failed=_count(stored, b"failed"),
        skipped=_count(stored, b"skipped"),
        heartbeat_at=time(stored, b"heartbeatAt"),
        lease_expires_at=None if ended_with_it else time(stored, b"leaseExpiresAt"),
    )


AT_WORK = (
    *("status", "kind", "parts", "worker", "heartbeatAt", "leaseExpiresAt", "totalItems"),
    *("succeeded", "failed", "skipped", "claimedAt", "pace", *CONTROL_FLAGS),
)
"""The fields of a job's or part's hash that operators see."""


def at_work(values: Sequence[bytes | None], org: str, job_id: str, part: int | None, now_ms: float) -> AtWork:
    """Returns a job or part that is running from its fields `AT_WORK`. Its kind need not be declared."""
    stored = {name.encode(): value for name, value in zip(AT_WORK, values, strict=True) if value is not None}
    stored[b"jobId"] = job_id.encode()
    heartbeat_at = time(stored, b"heartbeatAt") or _corrupt(stored, b"heartbeatAt")
    return AtWork(
        *(org, job_id, part, _printable(stored, b"kind") or "?", _printable(stored, b"worker")),
        heartbeat_at=heartbeat_at,
        lease_expires_at=time(stored, b"leaseExpiresAt"),
        silent_s=max(0.0, now_ms / 1000 - heartbeat_at.timestamp()),
        done=sum(_count(stored, each) for each in (b"succeeded", b"failed", b"skipped")),
        total_items=integer(stored, b"totalItems"),
        flags=frozenset(flag for field, flag in _FLAGS.items() if field in stored),
        pace=Noted(stored.get(b"claimedAt"), stored.get(b"pace")),
    )


def integer(stored: Hash, field: bytes) -> int | None:
    """Returns a field that holds a natural number; None if the field is absent."""
    value = stored.get(field)
    if value is None:
        return None
    # isdigit of bytes is ASCII only; 16 digits are more than any count or time needs.
    return int(value) if value.isdigit() and len(value) <= 16 else _corrupt(stored, field)


def place_of(kinds: Kinds, status: bytes, kind: bytes | None, created_ms: bytes | None) -> Place:
    """Returns a job's place in the index, from fields of its hash."""
    stored = {b"status": status, b"kind": kind or b"", b"createdAt": created_ms or b""}
    return Place(_kind(stored, kinds), _status(stored), _count(stored, b"createdAt"))


def reported(wanted: bytes, total: bytes, lease_end: bytes, checkpoint: bytes) -> Reported:
    """Returns the answer to a report, from fields of the job's hash; empty where there is no such field."""
    given = {b"totalItems": total, b"leaseExpiresAt": lease_end, b"checkpoint": checkpoint}
    stored = {field: value for field, value in given.items() if value}
    return Reported(
        wanted=Wanted(wanted.decode()),
        total_items=integer(stored, b"totalItems"),
        lease_expires_at=time(stored, b"leaseExpiresAt"),
        checkpoint=load_json(stored, b"checkpoint"),
    )


AWAITS = b"batchAwaitingWorker"
"""The field of a job whose worker is dead, while another may take it over."""


def look_due_ms(stored: Hash) -> int | None:
    """Returns from when on a look may change a running job (ms since the epoch); None for any other job.

    That is the end of its lease; of a job that awaits another worker, the end of its takeover window. Of a split
    job, the earliest of its parts'.
    """
    if stored.get(b"status") != b"running":
        return None
    if b"parts" in stored:
        due = (integer(stored, b"leaseExpiresAt"), integer(stored, b"windowEndsAt"))
        return min((each for each in due if each is not None), default=None)
    lease_ms = integer(stored, b"leaseExpiresAt")
    window_ms = integer(stored, b"takeoverMs") if AWAITS in stored else 0
    return None if lease_ms is None else lease_ms + (window_ms or 0)


def seen(status: bytes | None, rev: bytes | None, created_ms: bytes | None, *flags: bytes | None) -> Seen | None:
    """Returns what tells whether a job has changed, from fields of its hash; None if there is no job."""
    if status is None:
        return None
    shown = (flag for flag, given in zip(CONTROL_FLAGS, flags, strict=True) if given is not None)
    state = ".".join([status.decode("utf-8", "replace"), *shown])
    return Seen(state, *(int(each) if each and each.isdigit() else 0 for each in (rev, created_ms)))


def _no_json(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no JSON")


_JSON = json.JSONDecoder(parse_constant=_no_json)


def load_json(stored: Hash, field: bytes) -> Any:
    """Returns the value of a field that holds JSON; None if the field is absent."""
    value = stored.get(field)
    try:
        return None if value is None else _JSON.decode(value.decode())
    except (ValueError, RecursionError):
        return _corrupt(stored, field)


def _count(stored: Hash, field: bytes) -> int:
    value = integer(stored, field)
    return _corrupt(stored, field) if value is None else value


def time(stored: Hash, field: bytes) -> datetime | None:
    """Returns a field that holds a time; None if the field is absent."""
    value = integer(stored, field)
    try:
        return None if value is None else _EPOCH + timedelta(milliseconds=value)
    except OverflowError:
        return _corrupt(stored, field)


def _text(stored: Hash, field: bytes) -> str | None:
    value = stored.get(field)
    try:
        return None if value is None else value.decode()
    except UnicodeDecodeError:
        return _corrupt(stored, field)


def _printable(stored: Hash, field: bytes) -> str | None:
    """Returns at most 100 characters of text that any worker may have written: a terminal must bear it."""
    given = stored[field].decode("utf-8", "replace")[:100] if field in stored else ""
    if given.isprintable():
        return given or None
    return "".join(each if each.isprintable() else "?" for each in given)


_STATUSES = {status.encode(): status for status in Status}


def _kind(stored: Hash, kinds: Kinds) -> str:
    return kinds.stored(stored.get(b"kind", b"")) or _corrupt(
        stored, b"kind", f"; declared are {', '.join(kinds.names)}"
    )


def _status(stored: Hash) -> Status:
    return _STATUSES.get(stored.get(b"status", b"")) or _corrupt(stored, b"status")


_FLAGS = {flag.encode(): flag for flag in CONTROL_FLAGS}


def _metadata(stored: Hash) -> dict[str, Any]:
    """Returns the uploader's metadata and control's flags. Broken metadata makes no number wrong: `{}`, logged."""
    try:
        given = load_json(stored, b"metadata") if b"metadata" in stored else {}
        if not isinstance(given, dict):
            _corrupt(stored, b"metadata")
    except JobCorrupt as error:
        _log.warning("%s; its organization is %r", error, stored.get(b"orgId"))
        given = {}
    return given | {flag: True for field, flag in _FLAGS.items() if field in stored}


def _job_failure(stored: Hash) -> JobFailure | None:
    failure = load_json(stored, b"jobFailure")
    if failure is None:
        return None
    match failure:
        case {"code": str(code), "message": str(message)}:
            return JobFailure(code, message, failure.get("details"))
    return _corrupt(stored, b"jobFailure")


def _corrupt(stored: Hash, field: bytes, hint: str = "") -> NoReturn:
    value = stored.get(field)
    job_id = stored.get(b"jobId", b"?")
    raise JobCorrupt(f"field {field.decode()} of job {job_id!r:.80} cannot be {value!r:.80}{hint}")
