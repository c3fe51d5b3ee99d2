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

from batchstatus.errors import JobCorrupt
from batchstatus.model import CONTROL_FLAGS, Job, JobFailure, Kind, Place, Status
from batchstatus.transport.connection import Hash

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_log = logging.getLogger(__name__)


def decode(stored: Hash) -> Job:
    """Returns the job in a hash that is not empty. JobCorrupt names the field that cannot be right."""
    return Job(
        job_id=_text(stored, b"jobId") or _corrupt(stored, b"jobId"),
        kind=_kind(stored),
        status=_status(stored),
        total_items=integer(stored, b"totalItems"),
        succeeded=_count(stored, b"succeeded"),
        failed=_count(stored, b"failed"),
        skipped=_count(stored, b"skipped"),
        heartbeat_at=_time(stored, b"heartbeatAt"),
        lease_expires_at=_time(stored, b"leaseExpiresAt"),
        worker_error=_text(stored, b"workerError"),
        created_at=_time(stored, b"createdAt") or _corrupt(stored, b"createdAt"),
        completed_at=_time(stored, b"completedAt"),
        metadata=_metadata(stored),
        job_failure=_job_failure(stored),
        rev=_count(stored, b"rev"),
    )


def integer(stored: Hash, field: bytes) -> int | None:
    """Returns a field that holds a natural number; None if the field is absent."""
    value = stored.get(field)
    if value is None:
        return None
    # isdigit of bytes is ASCII only; 16 digits are more than any count or time needs.
    return int(value) if value.isdigit() and len(value) <= 16 else _corrupt(stored, field)


def place_of(status: bytes, kind: bytes | None, created_ms: bytes | None) -> Place:
    """Returns a job's place in the index, from fields of its hash."""
    stored = {b"status": status, b"kind": kind or b"", b"createdAt": created_ms or b""}
    return Place(_kind(stored), _status(stored), _count(stored, b"createdAt"))


def lease_ms(stored: Hash) -> int | None:
    """Returns when the lease of a running job ends (ms since the epoch); None for any other job."""
    return integer(stored, b"leaseExpiresAt") if stored.get(b"status") == b"running" else None


def state(status: bytes | None, flags: Sequence[bytes | None]) -> str | None:
    """Returns `Job.state` from a job's status and its control flags in their order; None if there is no job."""
    if status is None:
        return None
    shown = (flag for flag, given in zip(CONTROL_FLAGS, flags, strict=True) if given is not None)
    return ".".join([status.decode("utf-8", "replace"), *shown])


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


def _time(stored: Hash, field: bytes) -> datetime | None:
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


_KINDS = {kind.encode(): kind for kind in Kind}
_STATUSES = {status.encode(): status for status in Status}


def _kind(stored: Hash) -> Kind:
    return _KINDS.get(stored.get(b"kind", b"")) or _corrupt(stored, b"kind")


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


def _corrupt(stored: Hash, field: bytes) -> NoReturn:
    value = stored.get(field)
    job_id = stored.get(b"jobId", b"?")
    raise JobCorrupt(f"field {field.decode()} of job {job_id!r:.80} cannot be {value!r:.80}")
