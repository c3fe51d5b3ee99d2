"""`POST /batch-import/jobs/{jobId}/control`: pause, resume, cancel."""

from functools import partial

from batchstatus.model.errors import InvalidTransition
from batchstatus.model.kinds import Kinds
from batchstatus.schemas import ControlSchema
from batchstatus.web.call import Call
from batchstatus.web.errors import ApiError
from batchstatus.web.permissions import reader, require
from batchstatus.web.requests import json_body
from batchstatus.web.responses import Response
from batchstatus.web.routing import Route
from batchstatus.web.views.jobs import job_response


def control(schema: ControlSchema, call: Call, job_id: str) -> Response:
    """Ask for an action, and answer with the job as it stands after it."""
    org = reader(call, job_id).org
    with call.store as store:
        job = store.get(org, job_id)
    asked = json_body(call, schema)
    if asked["kind"] != job.kind:
        raise ApiError(409, "KIND_MISMATCH", f"The job is of the kind {job.kind}.")
    # Anew, for the body may have taken its time, and the key may have been revoked meanwhile.
    caller = reader(call, job_id)
    require(call, caller, call.kinds[job.kind].permission)
    try:
        with call.store as store:
            return job_response(store.control(caller.org, job_id, asked["action"]))
    except InvalidTransition as error:
        raise ApiError(409, "JOB_ALREADY_TERMINAL", "The job has ended already.") from error


def routes(kinds: Kinds) -> tuple[Route, ...]:
    """Return the route, for jobs of these kinds."""
    view = partial(control, ControlSchema(kinds))
    return (Route("/batch-import/jobs/<job_id>/control", "control", view, "POST"),)
