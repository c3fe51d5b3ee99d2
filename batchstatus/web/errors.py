"""Every error as JSON in one shape, and not a word about the inside."""

import logging
from collections.abc import Mapping
from typing import Any

from werkzeug.exceptions import HTTPException, MethodNotAllowed

from batchstatus.model.errors import JobNotFound, StoreUnavailable
from batchstatus.schemas import ErrorSchema
from batchstatus.web.call import Call
from batchstatus.web.responses import Response, json_response

RETRY_AFTER_S = 1

_ERROR = ErrorSchema()
_log = logging.getLogger(__name__)

_KEPT_HEADERS = {"Retry-After", "WWW-Authenticate"}

# For what Flask, an extension or a host's `authorize` raises.
_WORDS = {
    401: ("UNAUTHENTICATED", "Who calls is not known."),
    403: ("FORBIDDEN", "The caller may not do this."),
    404: ("NOT_FOUND", "There is nothing at this path."),
    405: ("METHOD_NOT_ALLOWED", "This path does not know this method."),
    413: ("PAYLOAD_TOO_LARGE", "The request body is larger than 64 KiB."),
    415: ("UNSUPPORTED_MEDIA_TYPE", "Send the body as JSON, with the header Content-Type: application/json."),
    429: ("TOO_MANY_REQUESTS", "There were too many requests. Try again later."),
    500: ("INTERNAL_ERROR", "Something went wrong on our side."),
}


class ApiError(HTTPException):
    """An answer from 400 up, raised from wherever it is known.

    `word` is the error's code in the body (docs/http.md). Flask and its extensions take it for what it is: an HTTP
    error that the application means.
    """

    def __init__(
        self,
        status: int,
        word: str,
        message: str,
        details: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.code = self.status = status
        self.word = word
        self.message = message
        self.details = details
        self.headers = headers or {}


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


def response_to(call: Call, error: Exception) -> Response:
    """Return the response to a request that `error` ended, whatever that is."""
    if isinstance(error, ApiError):
        return json_response(
            error_body(error.word, error.message, error.details), error.status, error.headers.items()
        )
    if isinstance(error, JobNotFound):
        return json_response(error_body("JOB_NOT_FOUND", "There is no such job."), 404)
    if isinstance(error, StoreUnavailable):
        _log.warning("request %s: %s", call.id, error)
        body = error_body("STORE_UNAVAILABLE", "The store is not available at the moment. Try again.")
        return json_response(body, 503, [("Retry-After", str(RETRY_AFTER_S))])
    if isinstance(error, HTTPException):
        return _http_exception(error)
    log_bug(_log, call, error)
    return json_response(error_body(*_WORDS[500]), 500)


def log_bug(log: logging.Logger, call: Call, error: BaseException | None) -> None:
    """Log an error that is nobody's but ours, with its traceback and the request that met it."""
    log.error("request %s for job %r of %r failed", call.id, call.job_id, call.org, exc_info=error)


def _http_exception(error: HTTPException) -> Response:
    status = error.code or 500
    word, message = _WORDS.get(status, ("BAD_REQUEST", "The request could not be understood."))
    headers = [(name, value) for name, value in error.get_headers() if name in _KEPT_HEADERS]
    if isinstance(error, MethodNotAllowed):  # which names the methods that there are (RFC 9110 §15.5.6)
        headers = [("Allow", ", ".join(sorted(error.valid_methods or ())))]
    return json_response(error_body(word, message), status, headers)
