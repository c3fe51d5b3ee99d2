"""`GET /batch-import/jobs`: the organization's jobs, newest first, or several of them by id."""

from typing import NamedTuple

from flask import Blueprint

from batchstatus.keys import ID
from batchstatus.model import Job
from batchstatus.schemas import HistoryQuerySchema, HistoryResponseSchema, JobsQuerySchema, JobsResponseSchema
from batchstatus.schemas.dumping import compiled
from batchstatus.web.context import ApiRequest
from batchstatus.web.permissions import caller
from batchstatus.web.requests import parameters, query
from batchstatus.web.responses import Response, json_response

blueprint = Blueprint("history", __name__)

NOT_STORED = [("Cache-Control", "private, no-cache")]

_HISTORY_QUERY, _JOBS_QUERY = HistoryQuerySchema(), JobsQuerySchema()
_dump_history, _dump_jobs = compiled(HistoryResponseSchema()), compiled(JobsResponseSchema())


class _Found(NamedTuple):
    """What was found of several jobs."""

    jobs: list[Job]
    not_found: list[str]


@blueprint.get("/batch-import/jobs")
def jobs(request: ApiRequest) -> Response:
    """A page of history; with `ids`, these jobs."""
    org = caller(request).org
    return _by_id(request, org) if "ids" in parameters(request) else _history(request, org)


def _by_id(request: ApiRequest, org: str) -> Response:
    asked = query(request, _JOBS_QUERY)["ids"]
    found = request.store.get_many(org, [each for each in asked if ID.fullmatch(each)])
    there = _Found(
        jobs=[found[each] for each in asked if each in found],
        not_found=[each for each in asked if each not in found],
    )
    return json_response(_dump_jobs(there), headers=NOT_STORED)


def _history(request: ApiRequest, org: str) -> Response:
    asked = query(request, _HISTORY_QUERY)
    page = request.store.list(
        org,
        kinds=asked.get("kind"),
        statuses=asked.get("status"),
        created_after=asked.get("created_after"),
        created_before=asked.get("created_before"),
        limit=asked.get("limit", 20),
        cursor=asked.get("cursor"),
    )
    return json_response(_dump_history(page), headers=NOT_STORED)
