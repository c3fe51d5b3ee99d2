"""`GET /batch-import/caller`: who calls, and what the caller may do; for pages that show only what can be done."""

from typing import NamedTuple

from batchstatus.model.kinds import JobKind
from batchstatus.schemas import CallerResponseSchema
from batchstatus.schemas.dumping import compiled
from batchstatus.web.access import Caller, TicketHolder
from batchstatus.web.call import Call
from batchstatus.web.permissions import caller
from batchstatus.web.responses import Response, json_response
from batchstatus.web.routing import Route

NOT_STORED = [("Cache-Control", "no-store")]

_dump = compiled(CallerResponseSchema())


class _Caller(NamedTuple):
    org: str
    ticket: bool
    job_id: str | None


class _Kind(NamedTuple):
    name: str
    path: str
    columns: list[str]
    skips: bool
    controls: bool


class _Answer(NamedTuple):
    """What the schema is about."""

    caller: _Caller
    kinds: list[_Kind]


def who(call: Call) -> Response:
    """Answer with the caller, and for each kind whether the caller may control its jobs."""
    found = caller(call)
    kinds = [_kind(kind, found) for kind in call.kinds]
    described = _Caller(found.org, isinstance(found, TicketHolder), found.job_id)
    return json_response(_dump(_Answer(described, kinds)), headers=NOT_STORED)


def _kind(kind: JobKind, caller: Caller) -> _Kind:
    return _Kind(kind.name, kind.path, [*kind.columns], kind.skips, kind.permission in caller.permissions)


ROUTES = (Route("/batch-import/caller", "caller", who),)
