"""The pieces of the OpenAPI document: errors, headers and parameters, and what operations are made of."""

from collections.abc import Mapping
from typing import Any, TypeAlias

from batchstatus.keys import ID
from batchstatus.model import MAX_PAGE, Kind, Status
from batchstatus.schemas import ErrorSchema
from batchstatus.web.views.jobs import INCLUDES

Described: TypeAlias = dict[str, Any]
"""A piece of an OpenAPI document."""

ERRORS: Mapping[int, tuple[tuple[str, ...], str]] = {
    400: (("INVALID_REQUEST", "BAD_REQUEST"), "The request has bad fields, named in `details`, or is no HTTP."),
    401: (("UNAUTHENTICATED",), "No API key, or one that is malformed, unknown, expired or revoked."),
    403: (("FORBIDDEN",), "The API key lacks the permission that this needs."),
    404: (("JOB_NOT_FOUND",), "The job is unknown, its id malformed, or it is another organization's."),
    408: (("BAD_REQUEST",), "The request body took too long."),
    409: (("KIND_MISMATCH", "JOB_ALREADY_TERMINAL"), "The job is of another kind, or it has ended already."),
    413: (("PAYLOAD_TOO_LARGE",), "The request body is larger than 64 KiB."),
    414: (("BAD_REQUEST",), "The path and the query are longer than 8,190 bytes."),
    500: (("INTERNAL_ERROR",), "Something went wrong on our side."),
    503: (("STORE_UNAVAILABLE",), "The store does not answer at the moment."),
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
        "description": "Seconds; with a job, while its status is not terminal.",
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
    "schema": {"type": "string", "pattern": f"^{ID.pattern}$"},
}
INCLUDE: Described = {
    "name": "include",
    "in": "query",
    "description": "What to answer with instead, separated by commas. Leave it out while polling.",
    "schema": {"type": "array", "items": {"type": "string", "enum": sorted(INCLUDES)}},
    "style": "form",
    "explode": False,
}
IF_NONE_MATCH: Described = {
    "name": "If-None-Match",
    "in": "header",
    "description": "The `ETag` of what you have: 304 if it still holds.",
    "schema": {"type": "string"},
}


def _query(name: str, about: str, schema: Described) -> Described:
    return {"name": name, "in": "query", "description": about, "schema": schema, "style": "form", "explode": False}


def _list_of(words: list[str]) -> Described:
    return {"type": "array", "items": {"type": "string", "enum": words}}


PAGE: tuple[Described, ...] = (
    _query("kind", "Only these kinds.", _list_of([*Kind])),
    _query("status", "Only these statuses.", _list_of([*Status])),
    _query("createdAfter", "Only jobs created after this.", {"type": "string", "format": "date-time"}),
    _query("createdBefore", "Only jobs created before this.", {"type": "string", "format": "date-time"}),
    _query("limit", "How many, 20 unless told.", {"type": "integer", "minimum": 1, "maximum": MAX_PAGE}),
    _query("cursor", "The `nextCursor` of the page before.", {"type": "string"}),
    _query(
        "ids",
        "These jobs, in this order; no other parameter goes with it.",
        {"type": "array", "items": {"type": "string"}, "minItems": 1, "maxItems": MAX_PAGE},
    ),
)
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


def operation(name: str, summary: str, answer: Described, *errors: int, **rest: Any) -> Described:
    """An operation that answers with 200, or with one of these errors."""
    responses = {"200": answer, **{str(status): str(status) for status in sorted(errors)}}
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
    extra = {401: ("WWW-Authenticate",), 503: ("Retry-After",)}.get(status, ())
    one_of_these = {"properties": {"error": {"properties": {"code": {"enum": codes}}}}}
    return response(when, json_content({"allOf": [ErrorSchema, one_of_these]}), *extra)


def json_content(schema: Any) -> Described:
    """A JSON body."""
    return {"application/json": {"schema": schema}}
