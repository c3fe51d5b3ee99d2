"""`GET /openapi.json`: the HTTP API as OpenAPI 3.1, made from the schemas that the bodies are made of."""

import inspect
from collections.abc import Mapping
from typing import Any, TypeAlias

import orjson
from apispec import APISpec
from apispec.ext.marshmallow import MarshmallowPlugin
from apispec.ext.marshmallow.common import resolve_schema_instance
from apispec.ext.marshmallow.openapi import OpenAPIConverter
from flask import Blueprint, Response
from marshmallow import fields
from prometheus_client import CONTENT_TYPE_LATEST

from batchstatus import __version__
from batchstatus.keys import ID
from batchstatus.model import Kind
from batchstatus.web import csv
from batchstatus.web.failures import LEGACY_ENTITY_CSV, PATHS
from batchstatus.web.jobs import INCLUDES
from schemas import FAILURES_SCHEMAS, ControlSchema, ErrorSchema, JobResponseSchema, SuccessSchema
from schemas.fields import Time

Described: TypeAlias = dict[str, Any]
"""A piece of an OpenAPI document."""

_ABOUT = """How far is my import? Poll a job every 2 to 5 s, and stop at a terminal status; those are final.

`HEAD` works as `GET` does, without a body. Whatever is not described here, such as an unknown path or
method, and whatever is not HTTP, is answered in the shape of `Error` too."""

ERRORS: Mapping[int, tuple[tuple[str, ...], str]] = {
    400: (("INVALID_REQUEST", "BAD_REQUEST"), "The request has bad fields, named in `details`, or is no HTTP."),
    401: (("UNAUTHENTICATED",), "No API key, or one that is malformed, unknown, expired or revoked."),
    403: (("FORBIDDEN",), "The API key lacks the permission that this needs."),
    404: (("JOB_NOT_FOUND",), "The job is unknown, its id malformed, or it is another organization's."),
    408: (("BAD_REQUEST",), "The request body took too long."),
    409: (("KIND_MISMATCH", "JOB_ALREADY_TERMINAL"), "The job is of another kind, or it has ended already."),
    413: (("PAYLOAD_TOO_LARGE",), "The request body is larger than 64 KiB."),
    500: (("INTERNAL_ERROR",), "Something went wrong on our side."),
    503: (("STORE_UNAVAILABLE",), "The store does not answer at the moment."),
}
"""For each status that means an error: the codes that it comes with, and when."""

