"""Every error as JSON in one shape, and not a word about the inside."""

import logging
from collections.abc import Mapping
from typing import Any

from werkzeug.exceptions import HTTPException

from batchstatus.errors import JobNotFound, StoreUnavailable
from batchstatus.schemas import ErrorSchema
from batchstatus.web.context import ApiRequest
from batchstatus.web.responses import Response, json_response

RETRY_AFTER_S = 1

_ERROR = ErrorSchema()
_log = logging.getLogger(__name__)

_CODES = {
    404: ("NOT_FOUND", "There is nothing at this path."),
    405: ("METHOD_NOT_ALLOWED", "This path does not know this method."),
    413: ("PAYLOAD_TOO_LARGE", "The request body is larger than 64 KiB."),
    500: ("INTERNAL_ERROR", "Something went wrong on our side."),
}


class ApiError(Exception):
    """An answer from 400 up, raised from wherever it is known."""

    def __init__(
        self,
        status: int,
        code: str,
        message: str,
        details: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.details = details
        self.headers = headers


def error_body(code: str, message: str, details: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """The body of an error."""
    error = {"code": code, "message": message, "details": details}
    body: dict[str, Any] = _ERROR.dump({"success": False, "error": error})
    return body


def invalid_request(details: Mapping[str, str]) -> ApiError:
    """A 400 whose `details` name each bad field and say what is wrong with it."""
    return ApiError(400, "INVALID_REQUEST", "The request has bad fields.", details)


def bad_request(message: str, status: int = 400) -> ApiError:
    """A request that is not HTTP as we speak it."""
    return ApiError(status, "BAD_REQUEST", message)


def response_to(request: ApiRequest, error: Exception) -> Response:
    """What is responded instead of what raised `error`, whatever that is."""
    if isinstance(error, ApiError):
        return _api_error(error)
    if isinstance(error, JobNotFound):
        return json_response(error_body("JOB_NOT_FOUND", "There is no such job."), 404)
    if isinstance(error, StoreUnavailable):
        return _store_unavailable(request, error)
    if isinstance(error, HTTPException):
        return _http_exception(error)
    return _internal_error(request, error)


def _api_error(error: ApiError) -> Response:
    body = error_body(error.code, error.message, error.details)
    return json_response(body, error.status, (error.headers or {}).items())


def _store_unavailable(request: ApiRequest, error: StoreUnavailable) -> Response:
    _log.warning("request %s: %s", request.id, error)
    body = error_body("STORE_UNAVAILABLE", "The store is not available at the moment. Try again.")
    return json_response(body, 503, [("Retry-After", str(RETRY_AFTER_S))])


def _http_exception(error: HTTPException) -> Response:
    status = error.code or 500
    code, message = _CODES.get(status, ("BAD_REQUEST", "The request could not be understood."))
    # 405 names the methods that there are (RFC 9110 §15.5.6); werkzeug knows them, and nothing else of its own.
    headers = [(name, value) for name, value in error.get_headers() if name == "Allow"]
    return json_response(error_body(code, message), status, headers)


def _internal_error(request: ApiRequest, error: Exception) -> Response:
    job_id = (request.view_args or {}).get("job_id")
    _log.error("request %s for job %r of %r failed", request.id, job_id, request.org, exc_info=error)
    return json_response(error_body("INTERNAL_ERROR", "Something went wrong on our side."), 500)
