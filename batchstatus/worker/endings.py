"""How a run ends, by the exception with which its block was left."""

import json
from typing import Any

from batchstatus import values
from batchstatus.errors import InvalidValue, JobAborted, JobCancelled
from batchstatus.messages import Ending
from batchstatus.model import Status


def ending(error: BaseException | None) -> Ending:
    """Returns how a run ends whose block was left with `error`; None for no error."""
    if error is None:
        return Ending(Status.COMPLETED)
    if isinstance(error, JobCancelled):
        return Ending(Status.CANCELLED)
    if not isinstance(error, Exception):
        return Ending(Status.INTERRUPTED)
    if isinstance(error, JobAborted):
        return Ending(Status.FAILED, None, _job_failure(error.code, error.message, error.details))
    message = values.text(f"{type(error).__name__}: {_said(error)}")
    return Ending(Status.FAILED, message, _job_failure("WORKER_ERROR", message, None))


def _said(error: Exception) -> str:
    """Returns the error's text; the job must end even if making the text fails."""
    try:
        return str(error)
    except Exception as another:
        return f"(its text cannot be had: {type(another).__name__})"


def _job_failure(code: str, message: str, details: Any) -> str:
    failure = {"code": code, "message": values.text(message)}
    if details is not None:
        try:
            failure["details"] = json.loads(values.as_json("details", details, values.MAX_JSON_BYTES))
        except InvalidValue as error:
            # The job must end, and with the given reason; only the details are left out.
            failure["message"] = values.text(f"{failure['message']} ({error})")
    return json.dumps(failure, ensure_ascii=False, separators=(",", ":"))
