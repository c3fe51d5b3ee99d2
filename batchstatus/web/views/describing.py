"""The pieces of the OpenAPI document: errors, headers and parameters, and what operations are made of."""

from collections.abc import Mapping
from typing import Any, TypeAlias

from batchstatus.model.job import MAX_PAGE
from batchstatus.model.keys import ID
from batchstatus.schemas import ErrorSchema
from batchstatus.web.views.jobs import FAILURES, INCLUDES

Described: TypeAlias = dict[str, Any]
"""A piece of an OpenAPI document."""

ERRORS: Mapping[int, tuple[tuple[str, ...], str]] = {
    400: (
        ("INVALID_REQUEST", "TOO_MANY_ROWS", "BAD_REQUEST"),
        "The request has bad fields, named in `details`, or too many rows, or is no HTTP.",
    ),
    401: (("UNAUTHENTICATED",), "No API key or ticket, or one that is malformed, unknown, expired or revoked."),
    403: (("FORBIDDEN",), "The caller lacks the permission that this needs; a ticket only reads."),
    404: (("JOB_NOT_FOUND",), "The job is unknown, its id malformed, or it is another organization's."),
    408: (("BAD_REQUEST",), "The request body took too long."),
    409: (
        (
            *("KIND_MISMATCH", "JOB_ALREADY_TERMINAL", "JOB_EXISTS", "JOB_NOT_SPLITTABLE"),
            *("LEASE_HELD", "LEASE_LOST", "REPORTS_LOST"),
        ),
        "The job is of another kind, has ended, has other content, parts or another worker; or the run is over.",
    ),
    413: (("PAYLOAD_TOO_LARGE",), "The request body is larger than 64 KiB; than 1 MiB to create or run a job."),
    414: (("BAD_REQUEST",), "The path and the query are longer than 8,190 bytes."),
    500: (("INTERNAL_ERROR",), "Something went wrong on our side."),
    503: (
        ("STORE_UNAVAILABLE", "TOO_MANY_LISTENERS"),
        "The store does not answer at the moment, or the process has no room for another listener.",
    ),
}
"""For each status that means an error: the codes that it comes with, and when."""

HEADERS: Mapping[str, Described] = {
    "X-Request-Id": {
        "required": True,
        "schema": {"type": "string"},
        "description": "Yours if it was a sane one, else ours.",
    },
    "WWW-Authenticate": {"required": True, "schema": {"type": "string", "const": "Bearer"}},
    "Content-Disposition": {"required": True, "schema": {"type": "string", "pattern": "^attachment;"}},
    "X-Content-Type-Options": {"required": True, "schema": {"type": "string", "const": "nosniff"}},
    "ETag": {"required": True, "schema": {"type": "string", "pattern": '^W/"'}},
    "Cache-Control": {"required": True, "schema": {"type": "string", "const": "private, no-cache"}},
    "Retry-After": {
        "schema": {"type": "integer", "minimum": 1},
        "description": "Seconds; with a job, while its status is not terminal; with `LEASE_HELD`.",
    },
    "Location": {
        "required": True,
        "schema": {"type": "string", "pattern": "^/"},
        "description": "Where the job is polled.",
    },
    "Preference-Applied": {
        "schema": {"type": "string", "pattern": "^wait="},
        "description": "There if `Prefer` has been heeded.",
    },
}
OF_A_POLL = ("ETag", "Cache-Control", "Retry-After", "Preference-Applied")

JOB_ID: Described = {
    "name": "jobId",
    "in": "path",
    "required": True,
    "description": "The job's id.",
    "schema": {"type": "string", "pattern": f"^{ID.pattern}$"},
}
RUN_ID: Described = {
    "name": "runId",
    "in": "path",
    "required": True,
    "description": "As the claim has answered.",
    "schema": {"type": "string", "pattern": "^[A-Za-z0-9._-]+$"},
}
INCLUDE: Described = {
    "name": "include",
    "in": "query",
    "description": "`progress`: the job with its pace and the time left. `parts`: the parts of a split job too. "
    "Leave it out while polling for the end.",
    "schema": {"type": "array", "items": {"type": "string", "enum": sorted(INCLUDES - {FAILURES})}},
    "style": "form",
    "explode": False,
}
ABOUT_FAILURES = """With `include=failures`, alone, the answer is another body: that of `get…Failures` for the
job's kind, the operation with its name as `x-kind`. Call that one: so each operation has one type of answer."""

