"""`GET /batch-import/jobs`: the organization's jobs, newest first, or several of them by id."""

from functools import partial
from typing import NamedTuple

from batchstatus.model.job import Job
from batchstatus.model.keys import ID
from batchstatus.model.kinds import Kinds
from batchstatus.schemas import HistoryQuerySchema, HistoryResponseSchema, JobsQuerySchema, JobsResponseSchema
from batchstatus.schemas.dumping import compiled
from batchstatus.web.access import Caller
from batchstatus.web.call import Call
from batchstatus.web.errors import ApiError
from batchstatus.web.permissions import caller
from batchstatus.web.requests import parameters, query
from batchstatus.web.responses import Response, json_response
from batchstatus.web.routing import Route

NOT_STORED = [("Cache-Control", "private, no-cache")]

_JOBS_QUERY = JobsQuerySchema()
_WITHOUT_PROGRESS = ("jobs.progress",)
_dump_history, _dump_jobs = (
    {True: compiled(schema()), False: compiled(schema(exclude=_WITHOUT_PROGRESS))}
    for schema in (HistoryResponseSchema, JobsResponseSchema)
)


class _Found(NamedTuple):
    """What was found of several jobs."""

    jobs: list[Job]
    not_found: list[str]


def jobs(schema: HistoryQuerySchema, call: Call) -> Response:
    """Answer with a page of history; with `ids`, with these jobs."""
    found = caller(call)
    if "ids" in parameters(call):
        return _by_id(call, found)
    if found.job_id is not None:
        raise ApiError(403, "FORBIDDEN", "The ticket is for one job, and lists none.")
    return _history(schema, call, found.org)


def _by_id(call: Call, caller: Caller) -> Response:
    given = query(call, _JOBS_QUERY)
    asked = given["ids"]
    visible = asked if caller.job_id is None else [each for each in asked if each == caller.job_id]
    with call.store as store:
        found = store.get_many(caller.org, [each for each in visible if ID.fullmatch(each)])
    there = _Found(
        jobs=[found[each] for each in asked if each in found],
        not_found=[each for each in asked if each not in found],
    )
    return json_response(_dump_jobs["include" in given](there), headers=NOT_STORED)


def _history(schema: HistoryQuerySchema, call: Call, org: str) -> Response:
    asked = query(call, schema)
    with call.store as store:
        page = store.list(
            org,
            kinds=asked.get("kind"),
            statuses=asked.get("status"),
            created_after=asked.get("created_after"),
            created_before=asked.get("created_before"),
            limit=asked.get("limit", 20),
            cursor=asked.get("cursor"),
        )
    return json_response(_dump_history["include" in asked](page), headers=NOT_STORED)


def routes(kinds: Kinds) -> tuple[Route, ...]:
    """Return the route, for jobs of these kinds."""
    return (Route("/batch-import/jobs", "jobs", partial(jobs, HistoryQuerySchema(kinds))),)