_HEADERS: Mapping[str, Described] = {
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
_OF_A_POLL = ("ETag", "Cache-Control", "Retry-After", "Preference-Applied")

_JOB_ID: Described = {
    "name": "jobId",
    "in": "path",
    "required": True,
    "schema": {"type": "string", "pattern": f"^{ID.pattern}$"},
}
_INCLUDE: Described = {
    "name": "include",
    "in": "query",
    "description": "What to answer with instead, separated by commas. Leave it out while polling.",
    "schema": {"type": "array", "items": {"type": "string", "enum": sorted(INCLUDES)}},
    "style": "form",
    "explode": False,
}
_IF_NONE_MATCH: Described = {
    "name": "If-None-Match",
    "in": "header",
    "description": "The `ETag` of what you have: 304 if it still holds.",
    "schema": {"type": "string"},
}
_PREFER: Described = {
    "name": "Prefer",
    "in": "header",
    "description": "`wait=<seconds>`, at most 30 (RFC 7240): together with `If-None-Match`, the answer is held "
    "until the job's status or a control flag is another, or the time is up.",
    "schema": {"type": "string"},
}


class _Converter(OpenAPIConverter):
    """Describes a schema by its docstring and its EXAMPLE, our own fields by what they put on the wire."""

    def schema2jsonschema(self, schema: Any) -> Described:
        """The JSON Schema of a marshmallow schema; called by apispec."""
        kind = type(resolve_schema_instance(schema))
        described: Described = super().schema2jsonschema(schema)  # type: ignore[no-untyped-call]
        if hasattr(kind, "EXAMPLE"):
            described["examples"] = [kind.EXAMPLE]
        return {"description": inspect.getdoc(kind), **described}

    def field2property(self, field: Any) -> Described:
        """The JSON Schema of a field; called by apispec."""
        if isinstance(field, Time):
            type_ = ["string", "null"] if field.allow_none else "string"
            return {"type": type_, "format": "date-time", "pattern": Time.PATTERN}
        if isinstance(field, fields.Constant):
            return {"type": "boolean", "const": field.constant}
        described: Described = super().field2property(field)
        if "pattern" in described:  # \Z is Python's alone
            described["pattern"] = described["pattern"].replace(r"\Z", "$")
        return described


class _Marshmallow(MarshmallowPlugin):
    Converter = _Converter


def document() -> Described:
    """The whole document."""
    spec = APISpec(
        title="batchstatus",
        version=__version__,
        openapi_version="3.1.0",
        info={"description": _ABOUT, "license": {"name": "MIT", "identifier": "MIT"}},
        plugins=[_Marshmallow()],
    )
    spec.components.security_scheme("apiKey", {"type": "http", "scheme": "bearer"})
    for name, described in _HEADERS.items():
        spec.components.header(name, described)
    spec.components.parameter("jobId", "path", _JOB_ID)
    spec.components.schema("Error", schema=ErrorSchema)
    for status, (codes, when) in ERRORS.items():
        spec.components.response(str(status), _error(status, codes, when))
    for path, operations in (_jobs() | _failures() | _ops()).items():
        spec.path(path.replace("<job_id>", "{jobId}"), operations=operations)
    return spec.to_dict()


def _jobs() -> dict[str, Described]:
    answer = _answer("The job as it stands.", _json(JobResponseSchema))
    either = {"oneOf": [JobResponseSchema, *FAILURES_SCHEMAS.values()]}
    poll = _answer(
        "The job; with `include=failures`, its failed rows as of the same moment.", _json(either), *_OF_A_POLL
    )
    get_job = _of_a_job("getJob", "How far the job is", poll, 400, parameters=[_INCLUDE, _IF_NONE_MATCH, _PREFER])
    get_job["responses"]["304"] = _answer("It is as you have it.", {}, *_OF_A_POLL)
    about = "Cooperative: the worker obeys with its next report. Repeating an action changes nothing."
    return {
        "/batch-import/jobs/<job_id>": {"get": get_job},
        "/batch-import/jobs/<job_id>/control": {
            "post": _of_a_job(
                *("controlJob", "Pause, resume or cancel the job", answer, 400, 408, 409, 413),
                description=about,
                requestBody={"required": True, "content": _json(ControlSchema)},
            )
        },
    }


def _failures() -> dict[str, Described]:
    rows = _answer(
        "Every stored failed row; the connection is cut if they cannot all be had.",
        {csv.MEDIA_TYPE: {"schema": {"type": "string"}}},
        "Content-Disposition",
        "X-Content-Type-Options",
    )
    paths: dict[str, Described] = {}
    for kind, path in PATHS.items():
        name = "".join(word.capitalize() for word in kind.split("_"))
        first = _answer("The job's counters and its first 500 failed rows.", _json(FAILURES_SCHEMAS[kind]))
        columns = f"Columns: `{','.join(csv.COLUMNS[kind])}`."
        paths[path] = {"get": _of_a_job(f"get{name}Failures", f"Failed rows of a job of the kind {kind}", first)}
        paths[f"{path}.csv"] = {
            "get": _of_a_job(f"get{name}FailuresCsv", "All of them as CSV", rows, description=columns)
        }
    legacy = f"The same as `{PATHS[Kind.ENTITY_AUTOMATIC].replace('<job_id>', '{jobId}')}.csv`."
    paths[LEGACY_ENTITY_CSV] = {
        "get": _of_a_job("getEntityImportFailuresCsv", "Failed rows of an entity job", rows, description=legacy)
    }
    return paths


def _ops() -> dict[str, Described]:
    up = _answer("Yes.", _json(SuccessSchema))
    itself = _answer("This document.", {"application/json": {"schema": {"type": "object"}}})
    metrics = _answer("The metrics.", {CONTENT_TYPE_LATEST: {"schema": {"type": "string"}}})
    return {
        "/livez": {"get": _operation("isLive", "Is the process up?", up)},
        "/readyz": {"get": _operation("isReady", "Does the store answer?", up, 503)},
        "/metrics": {"get": _operation("getMetrics", "For Prometheus", metrics)},
        "/openapi.json": {"get": _operation("getOpenapi", "This description", itself)},
    }


def _of_a_job(name: str, summary: str, answer: Described, *errors: int, **rest: Any) -> Described:
    """An operation on a job, which needs an API key."""
    rest["parameters"] = ["jobId", *rest.get("parameters", [])]
    found = _operation(name, summary, answer, 401, 403, 404, 500, 503, *errors, **rest)
    return found | {"security": [{"apiKey": []}], "tags": ["jobs"]}


def _operation(name: str, summary: str, answer: Described, *errors: int, **rest: Any) -> Described:
    responses = {"200": answer, **{str(status): str(status) for status in sorted(errors)}}
    about = {"operationId": name, "summary": summary, "security": [], "tags": ["service"]}
    return {**about, **rest, "responses": responses}


def _answer(when: str, content: Described, *headers: str) -> Described:
    return {
        "description": when,
        "headers": {name: name for name in ("X-Request-Id", *headers)},
        "content": content,
    }


def _error(status: int, codes: tuple[str, ...], when: str) -> Described:
    extra = {401: ("WWW-Authenticate",), 503: ("Retry-After",)}.get(status, ())
    one_of_these = {"properties": {"error": {"properties": {"code": {"enum": codes}}}}}
    return _answer(when, _json({"allOf": [ErrorSchema, one_of_these]}), *extra)


def _json(schema: Any) -> Described:
    return {"application/json": {"schema": schema}}


_DOCUMENT = orjson.dumps(document())

blueprint = Blueprint("openapi", __name__)


@blueprint.get("/openapi.json")
def openapi() -> Response:
    """The document, made once."""
    return Response(_DOCUMENT, content_type="application/json")
