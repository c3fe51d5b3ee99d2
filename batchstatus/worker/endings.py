"""How a run ends, by the exception with which its block was left."""

from batchstatus.model import values
from batchstatus.model.errors import JobAborted, JobCancelled
from batchstatus.model.job import Status
from batchstatus.model.messages import Ending


def ending(error: BaseException | None, hand_back: tuple[type[Exception], ...] = ()) -> Ending:
    """Returns how a run ends whose block was left with `error`; None for no error.

    After an error of `hand_back` the lease is given back, except where the error states how the job ends.
    """
    if error is None:
        return Ending(Status.COMPLETED)
    if isinstance(error, JobCancelled):
        return Ending(Status.CANCELLED)
    if not isinstance(error, Exception):
        return Ending(Status.INTERRUPTED)
    if isinstance(error, JobAborted):
        return Ending(Status.FAILED, None, values.job_failure(error.code, error.message, error.details))
    if isinstance(error, hand_back):
        return Ending(Status.INTERRUPTED)
    message = values.text(f"{type(error).__name__}: {_said(error)}")
    return Ending(Status.FAILED, message, values.job_failure("WORKER_ERROR", message, None))


def _said(error: Exception) -> str:
    """Returns the error's text; the job must end even if making the text fails."""
    try:
        return str(error)
    except Exception as another:
        return f"(its text cannot be had: {type(another).__name__})"
