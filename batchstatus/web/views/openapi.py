"""`GET /openapi.json`: the HTTP API as OpenAPI 3.1, made from the schemas that the bodies are made of."""

import inspect
from typing import Any

import orjson
from apispec import APISpec
from apispec.ext.marshmallow import MarshmallowPlugin
from apispec.ext.marshmallow.common import resolve_schema_instance
from apispec.ext.marshmallow.openapi import OpenAPIConverter
from marshmallow import fields
from prometheus_client import CONTENT_TYPE_LATEST

from batchstatus import __version__
from batchstatus.model import Kind
from batchstatus.schemas import (
    FAILURES_SCHEMAS,
    ControlSchema,
    ErrorSchema,
    HistoryResponseSchema,
    JobResponseSchema,
    JobsResponseSchema,
    SuccessSchema,
)
from batchstatus.schemas.fields import Time
from batchstatus.web.call import Call
from batchstatus.web.responses import Response, whole_response
from batchstatus.web.routing import Route
from batchstatus.web.views import csv
from batchstatus.web.views.describing import (
    ERRORS,
    HEADERS,
    IF_NONE_MATCH,
    INCLUDE,
    JOB_ID,
    OF_A_POLL,
    PAGE,
    PREFER,
    Described,
    error_response,
    job_operation,
    jobs_operation,
    json_content,
    operation,
    response,
)
from batchstatus.web.views.failures import LEGACY_ENTITY_CSV, PATHS

_ABOUT = """How far is my import? Poll a job every 2 to 5 s, and stop at a terminal status; those are final.

`HEAD` works as `GET` does, without a body. Whatever is not described here, such as an unknown path or
method, and whatever is not HTTP, is answered in the shape of `Error` too."""


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
    for name, described in HEADERS.items():
        spec.components.header(name, described)
    spec.components.parameter("jobId", "path", JOB_ID)
    spec.components.schema("Error", schema=ErrorSchema)
    for status, (codes, when) in ERRORS.items():
        spec.components.response(str(status), error_response(status, codes, when))
    for path, operations in (_jobs() | _failures() | _ops()).items():
        spec.path(path.replace("<job_id>", "{jobId}"), operations=operations)
    return spec.to_dict()


def _jobs() -> dict[str, Described]:
    answer = response("The job as it stands.", json_content(JobResponseSchema))
    either = {"oneOf": [JobResponseSchema, *FAILURES_SCHEMAS.values()]}
    poll = response(
        "The job; with `include=failures`, its failed rows as of the same moment.",
        json_content(either),
        *OF_A_POLL,
    )
    get_job = job_operation("getJob", "How far the job is", poll, 400, parameters=[INCLUDE, IF_NONE_MATCH, PREFER])
    get_job["responses"]["304"] = response("It is as you have it.", {}, *OF_A_POLL)
    page = response(
        "A page, newest first; with `ids`, these jobs.",
        json_content({"oneOf": [HistoryResponseSchema, JobsResponseSchema]}),
        "Cache-Control",
    )
    about = "Cooperative: the worker obeys with its next report. Repeating an action changes nothing."
    return {
        "/batch-import/jobs": {
            "get": jobs_operation("listJobs", "The organization's jobs", page, 400, parameters=list(PAGE))
        },
        "/batch-import/jobs/<job_id>": {"get": get_job},
        "/batch-import/jobs/<job_id>/control": {
            "post": job_operation(
                *("controlJob", "Pause, resume or cancel the job", answer, 400, 408, 409, 413),
                description=about,
                requestBody={"required": True, "content": json_content(ControlSchema)},
            )
        },
    }


def _failures() -> dict[str, Described]:
    rows = response(
        "Every stored failed row; the connection is cut if they cannot all be had.",
        {csv.MEDIA_TYPE: {"schema": {"type": "string"}}},
        "Content-Disposition",
        "X-Content-Type-Options",
    )
    paths: dict[str, Described] = {}
    for kind, path in PATHS.items():
        name = "".join(word.capitalize() for word in kind.split("_"))
        first = response("The job's counters and its first 500 failed rows.", json_content(FAILURES_SCHEMAS[kind]))
        columns = f"Columns: `{','.join(csv.COLUMNS[kind])}`."
        paths[path] = {
            "get": job_operation(f"get{name}Failures", f"Failed rows of a job of the kind {kind}", first)
        }
        paths[f"{path}.csv"] = {
            "get": job_operation(f"get{name}FailuresCsv", "All of them as CSV", rows, description=columns)
        }
    legacy = f"The same as `{PATHS[Kind.ENTITY_AUTOMATIC].replace('<job_id>', '{jobId}')}.csv`."
    paths[LEGACY_ENTITY_CSV] = {
        "get": job_operation(
            "getEntityImportFailuresCsv", "Failed rows of an entity job", rows, description=legacy
        )
    }
    return paths


def _ops() -> dict[str, Described]:
    up = response("Yes.", json_content(SuccessSchema))
    itself = response("This document.", {"application/json": {"schema": {"type": "object"}}})
    metrics = response("The metrics.", {CONTENT_TYPE_LATEST: {"schema": {"type": "string"}}})
    return {
        "/livez": {"get": operation("isLive", "Is the process up?", up)},
        "/readyz": {"get": operation("isReady", "Does the store answer?", up, 503)},
        "/metrics": {"get": operation("getMetrics", "For Prometheus", metrics)},
        "/openapi.json": {"get": operation("getOpenapi", "This description", itself)},
    }


_DOCUMENT = orjson.dumps(document())


def openapi(_: Call) -> Response:
    """The document, made once."""
    return whole_response(_DOCUMENT, "application/json")


ROUTES = (Route("/openapi.json", "openapi", openapi),)
