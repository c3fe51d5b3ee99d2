"""`GET /openapi.json`: the HTTP API as OpenAPI 3.1, made from the schemas that the bodies are made of."""

from functools import partial

import orjson
from apispec import APISpec
from prometheus_client import CONTENT_TYPE_LATEST

from batchstatus import __version__
from batchstatus.model.kinds import JobKind, Kinds
from batchstatus.schemas import (
    CallerResponseSchema,
    ControlSchema,
    ErrorSchema,
    JobListSchema,
    JobResponseSchema,
    PartsResponseSchema,
    ReadySchema,
    SuccessSchema,
    TicketResponseSchema,
    TicketSchema,
)
from batchstatus.schemas.failures import words_of
from batchstatus.web.call import Call
from batchstatus.web.responses import Response, whole_response
from batchstatus.web.routing import Route
from batchstatus.web.views import csv, events
from batchstatus.web.views.describing import (
    ABOUT_FAILURES,
    BOM,
    ERRORS,
    HEADERS,
    IF_NONE_MATCH,
    INCLUDE,
    JOB_ID,
    LAST_EVENT_ID,
    OF_A_POLL,
    PAGE,
    PREFER,
    RUN_ID,
    Described,
    error_response,
    job_operation,
    jobs_operation,
    json_content,
    operation,
    response,
)
from batchstatus.web.views.describing_runs import creating, running
from batchstatus.web.views.describing_schemas import Marshmallow, words
from batchstatus.web.views.failures import path_of, schema_of

_ABOUT = """How far is my import? Poll a job every 2 to 5 s, and stop at a terminal status; those are final.

`HEAD` works as `GET` does, without a body. Whatever is not described here, such as an unknown path or
method, and whatever is not HTTP, is answered in the shape of `ErrorResponse` too.

Later versions may add members, statuses, kinds and codes. Ignore members that you do not know, and take a status
that you do not know for one that is not terminal."""


def document(kinds: Kinds) -> Described:
    """The whole document."""
    spec = APISpec(
        title="batchstatus",
        version=__version__,
        openapi_version="3.1.0",
        info={"description": _ABOUT, "license": {"name": "MIT", "identifier": "MIT"}},
        plugins=[Marshmallow()],
    )
    spec.components.security_scheme("apiKey", {"type": "http", "scheme": "bearer"})
    for name, described in HEADERS.items():
        spec.components.header(name, described)
    spec.components.parameter("jobId", "path", JOB_ID)
    spec.components.parameter("runId", "path", RUN_ID)
    for name, component in words(kinds).items():
        spec.components.schema(name, component)
    spec.components.schema("ErrorResponse", schema=ErrorSchema)
    for status, (codes, when) in ERRORS.items():
        spec.components.response(str(status), error_response(status, codes, when))
    for path, operations in (_jobs(kinds) | running() | _browsers() | _failures(kinds) | _ops()).items():
        spec.path(path.replace("<job_id>", "{jobId}").replace("<run_id>", "{runId}"), operations=operations)
    return spec.to_dict()


def _jobs(kinds: Kinds) -> dict[str, Described]:
    answer = response("The job as it stands.", json_content(JobResponseSchema))
    poll = response("The job.", json_content(PartsResponseSchema), *OF_A_POLL)
    rest: Described = {"parameters": [INCLUDE, IF_NONE_MATCH, PREFER], "description": ABOUT_FAILURES}
    get_job = job_operation("getJob", "How far the job is", poll, 400, **rest)
    get_job["responses"]["304"] = response("It is as you have it.", {}, *OF_A_POLL)
    page = response(
        "A page, newest first; with `ids`, these jobs.",
        json_content(JobListSchema),
        "Cache-Control",
    )
    about = "Cooperative: the worker obeys with its next report. Repeating an action changes nothing."
    return {
        "/batch-import/jobs": {
            "get": jobs_operation("listJobs", "The organization's jobs", page, 400, parameters=[*PAGE]),
            "post": creating(kinds),
        },
        "/batch-import/jobs/<job_id>": {"get": get_job},
        "/batch-import/jobs/<job_id>/control": {
            "post": job_operation(
                *("controlJob", "Pause, resume or cancel the job", answer, 400, 408, 409, 413),
                description=about,
                requestBody={"required": True, "content": json_content(ControlSchema(kinds))},
            )
        },
        **_events(),
    }


