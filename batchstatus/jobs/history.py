"""A page of an organization's jobs: what the index says, held against the jobs themselves."""

import logging
from collections.abc import Mapping

from batchstatus.cursor import Position
from batchstatus.errors import JobCorrupt
from batchstatus.jobs.index import Filter, History
from batchstatus.jobs.reader import Reader
from batchstatus.model import Job, Page

MOST_AT_ONCE, MOST_IN_ALL = 1_000, 5_000
"""The most positions to look at in one trip, and for one page, where jobs have expired by the thousand."""

_log = logging.getLogger(__name__)


def page(history: History, reader: Reader, org: str, wanted: Filter, limit: int, cursor: str | None) -> Page:
    """At most `limit` jobs that fit, newest first, from where the cursor stands. InvalidValue for a bad cursor.

    It may have fewer, and a next page all the same, where the index knows thousands that have expired.
    """
    last = None if cursor is None else Position.of(cursor)
    found: list[tuple[Position, Job]] = []
    more, many, looked_at = True, limit + 1, 0  # one more than asked for tells whether there is another page
    while more and len(found) <= limit and looked_at < MOST_IN_ALL:
        positions, more = history.positions(org, wanted, last, many)
        looked_at += len(positions)
        many = min(2 * many, MOST_AT_ONCE)  # if these lead nowhere, many may
        jobs = reader.read_many(org, [each.job_id for each in positions])
        found += [(each, job) for each in positions if (job := _fitting(each, jobs, wanted))]
        last = positions[-1] if positions else last
    next_cursor = found[limit - 1][0].cursor if len(found) > limit else None
    if more and len(found) <= limit and last is not None:
        next_cursor = last.cursor  # it is short, or empty, and others may follow
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
