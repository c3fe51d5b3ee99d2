"""The events of jobs: the newest of each, rendered once for all who listen."""

from typing import NamedTuple

from batchstatus.model.job import Job
from batchstatus.model.messages import Seen
from batchstatus.schemas import JobResponseSchema
from batchstatus.schemas.dumping import compiled
from batchstatus.web.conditional import entity_tag
from batchstatus.web.responses import encode

_dump = compiled(JobResponseSchema())


class _Answer(NamedTuple):
    """The body of an event."""

    job: Job


class News(NamedTuple):
    """The newest event of a job. `number` grows from one news to the next; with `ended` none follows.

    `text` is the event as it is sent; None if the job is gone.
    """

    number: int
    tag: str
    text: bytes | None
    ended: bool


NOTHING = News(0, "", b"", False)


class Entry:
    """A job of an open stream: its newest event, and from when on it may be read again.

    `looked_at` is when a look last found that the event is the newest; `left_at` when the job was found not to be
    among the newest of its organization any more, None while it is. Times are monotonic.
    """

    __slots__ = ("created_ms", "left_at", "looked_at", "news", "not_before", "rev")

    def __init__(self) -> None:
        self.news = NOTHING
        self.created_ms = self.rev = 0
        self.not_before = self.looked_at = 0.0
        self.left_at: float | None = None

    def may_be_read(self, now: float) -> bool:
        """Returns True unless the job was read a moment ago, or has ended."""
        return self.not_before <= now and not self.news.ended


def tag_of(job: Job | Seen) -> str:
    """Return the entity tag of a job's event, as a poll gives it."""
    return f'W/"{entity_tag(job)}"'


def event_of(job: Job) -> bytes:
    """Return the event that tells of a job, as it is sent."""
    return b"event: job\nid: %s\ndata: %s\n\n" % (tag_of(job).encode(), encode(_dump(_Answer(job))))
