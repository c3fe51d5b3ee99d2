"""A page of an organization's jobs: what the index says, held against the jobs themselves."""

import logging
from collections.abc import Mapping

from batchstatus.errors import JobCorrupt
from batchstatus.history import Filter, History, Position
from batchstatus.model import Job, Page
from batchstatus.reader import Reader

MOST_AT_ONCE = 1_000
"""The most positions to look at in one trip, where jobs have expired by the thousand and not been swept yet."""

_log = logging.getLogger(__name__)


def page(history: History, reader: Reader, org: str, wanted: Filter, limit: int, cursor: str | None) -> Page:
    """At most `limit` jobs that fit, newest first, from where the cursor stands. InvalidValue for a bad cursor."""
    last = None if cursor is None else Position.of(cursor)
    found: list[tuple[Position, Job]] = []
    more, many = True, limit + 1  # one more than asked for tells whether there is another page
    while more and len(found) <= limit:
        positions, more = history.positions(org, wanted, last, many)
        many = min(2 * many, MOST_AT_ONCE)  # if these lead nowhere, many may
        jobs = reader.read_many(org, [each.job_id for each in positions])
        found += [(each, job) for each in positions if (job := _fitting(each, jobs, wanted))]
        last = positions[-1] if positions else last
    next_cursor = found[limit - 1][0].cursor if len(found) > limit else None
    return Page(tuple(job for _, job in found[:limit]), next_cursor)


def _fitting(position: Position, jobs: Mapping[str, Job | JobCorrupt], wanted: Filter) -> Job | None:
    """The job at this position, unless the index is mistaken about it."""
    job = jobs.get(position.job_id)
    if isinstance(job, JobCorrupt):
        # One damaged job does not keep the others from view; whoever asks for it alone is told.
        _log.error("left out of a page: %s", job)
        return None
    if job is None or job.created_ms != position.created_ms:
        return None
    return job if job.kind in wanted.kinds and job.status in wanted.statuses else None
