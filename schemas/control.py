"""The request body of the control route (docs/http.md)."""

from typing import Any, ClassVar

from marshmallow import Schema, fields, validate

from batchstatus.model import Action, Kind


class ControlSchema(Schema):
    """The body of a control request. Unknown members are rejected."""

    EXAMPLE: ClassVar[dict[str, Any]] = {"kind": "transaction_batch", "action": "cancel"}

    kind = fields.String(required=True, validate=validate.OneOf([*Kind]))
    action = fields.String(required=True, validate=validate.OneOf([*Action]))
