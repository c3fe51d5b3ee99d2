"""`GET /batch-import/jobs`: the organization's jobs, newest first, or several of them by id."""

from typing import NamedTuple

from flask import Blueprint, Response, request

from batchstatus.keys import ID
from batchstatus.model import Job
from batchstatus.web.context import current_store
from batchstatus.web.permissions import caller
from batchstatus.web.requests import query
from batchstatus.web.responses import json_response
from schemas import HistoryQuerySchema, HistoryResponseSchema, JobsQuerySchema, JobsResponseSchema
from schemas.dumping import compiled

blueprint = Blueprint("history", __name__)

NOT_STORED = [("Cache-Control", "private, no-cache")]

_HISTORY_QUERY, _JOBS_QUERY = HistoryQuerySchema(), JobsQuerySchema()
_dump_history, _dump_jobs = compiled(HistoryResponseSchema()), compiled(JobsResponseSchema())


class _Found(NamedTuple):
    """What was found of several jobs."""

    jobs: list[Job]
    not_found: list[str]


@blueprint.get("/batch-import/jobs")
def jobs() -> Response:
    """A page of history; with `ids`, these jobs."""
    org = caller().org
    return _by_id(org) if "ids" in request.args else _history(org)


def _by_id(org: str) -> Response:
    asked = query(_JOBS_QUERY)["ids"]
    found = current_store().get_many(org, [each for each in asked if ID.fullmatch(each)])
    there = _Found(
        jobs=[found[each] for each in asked if each in found],
        not_found=[each for each in asked if each not in found],
    )
    return json_response(_dump_jobs(there), headers=NOT_STORED)


def _history(org: str) -> Response:
    asked = query(_HISTORY_QUERY)
    page = current_store().list(
        org,
        kinds=asked.get("kind"),
        statuses=asked.get("status"),
        created_after=asked.get("created_after"),
        created_before=asked.get("created_before"),
        limit=asked.get("limit", 20),
        cursor=asked.get("cursor"),
    )
    return json_response(_dump_history(page), headers=NOT_STORED)
