"""How a run ends, by the exception with which its block was left."""

from collections.abc import Iterator

from batchstatus.model import values
from batchstatus.model.errors import JobAborted, JobCancelled
from batchstatus.model.job import Status
from batchstatus.model.messages import Ending

Classes = type[BaseException] | tuple[type[BaseException], ...]


def ending(error: BaseException | None, hand_back: tuple[type[Exception], ...] = ()) -> Ending:
    """Returns how a run ends whose block was left with `error`; None for no error.

    After an error of `hand_back` the lease is given back, except where the error states how the job ends. A group
    of errors, as an `asyncio.TaskGroup` raises it, counts as what all its errors are; one JobAborted is enough.
    """
    if error is None:
        return Ending(Status.COMPLETED)
    if is_every(error, JobCancelled):
        return Ending(Status.CANCELLED)
    if not isinstance(error, Exception):
        return Ending(Status.INTERRUPTED)
    for each in errors_in(error):
        if isinstance(each, JobAborted):
            return Ending(Status.FAILED, None, values.job_failure(each.code, each.message, each.details))
    if is_every(error, hand_back):
        return Ending(Status.INTERRUPTED)
    message = values.text(_described(error))
    return Ending(Status.FAILED, message, values.job_failure("WORKER_ERROR", message, None))


def is_every(error: BaseException, classes: Classes) -> bool:
    """Returns True if the error is of these classes; of a group of errors, if all of them are."""
    if isinstance(error, classes):
        return True
    return isinstance(error, BaseExceptionGroup) and all(is_every(each, classes) for each in error.exceptions)


def states_the_end(error: BaseException) -> bool:
    """Returns True if the error, or one in the group, says how the job ends: nothing else is to be made of it."""
    return is_every(error, JobCancelled) or any(isinstance(each, JobAborted) for each in errors_in(error))


def errors_in(error: BaseException) -> Iterator[BaseException]:
    """Yields the error itself, or the errors of a group, and of the groups in it."""
    if isinstance(error, BaseExceptionGroup):
        for each in error.exceptions:
            yield from errors_in(each)
    else:
        yield error


def _described(error: BaseException) -> str:
    """Returns the error's type and text, and of a group those of each error in it."""
    said = f"{type(error).__name__}: {_said(error)}"
    if isinstance(error, BaseExceptionGroup):
        said = "; ".join([said, *map(_described, errors_in(error))])
    return said


def _said(error: BaseException) -> str:
    """Returns the error's text; the job must end even if making the text fails."""
    try:
        return str(error)
    except Exception as another:
        return f"(its text cannot be had: {type(another).__name__})"
