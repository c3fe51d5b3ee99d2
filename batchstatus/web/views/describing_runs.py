"""The operations of the OpenAPI document that create and run a job."""

from typing import Any

from batchstatus.model.kinds import Kinds
from batchstatus.schemas import (
    ClaimedResponseSchema,
    ClaimSchema,
    CreateSchema,
    FinishSchema,
    JobResponseSchema,
    ReportSchema,
    RunResponseSchema,
    SplitSchema,
)
from batchstatus.web.views.describing import Described, job_operation, jobs_operation, json_content, response

_ERRORS = (400, 408, 409, 413)
_JOB = json_content(JobResponseSchema)


def creating(kinds: Kinds) -> Described:
    """The operation that makes a job."""
    made = response("The job, or the one that was made first.", _JOB, "Location", "Retry-After")
    about = "With a `jobId` of your own the request may be repeated, and makes one job."
    body = _body(CreateSchema(kinds))
    return jobs_operation("createJob", "Make a job", made, *_ERRORS, success=202, description=about, **body)


def running() -> dict[str, Described]:
    """The paths of a run. Each needs the permission `jobs:run`, and may be repeated as it is."""
    claimed = response("The run, and the job.", json_content(ClaimedResponseSchema))
    reported = response("The run.", json_content(RunResponseSchema))
    finished = response("The job as it stands.", _JOB)
    at = "/batch-import/jobs/<job_id>/runs"
    split = response("The job, split.", _JOB)
    return {
        "/batch-import/jobs/<job_id>/parts": {
            "post": _operation("splitJob", "Split a queued job into parts", split, SplitSchema)
        },
        at: {"post": _operation("claimJob", "Claim the job", claimed, ClaimSchema, success=201)},
        f"{at}/<run_id>/reports": {
            "post": _operation(
                "report", "Count rows, keep the lease", reported, ReportSchema, parameters=["runId"]
            )
        },
        f"{at}/<run_id>/finish": {
            "post": _operation("finishRun", "End the run", finished, FinishSchema, parameters=["runId"])
        },
    }


def _operation(name: str, summary: str, answer: Described, schema: Any, **rest: Any) -> Described:
    return job_operation(name, summary, answer, *_ERRORS, **_body(schema), **rest)


def _body(schema: Any) -> Described:
    return {"requestBody": {"required": True, "content": json_content(schema)}}
