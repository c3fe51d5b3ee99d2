"""Every JSON body of the HTTP API, as a marshmallow schema. The order of fields is the order on the wire."""

from batchstatus.schemas.control import ControlSchema
from batchstatus.schemas.error import ErrorSchema
from batchstatus.schemas.failures import FAILURES_SCHEMAS, FailuresSchema
from batchstatus.schemas.history import (
    HistoryQuerySchema,
    HistoryResponseSchema,
    JobsQuerySchema,
    JobsResponseSchema,
)
from batchstatus.schemas.job import JobResponseSchema, JobSchema
from batchstatus.schemas.success import SuccessSchema

__all__ = [
    "FAILURES_SCHEMAS",
    "ControlSchema",
    "ErrorSchema",
    "FailuresSchema",
    "HistoryQuerySchema",
    "HistoryResponseSchema",
    "JobResponseSchema",
    "JobSchema",
    "JobsQuerySchema",
    "JobsResponseSchema",
    "SuccessSchema",
]
