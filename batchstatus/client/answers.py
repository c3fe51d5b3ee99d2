"""Reads the service's answers: each one is a usable body, a permanent error or a transient one."""

import json
import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from http.client import HTTPException, HTTPResponse, IncompleteRead
from types import NoneType
from typing import Any, TypeVar

from batchstatus.model.errors import (
    CODE,
    InvalidTransition,
    InvalidValue,
    JobExists,
    JobNotFound,
    LeaseHeld,
    LeaseLost,
    Refused,
    ReportsLost,
    ServiceUnavailable,
)
from batchstatus.model.job import Job, JobFailure, Status
from batchstatus.model.kinds import as_kind
from batchstatus.model.progress import Progress

LONGEST_S = 30.0
"""The longest Retry-After, in seconds, that is honoured."""

MALFORMED = (LookupError, TypeError, ValueError, ArithmeticError, RecursionError)  # raised by a malformed body
_CSV_PATH = re.compile(r"/batch-import/([a-z0-9-]+)/\{jobId\}/failures\.csv")
_CHUNK = 65536  # bytes
_UNCERTAIN = timedelta(seconds=2)  # a date has whole seconds, and is as old as the way of the answer is long
_EPOCH = datetime.fromtimestamp(0, UTC)
_ERRORS: dict[tuple[int, str], Callable[[str], Exception]] = {
    (400, "INVALID_REQUEST"): InvalidValue,
    (404, "JOB_NOT_FOUND"): JobNotFound,
    (409, "JOB_ALREADY_TERMINAL"): InvalidTransition,
    (409, "JOB_EXISTS"): JobExists,
    (409, "JOB_NOT_SPLITTABLE"): InvalidTransition,
    (409, "LEASE_LOST"): LeaseLost,
}
_T = TypeVar("_T")


class Transient(ServiceUnavailable):
    """An error worth a retry, after at least `retry_after_s`."""

    def __init__(self, message: str, retry_after_s: float = 0.0) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class Unanswered(Transient):
    """There was no answer at all: no connection, or silence."""


def ahead(response: HTTPResponse) -> timedelta:
    """Returns how far the service's clock is ahead of this machine's, as far as an answer's date can tell."""
    try:
        found = parsedate_to_datetime(response.headers["Date"]) - datetime.now(UTC)
    except MALFORMED:  # a TypeError for a date without a zone
        return timedelta()
    return found if abs(found) > _UNCERTAIN else timedelta()


def error_of(response: HTTPResponse) -> Exception:
    """Returns the error for an answer that is neither 200 nor an expected 304."""
    status, location, code = response.status, response.headers.get("Location"), ""
    said, details = f"{response.url}: {status}", None
    with suppress(OSError, HTTPException, *MALFORMED):
        error = json.loads(response.read(_CHUNK))["error"]
        if CODE.fullmatch(error["code"]):
            code, said = error["code"], f"{said} {error['code']}: {error['message']!r:.300}"
            if details := error.get("details"):
                said = f"{said} {details!r:.300}"
    if status in {401, 403}:
        return Refused(said)
    if (status, code) in _ERRORS:
        return _ERRORS[status, code](said)
    if (status, code) == (409, "LEASE_HELD"):
        return LeaseHeld(said, max(1.0, retry_after_s(response, 1.0)))
    if (status, code) == (409, "REPORTS_LOST") and isinstance(details, dict) and type(details.get("seq")) is int:
        return ReportsLost(said, details["seq"])
    if 300 <= status < 400 and location:
        return ServiceUnavailable(f"{said}, a redirect to {location!r:.300}, not followed")
    if code and 400 <= status < 500 and status not in {408, 425, 429}:
        return ServiceUnavailable(said)
    return Transient(said if code else f"{said}, not from batchstatus", retry_after_s(response, 0.0))


def retry_after_s(response: HTTPResponse, otherwise_s: float) -> float:
    """Returns the seconds in Retry-After, or `otherwise_s` if the header is missing, a date or malformed."""
    text = response.headers.get("Retry-After", "").strip()
    return min(float(text), LONGEST_S) if text.isascii() and text.isdigit() else otherwise_s


def expect(response: HTTPResponse, content_type: str) -> None:
    """Raise Transient if the answer has another content type."""
    if (found := response.headers.get_content_type()) != content_type:
        raise Transient(f"{response.url}: {found} instead of {content_type}")


def pieces(response: HTTPResponse) -> Iterator[bytes]:
    """Yield the body in pieces. Raises Transient if the body is cut short, which http.client takes for its end."""
    try:
        while piece := response.read(_CHUNK):
            yield piece
        if response.length:
            raise IncompleteRead(b"", response.length)
    except (OSError, HTTPException) as error:
        raise Transient(f"{response.url}: cut short ({error!r})") from error


def read(response: HTTPResponse, make: Callable[[Any], _T]) -> _T:
    """Returns `make(body)` for the JSON body of an answer. Raises Transient if the body is malformed."""
    expect(response, "application/json")
    body = b"".join(pieces(response))
    try:
        return make(json.loads(body))
    except MALFORMED as error:
        raise Transient(f"{response.url}: an answer that makes no sense ({error!r:.300})") from error


def job(body: Any) -> Job:
    """Returns the job in a body. Raises one of `MALFORMED` if the body is not as docs/http.md describes."""
    wire = typed(body["job"], dict)
    if (reason := wire.get("jobFailure")) is not None:
        reason = JobFailure(typed(reason["code"], str), typed(reason["message"], str), reason.get("details"))
    return Job(
        job_id=typed(wire["jobId"], str),
        kind=as_kind(typed(wire["kind"], str)),
        status=Status(wire["status"]),
        total_items=typed(wire["totalItems"], int, NoneType),
        succeeded=typed(wire["succeeded"], int),
        failed=typed(wire["failed"], int),
        skipped=typed(wire["skipped"], int),
        heartbeat_at=time(wire["heartbeatAt"]),
        lease_expires_at=time(wire["leaseExpiresAt"]),
        worker_error=typed(wire["workerError"], str, NoneType),
        created_at=time(typed(wire["createdAt"], str)),
        completed_at=time(wire["completedAt"]),
        metadata=typed(wire["metadata"], dict),
        job_failure=reason,
        pace=_progress(typed(wire.get("progress", {}), dict)),
    )


def ticket(body: Any) -> tuple[str, datetime]:
    """Returns the ticket in a body, and when it expires. Raises one of `MALFORMED` for another body."""
    return typed(body["ticket"], str), time(typed(body["expiresAt"], str))


def path_of(document: Any, kind: str) -> str:
    """Returns the part of the path of a kind's failed rows, from the service's OpenAPI document."""
    for path, operations in typed(document["paths"], dict).items():
        found = _CSV_PATH.fullmatch(path)
        if found and typed(typed(operations, dict)["get"], dict).get("x-kind") == kind:
            return found[1]
    raise ServiceUnavailable(f"the service does not say where it has the failed rows of the kind {kind!r:.80}")


def typed(value: Any, *types: type) -> Any:
    """Returns the value if its type is one of `types`, else raises TypeError."""
    if type(value) not in types:
        raise TypeError(value)
    return value


def _progress(wire: dict[str, Any]) -> Progress:
    names = ("rowsPerSecond", "secondsLeft", "secondsLeftLow", "secondsLeftHigh")
    return Progress(time(wire.get("startedAt")), *(typed(wire.get(name), float, int, NoneType) for name in names))


def time(text: Any) -> Any:
    """Returns the time in a text, or None for None."""
    return None if text is None else _EPOCH + (datetime.fromisoformat(text) - _EPOCH)  # TypeError without a zone
