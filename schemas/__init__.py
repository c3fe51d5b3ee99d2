"""The wire: every JSON body of the HTTP API, as marshmallow schemas. Field order is the order on the wire."""

from schemas.control import ControlSchema
from schemas.error import ErrorSchema
from schemas.failures import FAILURES_SCHEMAS, FailuresSchema
from schemas.history import HistoryQuerySchema, HistoryResponseSchema, JobsQuerySchema, JobsResponseSchema
from schemas.job import JobResponseSchema, JobSchema
from schemas.success import SuccessSchema

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
