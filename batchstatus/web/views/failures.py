"""Failed rows per kind: the first 500 as JSON, or all of them as CSV."""

from collections.abc import Iterable
from functools import partial

from flask import Blueprint

from batchstatus.errors import JobNotFound
from batchstatus.model import Kind, Outcome
from batchstatus.schemas import FAILURES_SCHEMAS
from batchstatus.web.context import ApiRequest
from batchstatus.web.permissions import reader
from batchstatus.web.responses import Response, json_response
from batchstatus.web.views.csv import MEDIA_TYPE, csv_chunks

blueprint = Blueprint("failures", __name__)

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


def failures_json(kind: Kind, request: ApiRequest, job_id: str) -> Response:
    """The first 500 failed rows of a job of this kind."""
    org = reader(request, job_id).org
    outcome = request.store.outcome(org, job_id)
    if outcome.job.kind is not kind:
        raise JobNotFound("the path is for jobs of another kind")
    return failures_response(outcome)


def failures_csv(kind: Kind, request: ApiRequest, job_id: str) -> Response:
    """Every stored failed row of a job of this kind, streamed."""
    org = reader(request, job_id).org
    found, pages = request.store.failure_pages(org, job_id, PAGE_ROWS)
    if found.kind is not kind:
        raise JobNotFound("the path is for jobs of another kind")
    headers = [
        ("Content-Type", MEDIA_TYPE),
        ("Content-Disposition", f'attachment; filename="{job_id}-failures.csv"'),
        ("X-Content-Type-Options", "nosniff"),
    ]
    chunks = csv_chunks(kind, pages, request.environ.get("gunicorn.socket"))
    return Response(200, headers, chunks)


for _kind, _path in PATHS.items():
    blueprint.add_url_rule(_path, f"{_kind}_json", partial(failures_json, _kind), methods=["GET"])
    blueprint.add_url_rule(f"{_path}.csv", f"{_kind}_csv", partial(failures_csv, _kind), methods=["GET"])
blueprint.add_url_rule(
    LEGACY_ENTITY_CSV, "legacy_csv", partial(failures_csv, Kind.ENTITY_AUTOMATIC), methods=["GET"]
)
