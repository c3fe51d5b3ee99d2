"""Compiles a schema into a function that dumps objects as the schema does, at a fifth of the cost.

At every dump, marshmallow looks up the fields, their names and their defaults, which never change. Here they are
looked up once. Each field still decides how its value is converted.
"""

from collections.abc import Callable
from operator import attrgetter
from typing import Any, TypeAlias

from marshmallow import Schema, fields

from batchstatus.schemas.fields import Absent, Optional, Time

Dump: TypeAlias = Callable[[Any], dict[str, Any]]

_AS_IT_IS = (fields.String, fields.Integer, fields.Float, fields.Boolean, fields.Dict, fields.Raw)
"""Fields whose values, in these schemas, are already JSON values."""


def compiled(schema: Schema) -> Dump:
    """Returns a faster `schema.dump`, for objects that have every attribute. TypeError for other fields."""
    all_fields = schema.fields.items()
    constants = {name: field.constant for name, field in all_fields if isinstance(field, fields.Constant)}
    plan = [
        (name, attrgetter(field.attribute or name), _conversion(field), isinstance(field, Absent | Optional))
        for name, field in all_fields
        if name not in constants
    ]

    def dump(obj: Any) -> dict[str, Any]:
        body = dict(constants)
        for name, get, convert, absent in plan:
            value = get(obj)
            if value is not None:
                body[name] = value if convert is None else convert(value)
            elif not absent:
                body[name] = None
        return body

    return dump


def _conversion(field: fields.Field[Any]) -> Callable[[Any], Any] | None:
    """Returns the function that converts a value that is not None; None if the value needs no conversion."""
    if isinstance(field, fields.Nested):
        return compiled(field.schema)
    if isinstance(field, fields.List):
        each = _conversion(field.inner)
        return None if each is None else lambda values: [each(value) for value in values]
    if isinstance(field, Time):
        return Time.text
    if isinstance(field, _AS_IT_IS):
        return None
    raise TypeError(f"{type(field).__name__} cannot be compiled")