BOM: Described = {
    "name": "bom",
    "in": "query",
    "description": "`true`: the file begins with a byte order mark, so that spreadsheets read it as UTF-8.",
    "schema": {"type": "boolean"},
}
IF_NONE_MATCH: Described = {
    "name": "If-None-Match",
    "in": "header",
    "description": "The `ETag` of what you have: 304 if it still holds.",
    "schema": {"type": "string"},
}


def _query(name: str, about: str, schema: Described) -> Described:
    return {"name": name, "in": "query", "description": about, "schema": schema, "style": "form", "explode": False}


def of_component(name: str) -> Described:
    """A reference to a schema that has a name of its own."""
    return {"$ref": f"#/components/schemas/{name}"}


PAGE: tuple[Described, ...] = (
    _query("kind", "Only these kinds.", {"type": "array", "items": of_component("JobKind")}),
    _query("status", "Only these statuses.", {"type": "array", "items": of_component("JobStatus")}),
    _query("createdAfter", "Only jobs created after this.", {"type": "string", "format": "date-time"}),
    _query("createdBefore", "Only jobs created before this.", {"type": "string", "format": "date-time"}),
    _query("limit", "How many, 20 unless told.", {"type": "integer", "minimum": 1, "maximum": MAX_PAGE}),
    _query("cursor", "The `nextCursor` of the page before.", {"type": "string"}),
    _query(
        "ids",
        "These jobs, in this order; no other parameter goes with it, but `include`.",
        {"type": "array", "items": {"type": "string"}, "minItems": 1, "maxItems": MAX_PAGE},
    ),
    _query(
        "include",
        "`progress`: each job with its pace and the time left.",
        {"type": "array", "items": {"type": "string", "enum": ["progress"]}},
    ),
)


LAST_EVENT_ID: Described = {
    "name": "Last-Event-ID",
    "in": "header",
    "description": "The `id` of the last event that you have. What you have is not sent again.",
    "schema": {"type": "string"},
}
PREFER: Described = {
    "name": "Prefer",
    "in": "header",
    "description": "`wait=<seconds>`, at most 30 (RFC 7240): together with `If-None-Match`, the answer is held "
    "until the job's status or a control flag is another, or the time is up.",
    "schema": {"type": "string"},
}


def job_operation(name: str, summary: str, answer: Described, *errors: int, **rest: Any) -> Described:
    """An operation on one job."""
    rest["parameters"] = ["jobId", *rest.get("parameters", [])]
    return jobs_operation(name, summary, answer, 404, *errors, **rest)


def jobs_operation(name: str, summary: str, answer: Described, *errors: int, **rest: Any) -> Described:
    """An operation that needs an API key."""
    found = operation(name, summary, answer, 401, 403, 414, 500, 503, *errors, **rest)
    return found | {"security": [{"apiKey": []}], "tags": ["jobs"]}


def operation(
    name: str, summary: str, answer: Described, *errors: int, success: int = 200, **rest: Any
) -> Described:
    """An operation that answers with `success`, or with one of these errors."""
    responses = {str(success): answer, **{str(status): str(status) for status in sorted(errors)}}
    about = {"operationId": name, "summary": summary, "security": [], "tags": ["service"]}
    return {**about, **rest, "responses": responses}


def response(when: str, content: Described, *headers: str) -> Described:
    """A response with these headers, and the one that all have."""
    return {
        "description": when,
        "headers": {name: name for name in ("X-Request-Id", *headers)},
        "content": content,
    }


def error_response(status: int, codes: tuple[str, ...], when: str) -> Described:
    """The response that all errors of this status share."""
    extra = {401: ("WWW-Authenticate",), 409: ("Retry-After",), 503: ("Retry-After",)}.get(status, ())
    said = ", ".join(f"`{code}`" for code in codes)
    return response(f"{when} Codes: {said}.", json_content(ErrorSchema), *extra)


def json_content(schema: Any) -> Described:
    """A JSON body."""
    return {"application/json": {"schema": schema}}
