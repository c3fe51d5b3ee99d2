"""Every JSON body of the HTTP API, as a marshmallow schema. The order of fields is the order on the wire."""

from batchstatus.schemas.browser import CallerResponseSchema, TicketResponseSchema, TicketSchema
from batchstatus.schemas.control import ControlSchema
from batchstatus.schemas.error import ErrorSchema
from batchstatus.schemas.failures import FailuresSchema, failures_schema
from batchstatus.schemas.history import (
    HistoryQuerySchema,
    HistoryResponseSchema,
    JobListSchema,
    JobsQuerySchema,
    JobsResponseSchema,
)
from batchstatus.schemas.job import JobResponseSchema, JobSchema, PartsResponseSchema
from batchstatus.schemas.run import (
    ClaimedResponseSchema,
    ClaimSchema,
    CreateSchema,
    FinishSchema,
    ReportSchema,
    RunResponseSchema,
    SplitSchema,
)
from batchstatus.schemas.success import ReadySchema, SuccessSchema

__all__ = [
    "CallerResponseSchema",
    "ClaimSchema",
    "ClaimedResponseSchema",
    "ControlSchema",
    "CreateSchema",
    "ErrorSchema",
    "FailuresSchema",
    "FinishSchema",
    "HistoryQuerySchema",
    "HistoryResponseSchema",
    "JobListSchema",
    "JobResponseSchema",
    "JobSchema",
    "JobsQuerySchema",
    "JobsResponseSchema",
    "PartsResponseSchema",
    "ReadySchema",
    "ReportSchema",
    "RunResponseSchema",
    "SplitSchema",
    "SuccessSchema",
    "TicketResponseSchema",
    "TicketSchema",
    "failures_schema",
]
