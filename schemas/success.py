"""The body of an answer that only confirms."""

from marshmallow import Schema, fields


class SuccessSchema(Schema):
    """The service is alive, or ready."""

    success = fields.Constant(True, required=True)
