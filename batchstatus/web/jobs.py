"""`GET /batch-import/jobs/{jobId}`: the polling endpoint."""

from typing import NamedTuple

from flask import Blueprint, Response, g, request

from batchstatus.model import Job
from batchstatus.web.conditional import conditional, known_state
from batchstatus.web.context import current_store
from batchstatus.web.errors import invalid_request
from batchstatus.web.failures import failures_response
from batchstatus.web.permissions import reader
from batchstatus.web.responses import Headers, json_response
from batchstatus.web.waiting import Hold, wanted_wait_s
from schemas import JobResponseSchema
from schemas.dumping import compiled

blueprint = Blueprint("jobs", __name__)

INCLUDES = frozenset({"failures"})

_dump = compiled(JobResponseSchema())


class _Answer(NamedTuple):
    """What the schema is about."""

    job: Job


@blueprint.get("/batch-import/jobs/<job_id>")  # type: ignore[type-var]  # the application knows Hold
def job(job_id: str) -> Response | Hold:
    """The job, or with `include=failures` its failed rows; held first if the caller prefers to wait."""
    org = reader(job_id).org
    store = current_store()
    included = _included()
    if included == INCLUDES:
        outcome = store.outcome(org, job_id)
        return conditional(outcome.job, lambda headers: failures_response(outcome, headers), "failures")
    found = store.get(org, job_id)
    if unknown := sorted(included - INCLUDES):
        raise invalid_request({"include": f"unknown: {', '.join(unknown)}"})
    wait_s = wanted_wait_s()
    known = known_state() if wait_s else None
    if known == found.state and not found.terminal and "held" not in g:
        return Hold(org, job_id, found.state, wait_s)
    response = conditional(found, lambda headers: job_response(found, headers))
    if known is not None and (g.get("held") or known != found.state):
        response.headers["Preference-Applied"] = f"wait={wait_s}"
    return response


def job_response(job: Job, headers: Headers | None = None) -> Response:
    """The body of section 2 of the contract."""
    return json_response(_dump(_Answer(job)), headers=headers)


def _included() -> set[str]:
    if not request.query_string:
        return set()
    tokens = (token for value in request.args.getlist("include") for token in value.split(","))
    return {token for token in tokens if token}
