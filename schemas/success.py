"""The body of an answer that only confirms."""

from marshmallow import Schema, fields

from batchstatus.schemas.fields import about


class SuccessSchema(Schema):
    """The service is alive."""

    success = fields.Constant(True, required=True)


class ReadySchema(SuccessSchema):
    """The service is ready; `writes` is there, and false, where the store takes no writes."""

    writes = fields.Constant(False, metadata=about("False: the store takes no writes. Absent if it does."))
