"""Who may do what: every route that needs a caller asks here, and nowhere else."""

from batchstatus.model.errors import JobNotFound
from batchstatus.model.keys import ID
from batchstatus.web.access import Caller, TicketHolder
from batchstatus.web.call import Call
from batchstatus.web.errors import ApiError


def caller(call: Call) -> Caller:
    """Return the caller, who may read jobs of its organization: all, or its `job_id`. Refuses others: 401, 403."""
    found = known(call)
    if not found.may_read(call.kinds.read_permissions):
        enough = ", ".join(sorted(call.kinds.read_permissions))
        raise ApiError(403, "FORBIDDEN", f"{call.parts.access.holder} has none of the permissions {enough}.")
    return found


RUN = "jobs:run"
"""The permission of a worker that runs jobs over HTTP."""


def runner(call: Call, job_id: str) -> Caller:
    """Return the caller, who may run its organization's jobs. Refuses others (401, 403), impossible ids (404)."""
    found = known(call)
    require(call, found, RUN)
    if not ID.fullmatch(job_id):
        raise JobNotFound("a malformed id names no job")
    return found


def known(call: Call) -> Caller:
    """Return the caller, whatever it may do. Refuses a caller that nobody knows: 401."""
    access = call.parts.access
    found = access.caller(call.request, call.store)
    if found is None:
        raise ApiError(401, "UNAUTHENTICATED", access.needed, headers={"WWW-Authenticate": "Bearer"})
    call.org = found.org
    return found


def reader(call: Call, job_id: str) -> Caller:
    """Return the caller, who may read the job if it is its organization's. Refuses others (401, 403, 404)."""
    found = caller(call)
    if not ID.fullmatch(job_id):
        raise JobNotFound("a malformed id names no job")
    if found.job_id not in (None, job_id):
        raise JobNotFound("the ticket is for another job")
    return found


def no_ticket(caller: Caller) -> None:
    """Refuse a ticket (403)."""
    if isinstance(caller, TicketHolder):
        raise ApiError(403, "FORBIDDEN", "A ticket reads and does nothing else.")


def require(call: Call, caller: Caller, permission: str) -> None:
    """Refuse a caller without this permission (403)."""
    no_ticket(caller)
    if permission not in caller.permissions:
        raise ApiError(403, "FORBIDDEN", f"{call.parts.access.holder} lacks the permission {permission}.")
