"""`POST /batch-import/tickets`: a short-lived secret for a browser, which reads one job or the organization's."""

from typing import NamedTuple

from batchstatus.model.errors import ApiKeyNotFound, JobNotFound
from batchstatus.model.keys import ID
from batchstatus.schemas import TicketResponseSchema, TicketSchema
from batchstatus.schemas.dumping import compiled
from batchstatus.tickets import DEFAULT_S
from batchstatus.web.call import Call
from batchstatus.web.errors import ApiError
from batchstatus.web.permissions import caller, no_ticket
from batchstatus.web.requests import json_body
from batchstatus.web.responses import Response, json_response
from batchstatus.web.routing import Route

NOT_STORED = [("Cache-Control", "no-store")]

_TICKET = TicketSchema()
_dump = compiled(TicketResponseSchema())


class _Answer(NamedTuple):
    """What the schema is about."""

    ticket: str
    expires_at: object


def create(call: Call) -> Response:
    """Mint a ticket for whoever may read, and is no ticket's holder."""
    no_ticket(caller(call))
    asked = json_body(call, _TICKET)
    found = caller(call)  # anew, for the body may have taken its time
    job_id, access = asked.get("jobId"), call.parts.access
    if job_id is not None and not ID.fullmatch(job_id):
        raise JobNotFound("a malformed id names no job")
    try:
        with call.store as store:
            if job_id is not None:
                store.get(found.org, job_id)
            ticket, record = store.tickets.create(
                found.org,
                job_id=job_id,
                expires_in_s=asked.get("seconds", DEFAULT_S),
                api_key=access.api_key(call.request),
            )
    except ApiKeyNotFound:  # revoked a moment ago
        raise ApiError(401, "UNAUTHENTICATED", access.needed, headers={"WWW-Authenticate": "Bearer"}) from None
    return json_response(_dump(_Answer(ticket, record.expires_at)), 201, NOT_STORED)


ROUTES = (Route("/batch-import/tickets", "tickets", create, "POST"),)
