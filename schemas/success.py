"""The answer that says yes and no more."""

from marshmallow import Schema, fields


class SuccessSchema(Schema):
    """It is so."""

    success = fields.Constant(True, required=True)
