"""`GET /batch-import/jobs/{jobId}`: the polling endpoint."""

from typing import NamedTuple

from batchstatus.model import Job
from batchstatus.schemas import JobResponseSchema
from batchstatus.schemas.dumping import compiled
from batchstatus.web.call import Call
from batchstatus.web.conditional import is_known, known_state, poll_headers
from batchstatus.web.errors import invalid_request
from batchstatus.web.permissions import reader
from batchstatus.web.requests import parameters
from batchstatus.web.responses import Headers, Response, json_response
from batchstatus.web.routing import Route
from batchstatus.web.views.failures import failures_response
from batchstatus.web.waiting import Hold, wanted_wait_s

INCLUDES = frozenset({"failures"})

_dump = compiled(JobResponseSchema())


class _Answer(NamedTuple):
    """What the schema is about."""

    job: Job


def job(call: Call, job_id: str) -> Response | Hold:
    """Answer with the job, or with `include=failures` its failed rows; a caller that prefers to wait is held."""
    org = reader(call, job_id).org
    included = _included(call)
    if included == INCLUDES:
        return _failures(call, org, job_id)
    with call.store as store:
        found = store.get(org, job_id)
    if unknown := sorted(included - INCLUDES):
        raise invalid_request({"include": f"unknown: {', '.join(unknown)}"})
    wait_s = wanted_wait_s(call.request.environ.get("HTTP_PREFER", ""))
    known = known_state(call.request) if wait_s else None
    would_wait = known is not None and known == found.state and not found.terminal and call.held is None
    if would_wait and call.parts.waits.has_room():
        return Hold(org, job_id, found.state, wait_s)
    headers = poll_headers(found)
    if known is not None and (call.held or known != found.state):
        headers.append(("Preference-Applied", f"wait={wait_s}"))
    return Response(304, headers) if is_known(call.request, found) else job_response(found, headers)


def job_response(job: Job, headers: Headers | None = None) -> Response:
    """Return a response with the job as its body."""
    return json_response(_dump(_Answer(job)), headers=headers or ())


def _failures(call: Call, org: str, job_id: str) -> Response:
    with call.store as store:
        outcome = store.outcome(org, job_id)
    headers = poll_headers(outcome.job, "failures")
    if is_known(call.request, outcome.job, "failures"):
        return Response(304, headers)
    return failures_response(outcome, headers)


def _included(call: Call) -> set[str]:
    if not call.request.query_string:
        return set()
    tokens = (token for value in parameters(call).getlist("include") for token in value.split(","))
    return {token for token in tokens if token}


ROUTES = (Route("/batch-import/jobs/<job_id>", "job", job),)
