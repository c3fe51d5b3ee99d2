"""`POST /batch-import/jobs/{jobId}/control`: pause, resume, cancel."""

from flask import Blueprint

from batchstatus.errors import InvalidTransition
from batchstatus.model import Kind
from batchstatus.schemas import ControlSchema
from batchstatus.web.context import ApiRequest
from batchstatus.web.errors import ApiError
from batchstatus.web.permissions import reader, require
from batchstatus.web.requests import json_body
from batchstatus.web.responses import Response
from batchstatus.web.views.jobs import job_response

blueprint = Blueprint("control", __name__)

PERMISSIONS = {
    Kind.TRANSACTION_BATCH: "transactions:create",
    Kind.USER_EVENT_BATCH: "events:create",
    Kind.ENTITY_AUTOMATIC: "entities:bulk_import",
}
"""Controlling a job needs the permission of its kind."""

_CONTROL = ControlSchema()


@blueprint.post("/batch-import/jobs/<job_id>/control")
def control(request: ApiRequest, job_id: str) -> Response:
    """Ask for an action, and answer with the job as it stands after it."""
    caller, store = reader(request, job_id), request.store
    job = store.get(caller.org, job_id)
    asked = json_body(request, _CONTROL)
    if asked["kind"] != job.kind:
        raise ApiError(409, "KIND_MISMATCH", f"The job is of the kind {job.kind}.")
    # Anew, for the body may have taken its time, and the key may have been revoked meanwhile.
    caller = reader(request, job_id)
    require(caller, PERMISSIONS[job.kind])
    try:
        return job_response(store.control(caller.org, job_id, asked["action"]))
    except InvalidTransition as error:
        raise ApiError(409, "JOB_ALREADY_TERMINAL", "The job has ended already.") from error
