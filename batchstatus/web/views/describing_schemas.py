"""How the schemas of bodies stand in the OpenAPI document."""

import inspect
from typing import Any

from apispec.ext.marshmallow import MarshmallowPlugin
from apispec.ext.marshmallow.common import resolve_schema_instance
from apispec.ext.marshmallow.openapi import OpenAPIConverter
from marshmallow import fields

from batchstatus.model.job import Status
from batchstatus.model.kinds import Kinds
from batchstatus.model.messages import Wanted
from batchstatus.schemas.fields import KindName, Metadata, RequestSchema, Time, Word
from batchstatus.web.views.describing import Described, of_component


def words(kinds: Kinds) -> dict[str, Described]:
    """The sets of words that have names of their own: as components, the same type wherever they are."""
    return {
        "JobStatus": _one_of([*Status], "`completed`, `failed`, `cancelled` and `interrupted` are final."),
        "JobKind": _one_of([*kinds.names], "The kinds of jobs that this service has."),
        "RunControl": _one_of([*Wanted], "Go on, wait, or stop and finish the run as `cancelled`."),
    }


def _one_of(choices: list[str], about: str) -> Described:
    return {"type": "string", "enum": choices, "description": about}


class _Converter(OpenAPIConverter):
    """Describes a schema by its docstring and its EXAMPLE, our own fields by what they put on the wire."""

    def schema2jsonschema(self, schema: Any) -> Described:
        """The JSON Schema of a marshmallow schema; called by apispec."""
        kind = type(resolve_schema_instance(schema))
        described: Described = super().schema2jsonschema(schema)  # type: ignore[no-untyped-call]
        if hasattr(kind, "EXAMPLE"):
            described["examples"] = [kind.EXAMPLE]
        if not issubclass(kind, RequestSchema):
            described.pop("additionalProperties", None)  # a strict client would break at the first new member
        return {"description": inspect.getdoc(kind), **described}

    def field2property(self, field: Any) -> Described:
        """The JSON Schema of a field; called by apispec."""
        about: Described = field.metadata
        if isinstance(field, Time):
            type_ = ["string", "null"] if field.allow_none else "string"
            return {"type": type_, "format": "date-time", "pattern": Time.PATTERN, **about}
        if isinstance(field, fields.Constant):
            return {
                "type": "boolean",
                "const": field.constant,
                "description": f"{field.constant}, always.",
                **about,
            }
        if isinstance(field, KindName) and field.validators:  # of a request, which cannot have another
            return {**of_component("JobKind"), **about}
        if isinstance(field, Word):
            return {"anyOf": [of_component(field.component), {"type": "string"}], **about}
        described: Described = super().field2property(field)
        if isinstance(field, Metadata):
            flag = {"type": "boolean"}
            described["properties"] = {
                name: {**flag, "description": said} for name, said in Metadata.FLAGS.items()
            }
        if len(described.get("enum", ())) == 1:
            (described["const"],) = described.pop("enum")
        if "pattern" in described:  # \Z is Python's alone
            described["pattern"] = described["pattern"].replace(r"\Z", "$")
        return described


class Marshmallow(MarshmallowPlugin):
    """Lets apispec describe our schemas."""

    Converter = _Converter