def _events() -> dict[str, Described]:
    of_a_job = response(
        "`event: job` with the job's entity tag as `id`, and the job with its progress as `data`: at once, at "
        "every change, at the end. Or `event: error` with an `ErrorResponse`. After either the stream ends.",
        {events.MEDIA_TYPE: {"schema": {"type": "string"}}},
    )
    about = "The same events of the newest 100 jobs that have not ended, and of those that end. It has no end."
    of_all = response(about, {events.MEDIA_TYPE: {"schema": {"type": "string"}}})
    one = job_operation("listenToJob", "The job as it changes", of_a_job, parameters=[LAST_EVENT_ID])
    one["responses"]["204"] = response("You have seen the end.", {})
    every = jobs_operation("listenToJobs", "The jobs as they change", of_all, parameters=[LAST_EVENT_ID])
    return {"/batch-import/jobs/<job_id>/events": {"get": one}, "/batch-import/events": {"get": every}}


def _browsers() -> dict[str, Described]:
    minted = response("The ticket, which is shown once.", json_content(TicketResponseSchema))
    about = "For a browser: it goes where an API key goes, reads one job or the organization's, and does no more."
    body = {"requestBody": {"required": True, "content": json_content(TicketSchema)}}
    errors = (400, 404, 408, 413)
    minting = jobs_operation(
        "createTicket", "Mint a ticket", minted, *errors, success=201, description=about, **body
    )
    who = response("The caller, and what it may do.", json_content(CallerResponseSchema))
    return {
        "/batch-import/tickets": {"post": minting},
        "/batch-import/caller": {"get": jobs_operation("getCaller", "Who calls, and may do what", who)},
    }


def _failures(kinds: Kinds) -> dict[str, Described]:
    paths: dict[str, Described] = {}
    for kind in kinds:
        paths |= _failures_of(kind)
    return paths


def _failures_of(kind: JobKind) -> dict[str, Described]:
    """The routes of one kind. `x-kind` tells clients where the failed rows of a kind are."""
    rows = response(
        "Every stored failed row; the connection is cut if they cannot all be had.",
        {csv.MEDIA_TYPE: {"schema": {"type": "string"}}},
        "Content-Disposition",
        "X-Content-Type-Options",
    )
    name, path, mark = words_of(kind), path_of(kind), {"parameters": [BOM]}
    first = response("The job's counters and its first 500 failed rows.", json_content(schema_of(kind)))
    about = {"description": f"Columns: `{','.join(kind.columns.values())}`.", "x-kind": str(kind.name)}
    failed = f"Failed rows of a job of the kind {kind.name}"
    json_operation = job_operation(f"get{name}Failures", failed, first, **{"x-kind": str(kind.name)})
    paths = {
        path: {"get": json_operation},
        f"{path}.csv": {
            "get": job_operation(f"get{name}FailuresCsv", "All of them as CSV", rows, 400, **mark, **about)
        },
    }
    if kind.csv_alias:
        same = f"The same as `{path.replace('<job_id>', '{jobId}')}.csv`."
        alias = job_operation(
            f"get{name}FailuresCsvAlias", f"{failed}, as CSV", rows, 400, **mark, description=same
        )
        paths[kind.csv_alias] = {"get": alias}
    return paths


def _ops() -> dict[str, Described]:
    up = response("Yes.", json_content(SuccessSchema))
    ready = response("Yes. `writes` is there, and false, if the store is read-only.", json_content(ReadySchema))
    itself = response("This document.", {"application/json": {"schema": {"type": "object"}}})
    metrics = response("The metrics.", {CONTENT_TYPE_LATEST: {"schema": {"type": "string"}}})
    return {
        "/livez": {"get": operation("isLive", "Is the process up?", up)},
        "/readyz": {"get": operation("isReady", "Does the store answer?", ready, 503)},
        "/metrics": {"get": operation("getMetrics", "For Prometheus", metrics)},
        "/openapi.json": {"get": operation("getOpenapi", "This description", itself)},
    }


def openapi(described: Described, call: Call) -> Response:
    """The document. Below a prefix, of a proxy's or a host's, its paths are relative to the prefix."""
    prefix = f"{call.request.script_root}{call.request.path}".removesuffix("/openapi.json")
    body = orjson.dumps({**described, "servers": [{"url": prefix}]} if prefix else described)
    return whole_response(body, "application/json")


def routes(kinds: Kinds) -> tuple[Route, ...]:
    """Return the route of the document, which describes these kinds."""
    return (Route("/openapi.json", "openapi", partial(openapi, document(kinds))),)
