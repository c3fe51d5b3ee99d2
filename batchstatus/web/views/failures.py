"""Failed rows per kind: the first 500 as JSON, or all of them as CSV."""

from collections.abc import Iterable
from functools import partial

from batchstatus.errors import JobNotFound
from batchstatus.model import Kind, Outcome
from batchstatus.schemas import FAILURES_SCHEMAS
from batchstatus.web.call import Call
from batchstatus.web.permissions import reader
from batchstatus.web.responses import Response, json_response
from batchstatus.web.routing import Route
from batchstatus.web.views.csv import MEDIA_TYPE, csv_chunks

PAGE_ROWS = 250
"""So many rows of a CSV are read and sent together; while they are made, nobody else has a turn."""

PATHS = {
    Kind.TRANSACTION_BATCH: "/batch-import/transaction-jobs/<job_id>/failures",
    Kind.USER_EVENT_BATCH: "/batch-import/user-event-jobs/<job_id>/failures",
    Kind.ENTITY_AUTOMATIC: "/batch-import/entity-jobs/<job_id>/failures",
}
LEGACY_ENTITY_CSV = "/entities/automatic/bulk/imports/<job_id>/failures.csv"

_SCHEMAS = {kind: schema() for kind, schema in FAILURES_SCHEMAS.items()}


def failures_response(outcome: Outcome, headers: Iterable[tuple[str, str]] = ()) -> Response:
    """The JSON body, the same from every route that has it."""
    return json_response(_SCHEMAS[outcome.job.kind].dump(outcome), headers=headers)


def failures_json(kind: Kind, call: Call, job_id: str) -> Response:
    """Answer with the first 500 failed rows of a job of this kind."""
    org = reader(call, job_id).org
    with call.store as store:
        outcome = store.outcome(org, job_id)
    if outcome.job.kind is not kind:
        raise JobNotFound("the path is for jobs of another kind")
    return failures_response(outcome)


def failures_csv(kind: Kind, call: Call, job_id: str) -> Response:
    """Answer with every stored failed row of a job of this kind, streamed."""
    org = reader(call, job_id).org
    with call.store as store:
        found, pages = store.failure_pages(org, job_id, PAGE_ROWS)
    if found.kind is not kind:
        raise JobNotFound("the path is for jobs of another kind")
    headers = [
        ("Content-Type", MEDIA_TYPE),
        ("Content-Disposition", f'attachment; filename="{job_id}-failures.csv"'),
        ("X-Content-Type-Options", "nosniff"),
    ]
    return Response(200, headers, csv_chunks(kind, pages, call.request.environ.get("gunicorn.socket")))


ROUTES = (
    *(Route(path, f"{kind}_json", partial(failures_json, kind)) for kind, path in PATHS.items()),
    *(Route(f"{path}.csv", f"{kind}_csv", partial(failures_csv, kind)) for kind, path in PATHS.items()),
    Route(LEGACY_ENTITY_CSV, "legacy_csv", partial(failures_csv, Kind.ENTITY_AUTOMATIC)),
)
