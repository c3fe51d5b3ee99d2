"""A page of an organization's jobs: the index's entries, held against the jobs themselves."""

from collections.abc import Mapping

from batchstatus.jobs.index import Filter, Index
from batchstatus.jobs.reader import Reader
from batchstatus.model.cursor import Position
from batchstatus.model.job import Job, Page

MOST_AT_ONCE, MOST_IN_ALL = 1_000, 5_000
"""The most positions to read in one trip, and for one page, where jobs have expired by the thousand."""


def page(index: Index, reader: Reader, org: str, wanted: Filter, limit: int, cursor: str | None) -> Page:
    """Returns at most `limit` jobs that fit, newest first, after the cursor. InvalidValue for a bad cursor.

    The page may be short and yet have a next one, where the index has thousands of jobs that have expired.
    """
    last = None if cursor is None else Position.of(cursor)
    found: list[tuple[Position, Job]] = []
    more, many, looked_at = True, limit + 1, 0  # one more than asked for shows if there is another page
    while more and len(found) <= limit and looked_at < MOST_IN_ALL:
        positions, more = index.positions(org, wanted, last, many)
        looked_at += len(positions)
        many = min(2 * many, MOST_AT_ONCE)  # if these lead to no job, many others may not either
        # One damaged job does not keep the others from view; whoever asks for it alone is told.
        jobs = reader.read_many(org, [each.job_id for each in positions], leave_out_damaged=True)
        found += [(each, job) for each in positions if (job := _fitting(each, jobs, wanted))]
        last = positions[-1] if positions else last
    next_cursor = found[limit - 1][0].cursor if len(found) > limit else None
    if more and len(found) <= limit and last is not None:
        next_cursor = last.cursor  # a short or empty page, after which others may follow
    return Page(tuple(job for _, job in found[:limit]), next_cursor)


def _fitting(position: Position, jobs: Mapping[str, Job], wanted: Filter) -> Job | None:
    """Returns the job at this position, unless the index is mistaken about the job."""
    job = jobs.get(position.job_id)
    if job is None or job.created_ms != position.created_ms:
        return None
    return job if job.kind in wanted.kinds and job.status in wanted.statuses else None
