"""What a message is to run: a job, or one part of a split job."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple, Self

from batchstatus.model.job import Job


class Work(NamedTuple):
    """The work of one message: a job, or with `part`, from 1 on, a part of one."""

    org: str
    job_id: str
    part: int | None = None

    @classmethod
    def of_job(cls, org: str, job: Job) -> list[Self]:
        """Returns the works of a job: its parts in their order if it is split, else the job."""
        if not job.parts:
            return [cls(org, job.job_id)]
        return [cls(org, job.job_id, part) for part in range(1, job.parts + 1)]

    @classmethod
    def of_message(cls, argument: Any, message_id: str) -> Self:
        """Returns the work of a message, by its first argument and its id."""
        return cls(argument, message_id) if isinstance(argument, str) else cls(*argument)

    @property
    def message_id(self) -> str:
        """The id of the message: the job's, for a part with its number."""
        return self.job_id if self.part is None else f"{self.job_id}-part-{self.part}"

    @property
    def argument(self) -> Any:
        """The first argument of the message, as JSON can be: the organization, for a part with job id and number.

        A part is not read from the message's id, since a job may have been given an id that looks so.
        """
        return self.org if self.part is None else [*self]


@contextmanager
def sending(message_id: str | None) -> Iterator[None]:
    """While a message is sent: an error gets a note that says which message was not."""
    try:
        yield
    except Exception as error:
        error.add_note(f"message {message_id} was not sent")
        raise
