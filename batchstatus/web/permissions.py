"""Who may do what: every route that needs a caller asks here, and nowhere else."""

from batchstatus.apikeys import READ_PERMISSIONS
from batchstatus.errors import JobNotFound
from batchstatus.keys import ID
from batchstatus.web.access import Caller
from batchstatus.web.call import Call
from batchstatus.web.errors import ApiError

_ENOUGH = ", ".join(sorted(READ_PERMISSIONS))


def caller(call: Call) -> Caller:
    """Return the caller, who may read the jobs of its organization. Refuses others: 401, 403."""
    found = call.parts.access.caller(call.request, call.store)
    if found is None:
        raise ApiError(
            401, "UNAUTHENTICATED", "A valid API key is needed.", headers={"WWW-Authenticate": "Bearer"}
        )
    call.org = found.org
    if not found.has_one_of(READ_PERMISSIONS):
        raise ApiError(403, "FORBIDDEN", f"The API key has none of the permissions {_ENOUGH}.")
    return found


def reader(call: Call, job_id: str) -> Caller:
    """Return the caller, who may read its organization's jobs. Refuses others (401, 403), impossible ids (404)."""
    found = caller(call)
    if not ID.fullmatch(job_id):
        raise JobNotFound("a malformed id names no job")
    return found


def require(caller: Caller, permission: str) -> None:
    """Refuse a caller without this permission (403)."""
    if permission not in caller.permissions:
        raise ApiError(403, "FORBIDDEN", f"The API key lacks the permission {permission}.")
