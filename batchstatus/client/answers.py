"""Reads the service's answers: each one is a usable body, a permanent error or a transient one."""

import json
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from http.client import HTTPException, HTTPResponse, IncompleteRead
from types import NoneType
from typing import Any, TypeVar

from batchstatus.errors import CODE, InvalidTransition, InvalidValue, JobNotFound, Refused, ServiceUnavailable
from batchstatus.model import Job, JobFailure, Kind, Status

LONGEST_S = 30.0
"""The longest Retry-After, in seconds, that is honoured."""

_MALFORMED = (LookupError, TypeError, ValueError, ArithmeticError, RecursionError)  # raised by a malformed body
_CHUNK = 65536  # bytes
_EPOCH = datetime.fromtimestamp(0, UTC)
_T = TypeVar("_T")


class Transient(ServiceUnavailable):
    """An error worth a retry, after at least `retry_after_s`."""

    def __init__(self, message: str, retry_after_s: float = 0.0) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


def error_of(response: HTTPResponse) -> Exception:
    """Returns the error for an answer that is neither 200 nor an expected 304."""
    status, location, code = response.status, response.headers.get("Location"), ""
    said = f"{response.url}: {status}"
    with suppress(OSError, HTTPException, *_MALFORMED):
        error = json.loads(response.read(_CHUNK))["error"]
        if CODE.fullmatch(error["code"]):
            code, said = error["code"], f"{said} {error['code']}: {error['message']!r:.300}"
            if error.get("details"):
                said = f"{said} {error['details']!r:.300}"
    if status in {401, 403}:
        return Refused(said)
    if status == 409 and code == "JOB_ALREADY_TERMINAL":
        return InvalidTransition(said)
    if status == 400 and code == "INVALID_REQUEST":
        return InvalidValue(said)
    if status == 404 and code == "JOB_NOT_FOUND":
        return JobNotFound(said)
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
    except _MALFORMED as error:
        raise Transient(f"{response.url}: an answer that makes no sense ({error!r:.300})") from error


def job(body: Any) -> Job:
    """Returns the job in a body. Raises one of `_MALFORMED` if the body is not as docs/http.md describes."""
    wire = typed(body["job"], dict)
    if (reason := wire.get("jobFailure")) is not None:
        reason = JobFailure(typed(reason["code"], str), typed(reason["message"], str), reason.get("details"))
    return Job(
        job_id=typed(wire["jobId"], str),
        kind=Kind(wire["kind"]),
        status=Status(wire["status"]),
        total_items=typed(wire["totalItems"], int, NoneType),
        succeeded=typed(wire["succeeded"], int),
        failed=typed(wire["failed"], int),
        skipped=typed(wire["skipped"], int),
        heartbeat_at=_time(wire["heartbeatAt"]),
        lease_expires_at=_time(wire["leaseExpiresAt"]),
        worker_error=typed(wire["workerError"], str, NoneType),
        created_at=_time(typed(wire["createdAt"], str)),
        completed_at=_time(wire["completedAt"]),
        metadata=typed(wire["metadata"], dict),
        job_failure=reason,
    )


def typed(value: Any, *types: type) -> Any:
    """Returns the value if its type is one of `types`, else raises TypeError."""
    if type(value) not in types:
        raise TypeError(value)
    return value


def _time(text: Any) -> Any:
    return None if text is None else _EPOCH + (datetime.fromisoformat(text) - _EPOCH)  # TypeError without a zone
