"""`GET /batch-import/jobs`: the organization's jobs, newest first, or several of them by id."""

from typing import NamedTuple

from batchstatus.keys import ID
from batchstatus.model import Job
from batchstatus.schemas import HistoryQuerySchema, HistoryResponseSchema, JobsQuerySchema, JobsResponseSchema
from batchstatus.schemas.dumping import compiled
from batchstatus.web.call import Call
from batchstatus.web.permissions import caller
from batchstatus.web.requests import parameters, query
from batchstatus.web.responses import Response, json_response
from batchstatus.web.routing import Route

NOT_STORED = [("Cache-Control", "private, no-cache")]

_HISTORY_QUERY, _JOBS_QUERY = HistoryQuerySchema(), JobsQuerySchema()
_dump_history, _dump_jobs = compiled(HistoryResponseSchema()), compiled(JobsResponseSchema())


class _Found(NamedTuple):
    """What was found of several jobs."""

    jobs: list[Job]
    not_found: list[str]


def jobs(call: Call) -> Response:
    """Answer with a page of history; with `ids`, with these jobs."""
    org = caller(call).org
    return _by_id(call, org) if "ids" in parameters(call) else _history(call, org)


def _by_id(call: Call, org: str) -> Response:
    asked = query(call, _JOBS_QUERY)["ids"]
    with call.store as store:
        found = store.get_many(org, [each for each in asked if ID.fullmatch(each)])
    there = _Found(
        jobs=[found[each] for each in asked if each in found],
        not_found=[each for each in asked if each not in found],
    )
    return json_response(_dump_jobs(there), headers=NOT_STORED)


def _history(call: Call, org: str) -> Response:
    asked = query(call, _HISTORY_QUERY)
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
    return json_response(_dump_history(page), headers=NOT_STORED)


ROUTES = (Route("/batch-import/jobs", "jobs", jobs),)
