"""The body of every error answer, from 400 up (docs/http.md)."""

from typing import Any, ClassVar

from marshmallow import Schema, fields, validate

from batchstatus.schemas.fields import Optional


class ErrorDetailSchema(Schema):
    """The error: `code` for programs, `message` for people, `details` names each bad field."""

    code = fields.String(required=True, validate=validate.Regexp(r"^[A-Z][A-Z0-9_]{1,63}\Z"))
    message = fields.String(required=True)
    details = Optional()


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

    success = fields.Boolean(required=True, validate=validate.Equal(False))
    error = fields.Nested(ErrorDetailSchema, required=True)
