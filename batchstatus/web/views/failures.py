"""Failed rows per kind: the first 500 as JSON, or all of them as CSV."""

from collections.abc import Iterable
from functools import lru_cache, partial

from marshmallow import Schema

from batchstatus.model.errors import JobNotFound
from batchstatus.model.job import Outcome
from batchstatus.model.kinds import JobKind, Kinds
from batchstatus.schemas import failures_schema
from batchstatus.web.call import Call
from batchstatus.web.errors import invalid_request
from batchstatus.web.permissions import reader
from batchstatus.web.requests import parameters
from batchstatus.web.responses import Response, json_response
from batchstatus.web.routing import Route
from batchstatus.web.views.csv import MEDIA_TYPE, csv_chunks

PAGE_ROWS = 250
"""So many rows of a CSV are read and sent together; while they are made, nobody else has a turn."""


def path_of(kind: JobKind) -> str:
    """The path of a kind's failed rows as JSON; as CSV it ends with `.csv`."""
    return f"/batch-import/{kind.path}/<job_id>/failures"


@lru_cache(maxsize=256)
def schema_of(kind: JobKind) -> Schema:
    """The schema of a kind's failures body, made once."""
    return failures_schema(kind)()


def failures_response(call: Call, outcome: Outcome, headers: Iterable[tuple[str, str]] = ()) -> Response:
    """The JSON body, the same from every route that has it."""
    if outcome.rows_lost:
        call.parts.metrics.lists_with_losses.inc()
    return json_response(schema_of(call.kinds[outcome.job.kind]).dump(outcome), headers=headers)


def failures_json(kind: JobKind, call: Call, job_id: str) -> Response:
    """Answer with the first 500 failed rows of a job of this kind."""
    org = reader(call, job_id).org
    with call.store as store:
        outcome = store.outcome(org, job_id)
    if outcome.job.kind != kind.name:
        raise JobNotFound("the path is for jobs of another kind")
    return failures_response(call, outcome)


def failures_csv(kind: JobKind, call: Call, job_id: str) -> Response:
    """Answer with every stored failed row of a job of this kind, streamed."""
    org = reader(call, job_id).org
    with call.store as store:
        found, pages = store.failure_pages(org, job_id, PAGE_ROWS)
    if found.kind != kind.name:
        raise JobNotFound("the path is for jobs of another kind")
    bom = _with_bom(call)
    headers = [
        ("Content-Type", MEDIA_TYPE),
        ("Content-Disposition", f'attachment; filename="{job_id}-failures.csv"'),
        ("X-Content-Type-Options", "nosniff"),
    ]
    connection, lost = call.request.environ.get("gunicorn.socket"), call.parts.metrics.lists_with_losses.inc
    return Response(200, headers, csv_chunks(kind, pages, connection, lost, bom=bom))


def _with_bom(call: Call) -> bool:
    """Return True for `bom=true`. Without the mark some spreadsheets take UTF-8 for an older encoding."""
    given = parameters(call).getlist("bom") if call.request.query_string else []
    if given not in ([], ["true"], ["false"]):
        raise invalid_request({"bom": "not true or false, once"})
    return given == ["true"]


def routes(kinds: Kinds) -> tuple[Route, ...]:
    """Return the routes of these kinds."""
    aliases = [(kind, kind.csv_alias) for kind in kinds if kind.csv_alias]
    return (
        *(Route(path_of(kind), f"{kind.name}_json", partial(failures_json, kind)) for kind in kinds),
        *(Route(f"{path_of(kind)}.csv", f"{kind.name}_csv", partial(failures_csv, kind)) for kind in kinds),
        *(Route(path, f"{kind.name}_csv_alias", partial(failures_csv, kind)) for kind, path in aliases),
    )
