"""The body of every error answer, from 400 up (docs/http.md)."""

from typing import Any, ClassVar

from marshmallow import Schema, fields, validate

from batchstatus.schemas.fields import Optional, about


class ErrorDetailSchema(Schema):
    """The error: `code` for programs, `message` for people, `details` names each bad field."""

    code = fields.String(
        required=True,
        validate=validate.Regexp(r"^[A-Z][A-Z0-9_]{1,63}\Z"),
        metadata=about("The reason, for programs: stable, and later versions may have more."),
    )
    message = fields.String(required=True, metadata=about("The reason, for people."))
    details = Optional(
        metadata=about("More about it: with `INVALID_REQUEST` each bad field and what is wrong with it.")
    )


class ErrorSchema(Schema):
    """The body of every error."""

    EXAMPLE: ClassVar[dict[str, Any]] = {
        "success": False,
        "error": {
            "code": "INVALID_REQUEST",
            "message": "The request has bad fields.",
            "details": {"include": "unknown: rows"},
        },
    }

    success = fields.Boolean(required=True, validate=validate.Equal(False), metadata=about("False, always."))
    error = fields.Nested(ErrorDetailSchema, required=True)
