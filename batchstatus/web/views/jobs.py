"""`GET /batch-import/jobs/{jobId}`: the polling endpoint."""

from collections.abc import Iterable
from typing import NamedTuple

from flask import Blueprint

from batchstatus.model import Job
from batchstatus.schemas import JobResponseSchema
from batchstatus.schemas.dumping import compiled
from batchstatus.web.conditional import conditional, known_state
from batchstatus.web.context import ApiRequest
from batchstatus.web.errors import invalid_request
from batchstatus.web.permissions import reader
from batchstatus.web.requests import parameters
from batchstatus.web.responses import Response, json_response
from batchstatus.web.views.failures import failures_response
from batchstatus.web.waiting import Hold, wanted_wait_s

blueprint = Blueprint("jobs", __name__)

INCLUDES = frozenset({"failures"})

_dump = compiled(JobResponseSchema())


class _Answer(NamedTuple):
    """What the schema is about."""

    job: Job


@blueprint.get("/batch-import/jobs/<job_id>")  # type: ignore[type-var]  # the application knows Hold
def job(request: ApiRequest, job_id: str) -> Response | Hold:
    """The job, or with `include=failures` its failed rows; held first if the caller prefers to wait."""
    org = reader(request, job_id).org
    store = request.store
    included = _included(request)
    if included == INCLUDES:
        outcome = store.outcome(org, job_id)
        return conditional(request, outcome.job, lambda headers: failures_response(outcome, headers), "failures")
    found = store.get(org, job_id)
    if unknown := sorted(included - INCLUDES):
        raise invalid_request({"include": f"unknown: {', '.join(unknown)}"})
    wait_s = wanted_wait_s(request.environ.get("HTTP_PREFER", ""))
    known = known_state(request) if wait_s else None
    if known is not None and known == found.state and not found.terminal and request.held is None:
        return Hold(org, job_id, found.state, wait_s)
    response = conditional(request, found, lambda headers: job_response(found, headers))
    if known is not None and (request.held or known != found.state):
        response.headers.append(("Preference-Applied", f"wait={wait_s}"))
    return response


def job_response(job: Job, headers: Iterable[tuple[str, str]] = ()) -> Response:
    """The body of section 2 of the contract."""
    return json_response(_dump(_Answer(job)), headers=headers)


def _included(request: ApiRequest) -> set[str]:
    if not request.query_string:
        return set()
    tokens = (token for value in parameters(request).getlist("include") for token in value.split(","))
    return {token for token in tokens if token}
