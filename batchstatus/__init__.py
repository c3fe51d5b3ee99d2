"""batchstatus: import workers report the progress of their jobs, callers ask for it.

    import batchstatus

    store = batchstatus.connect("redis://127.0.0.1:6379/0")
    job = store.create("org_acme", "transaction_batch")
    with store.run("org_acme", job.job_id) as run:
        run.succeeded()

The worker SDK needs redis-py only. The service (`batchstatus.web`) and the command line need the extra
`batchstatus[server]`.
"""

from batchstatus.apikeys import ApiKey
from batchstatus.connecting import connect
from batchstatus.model.errors import (
    ApiKeyNotFound,
    BatchStatusError,
    InvalidTransition,
    InvalidValue,
    JobAborted,
    JobCancelled,
    JobCorrupt,
    JobEnded,
    JobExists,
    JobNotFound,
    LeaseHeld,
    LeaseLost,
    NotReplicated,
    ReportsLost,
    RowsLost,
    StoreRefused,
    StoreUnavailable,
)
from batchstatus.model.job import TERMINAL, Action, Job, JobFailure, Kind, Outcome, Page, Part, Status
from batchstatus.model.kinds import JobKind
from batchstatus.model.progress import Progress
from batchstatus.store import JobStore
from batchstatus.tickets import Ticket
from batchstatus.worker.aio import AsyncRun
from batchstatus.worker.run import Run

__version__ = "0.1.0"

__all__ = [
    "TERMINAL",
    "Action",
    "ApiKey",
    "ApiKeyNotFound",
    "AsyncRun",
    "BatchStatusError",
    "InvalidTransition",
    "InvalidValue",
    "Job",
    "JobAborted",
    "JobCancelled",
    "JobCorrupt",
    "JobEnded",
    "JobExists",
    "JobFailure",
    "JobKind",
    "JobNotFound",
    "JobStore",
    "Kind",
    "LeaseHeld",
    "LeaseLost",
    "NotReplicated",
    "Outcome",
    "Page",
    "Part",
    "Progress",
    "ReportsLost",
    "RowsLost",
    "Run",
    "Status",
    "StoreRefused",
    "StoreUnavailable",
    "Ticket",
    "connect",
]
