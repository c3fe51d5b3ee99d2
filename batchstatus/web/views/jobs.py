"""`GET /batch-import/jobs/{jobId}`: the polling endpoint."""

from typing import NamedTuple

from batchstatus.model.job import Job, Part
from batchstatus.schemas import JobResponseSchema, PartsResponseSchema
from batchstatus.schemas.dumping import compiled
from batchstatus.web.call import Call
from batchstatus.web.conditional import is_known, known_state, poll_headers
from batchstatus.web.errors import invalid_request
from batchstatus.web.live.waiting import Hold, wanted_wait_s
from batchstatus.web.permissions import reader
from batchstatus.web.requests import parameters
from batchstatus.web.responses import Headers, Response, json_response
from batchstatus.web.routing import Route
from batchstatus.web.views.failures import failures_response

FAILURES, PARTS, PROGRESS = "failures", "parts", "progress"
INCLUDES = frozenset({FAILURES, PARTS, PROGRESS})

_dump = compiled(JobResponseSchema(exclude=("job.progress",)))
_dump_with_progress = compiled(JobResponseSchema())
_dump_parts = {
    False: compiled(PartsResponseSchema(exclude=("job.progress",))),
    True: compiled(PartsResponseSchema()),
}


class _Answer(NamedTuple):
    """What the schema is about."""

    job: Job
    parts: tuple[Part, ...] = ()


def job(call: Call, job_id: str) -> Response | Hold:
    """Answer with the job, or with `include=failures` its failed rows; a caller that prefers to wait is held."""
    org = reader(call, job_id).org
    included = _included(call)
    if included == {FAILURES}:
        return _failures(call, org, job_id)
    with call.store as store:
        found, parts = store.reader.parts(org, job_id) if PARTS in included else (store.get(org, job_id), None)
    _check(included)
    wait_s = wanted_wait_s(call.request.environ.get("HTTP_PREFER", ""))
    known = known_state(call.request) if wait_s else None
    would_wait = known is not None and known == found.state and not found.terminal and call.held is None
    if would_wait and call.parts.waits.has_room():
        return Hold(org, job_id, found.state, wait_s)
    headers = poll_headers(found)
    if known is not None and (call.held or known != found.state):
        headers.append(("Preference-Applied", f"wait={wait_s}"))
    if is_known(call.request, found):
        return Response(304, headers)
    if parts is not None:
        return json_response(_dump_parts[PROGRESS in included](_Answer(found, parts)), headers=headers)
    return job_response(found, headers, progress=PROGRESS in included)


def job_response(
    job: Job, headers: Headers | None = None, status: int = 200, *, progress: bool = False
) -> Response:
    """Return a response with the job as its body."""
    dump = _dump_with_progress if progress else _dump
    return json_response(dump(_Answer(job)), status, headers=headers or ())


def _failures(call: Call, org: str, job_id: str) -> Response:
    with call.store as store:
        outcome = store.outcome(org, job_id)
    headers = poll_headers(outcome.job, "failures")
    if is_known(call.request, outcome.job, "failures"):
        return Response(304, headers)
    return failures_response(call, outcome, headers)


def _check(included: set[str]) -> None:
    if unknown := sorted(included - INCLUDES):
        raise invalid_request({"include": f"unknown: {', '.join(unknown)}"})
    if FAILURES in included:  # and others, or it would have been answered
        raise invalid_request({"include": "failures stands alone: it answers with another body"})


def _included(call: Call) -> set[str]:
    if not call.request.query_string:
        return set()
    tokens = (token for value in parameters(call).getlist("include") for token in value.split(","))
    return {token for token in tokens if token}


ROUTES = (Route("/batch-import/jobs/<job_id>", "job", job),)
