"""Jobs in every state that the command line has words for, as a caller gets them."""

from datetime import UTC, datetime, timedelta
from typing import Any

from batchstatus import Job, JobFailure, Status
from batchstatus.model.progress import Progress

NOW = datetime(2026, 11, 27, 14, 3, tzinfo=UTC)
JOB_ID = "01a209fe-854b-76a6-b568-78bf67c83db2"
PACE = Progress(NOW, 97.1, 6.0, 4.2, 11.0)


def job(name: str | None = "november.csv", *flags: str, **fields: Any) -> Job:
    """Returns a job that is under way: 409 of 1,000 rows have succeeded, 3 have failed, at 97 rows a second."""
    values: dict[str, Any] = {
        "job_id": JOB_ID,
        "kind": "transaction_batch",
        "status": Status.RUNNING,
        "total_items": 1_000,
        "succeeded": 409,
        "failed": 3,
        "skipped": 0,
        "heartbeat_at": NOW,
        "lease_expires_at": NOW + timedelta(seconds=30),
        "worker_error": None,
        "created_at": NOW - timedelta(minutes=1),
        "completed_at": None,
        "metadata": ({} if name is None else {"fileName": name}) | dict.fromkeys(flags, True),
        "pace": Progress() if flags else PACE,
    }
    return Job(**(values | fields))


def ended(status: Status, **fields: Any) -> Job:
    """Returns a job that has ended."""
    return job(**({"status": status, "completed_at": NOW, "pace": Progress()} | fields))


QUEUED = {"status": Status.QUEUED, "succeeded": 0, "failed": 0, "heartbeat_at": None, "pace": Progress()}
STATES: dict[str, tuple[Job, str]] = {
    "queued": (job(total_items=None, **QUEUED), "queued"),
    "queued, pause requested": (job("november.csv", "batchPauseRequested", **QUEUED), "queued, will pause"),
    "running": (job(), "6 s left"),
    "without a total": (job(total_items=None, pace=Progress(NOW, 97.1)), "97 rows/s"),
    "in its first seconds": (job(pace=Progress(NOW)), "running"),
    "pausing": (job("november.csv", "batchPauseRequested"), "pausing"),
    "paused": (job("november.csv", "batchPauseRequested", "batchPaused"), "paused"),
    "cancelling": (
        job("november.csv", "batchPauseRequested", "batchPaused", "batchCancelRequested"),
        "cancelling",
    ),
    "waiting for a worker": (job("november.csv", "batchAwaitingWorker"), "waiting for a worker"),
    "with a silent worker": (job(heartbeat_at=NOW - timedelta(seconds=20)), "last heartbeat 20 s ago"),
    "completed": (ended(Status.COMPLETED, succeeded=1_000, failed=0), "completed"),
    "completed with failures": (ended(Status.COMPLETED, succeeded=980, failed=20), "completed"),
    "failed": (ended(Status.FAILED, job_failure=JobFailure("BAD_HEADER", "no header")), "failed"),
    "cancelled": (ended(Status.CANCELLED), "cancelled"),
    "interrupted": (ended(Status.INTERRUPTED), "interrupted"),
}
"""For each state, such a job, and what is said of it beside a bar, on the narrowest terminal too."""
