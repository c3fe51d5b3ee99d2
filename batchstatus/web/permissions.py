"""Who may do what: every route that needs an API key asks here, and nowhere else."""

from batchstatus.apikeys import READ_PERMISSIONS, ApiKey
from batchstatus.errors import JobNotFound
from batchstatus.keys import ID
from batchstatus.web.context import ApiRequest
from batchstatus.web.errors import ApiError

_ENOUGH = ", ".join(sorted(READ_PERMISSIONS))


def caller(request: ApiRequest) -> ApiKey:
    """The caller, who may read the jobs of its organization; refuses others (401, 403)."""
    record = request.parts.access.key(request.environ.get("HTTP_AUTHORIZATION", ""), request.ask_the_store)
    if record is None:
        raise ApiError(
            401, "UNAUTHENTICATED", "A valid API key is needed.", headers={"WWW-Authenticate": "Bearer"}
        )
    request.org = record.org
    if not record.permissions & READ_PERMISSIONS:
        raise ApiError(403, "FORBIDDEN", f"The API key has none of the permissions {_ENOUGH}.")
    return record


def reader(request: ApiRequest, job_id: str) -> ApiKey:
    """The caller, who may read the jobs of its organization; refuses others (401, 403), and impossible ids."""
    record = caller(request)
    if not ID.fullmatch(job_id):
        raise JobNotFound("a malformed id names no job")
    return record


def require(caller: ApiKey, permission: str) -> None:
    """Refuse a caller without this permission (403)."""
    if permission not in caller.permissions:
        raise ApiError(403, "FORBIDDEN", f"The API key lacks the permission {permission}.")
