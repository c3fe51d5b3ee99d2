"""Creating and running a job over HTTP, for workers in any language.

No call needs anything that an earlier one has left in this process: a `runId` carries what a report needs.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, NamedTuple

from marshmallow import Schema

from batchstatus.model.errors import (
    InvalidTransition,
    InvalidValue,
    JobEnded,
    JobExists,
    LeaseHeld,
    LeaseLost,
    ReportsLost,
)
from batchstatus.model.job import Job
from batchstatus.model.kinds import Kinds
from batchstatus.model.messages import Claim, Reported, Wanted
from batchstatus.schemas import (
    ClaimedResponseSchema,
    ClaimSchema,
    CreateSchema,
    FinishSchema,
    ReportSchema,
    RunResponseSchema,
    SplitSchema,
)
from batchstatus.schemas.dumping import compiled
from batchstatus.web.call import Call
from batchstatus.web.conditional import retry_after_s
from batchstatus.web.errors import ApiError, invalid_request
from batchstatus.web.permissions import caller, require, runner
from batchstatus.web.requests import json_body
from batchstatus.web.responses import Response, json_response
from batchstatus.web.routing import Route
from batchstatus.web.runs import RELEASED, RunId, batch_of, ending_of
from batchstatus.web.views.jobs import job_response

MAX_BODY_BYTES = 1024 * 1024
LATEST_S = 30
"""When to claim again at the latest: the lease may be given back at any time."""

_CLAIM, _REPORT, _FINISH, _SPLIT = ClaimSchema(), ReportSchema(), FinishSchema(), SplitSchema()
_dump_run, _dump_claimed = (
    compiled(RunResponseSchema()),
    compiled(ClaimedResponseSchema(exclude=("job.progress",))),
)


class _Run(NamedTuple):
    """What the schema of a run is about."""

    run_id: str
    part: int | None
    seq: int
    checkpoint: Any
    control: Wanted
    lease_expires_at: Any


class _Answer(NamedTuple):
    """What the schema of an answer is about."""

    run: _Run
    job: Job | None = None


def create(schema: CreateSchema, call: Call) -> Response:
    """Make a job, or find the one that was made first under this id with this content."""
    caller(call)
    asked = json_body(call, schema, MAX_BODY_BYTES)
    found = caller(call)  # anew, for the body may have taken its time
    require(call, found, call.kinds[asked["kind"]].permission)
    if asked.get("takeoverSeconds", 0) > call.parts.store.settings.retention_s:
        raise invalid_request({"takeoverSeconds": "longer than the retention"})
    try:
        with call.store as store:
            job = store.create(
                found.org,
                asked["kind"],
                total_items=asked.get("totalItems"),
                metadata=asked.get("metadata"),
                job_id=asked.get("jobId"),
                takeover_s=asked.get("takeoverSeconds", 0),
                parts=asked.get("parts"),
            )
    except JobExists as error:
        message = "The id belongs to a job with another kind, total, metadata, takeover window or parts."
        raise ApiError(409, "JOB_EXISTS", message) from error
    location = f"{call.request.script_root}{call.request.path}/{job.job_id}"
    headers = [("Location", location)]
    if not job.terminal:
        headers.append(("Retry-After", str(retry_after_s(job))))
    return job_response(job, headers, status=202)


def split(call: Call, job_id: str) -> Response:
    """Split a queued job into parts. The same again changes nothing."""
    org, asked = _asked(call, job_id, _SPLIT)
    try:
        with call.store as store:
            return job_response(store.split(org, job_id, asked["parts"]))
    except JobEnded as error:
        raise ApiError(409, "JOB_ALREADY_TERMINAL", "The job has ended already.") from error
    except InvalidTransition as error:
        said = str(error)
        raise ApiError(409, "JOB_NOT_SPLITTABLE", f"{said[:1].upper()}{said[1:]}.") from error


def claim(call: Call, job_id: str) -> Response:
    """Claim the job, or a part of a split one. The same claim again is the same run."""
    org, asked = _asked(call, job_id, _CLAIM)
    settings = call.parts.store.settings
    lease_ms = asked["leaseSeconds"] * 1000 if "leaseSeconds" in asked else settings.lease_ms
    with _job_first(call, org, job_id):
        if lease_ms + settings.grace_ms >= settings.retention_ms:
            raise invalid_request({"leaseSeconds": "longer than the retention"})
    try:
        with call.store as store:
            kind = store.get(org, job_id).kind  # which settles a job whose worker is dead
            steps, token = store.steps(org, job_id, asked.get("part")), f"{kind}.{asked['token']}"
            claimed = steps.claim(token, lease_ms, worker=asked.get("worker", ""))
    except JobEnded as error:
        message = "The job, or its part, has ended already." if "part" in asked else "The job has ended already."
        raise ApiError(409, "JOB_ALREADY_TERMINAL", message) from error
    except (InvalidTransition, InvalidValue) as error:
        raise invalid_request({"part": str(error)}) from error
    except LeaseHeld as error:
        again_s = min(max(1, math.ceil(error.left_s)), LATEST_S)
        headers = {"Retry-After": str(again_s)}
        raise ApiError(409, "LEASE_HELD", "Another worker has the job.", headers=headers) from error
    run = RunId(claimed.fence, lease_ms, kind, asked["token"], asked.get("part"))
    return json_response(_dump_claimed(_claimed(claimed, run)), 201)


def _claimed(found: Claim, run_id: RunId) -> _Answer:
    run = _Run(str(run_id), run_id.part, found.seq, found.checkpoint, found.wanted, found.lease_expires_at)
    return _Answer(run, found.job)


def report(call: Call, job_id: str, run_id: str) -> Response:
    """Count the rows of a report and renew the lease; a report without content renews the lease alone."""
    run = RunId.of(run_id, call.kinds)
    org, asked = _asked(call, job_id, _REPORT)
    with _job_first(call, org, job_id):
        if run is None:
            raise _lease_lost()
        batch = batch_of(call.kinds[run.kind], asked)
    seq = asked["seq"]
    try:
        with call.store as store:
            reported = store.steps(org, job_id, run.part).report(
                run, seq, batch, paused=asked.get("paused", False)
            )
    except LeaseLost as error:
        raise _lease_lost() from error
    except ReportsLost as error:
        if not batch and seq == error.last + 1:
            said = f"a report without content has the number of the last report, {error.last}"
            raise invalid_request({"seq": said}) from error
        raise _reports_lost(error) from error
    return json_response(_dump_run(_Answer(_after(reported, run, seq))))


def _after(found: Reported, run: RunId, seq: int) -> _Run:
    return _Run(str(run), run.part, seq, found.checkpoint, found.wanted, found.lease_expires_at)


def finish(call: Call, job_id: str, run_id: str) -> Response:
    """End the job, or give its lease back, and answer with the job as it stands afterwards."""
    run = RunId.of(run_id, call.kinds)
    org, asked = _asked(call, job_id, _FINISH)
    with _job_first(call, org, job_id):
        if run is None:
            raise _lease_lost()
    try:
        with call.store as store:
            store.steps(org, job_id, run.part).finish(run, ending_of(asked), asked["seq"])
    except LeaseLost as error:
        if asked["status"] != RELEASED:  # a repeat finds the lease given back
            raise _lease_lost() from error
    except ReportsLost as error:
        raise _reports_lost(error) from error
    with call.store as store:
        return job_response(store.get(org, job_id))


def _asked(call: Call, job_id: str, schema: Schema) -> tuple[str, dict[str, Any]]:
    """Return the caller's organization and the request's body. 401, 403, 404, and only then 400."""
    org = runner(call, job_id).org
    with _job_first(call, org, job_id):
        asked = json_body(call, schema, MAX_BODY_BYTES)
    return runner(call, job_id).org, asked  # anew, for the body may have taken its time


@contextmanager
def _job_first(call: Call, org: str, job_id: str) -> Iterator[None]:
    """Let 404 come before what is wrong with the request inside; a good request asks the store once."""
    try:
        yield
    except ApiError:
        with call.store as store:
            store.get(org, job_id)
        raise


def _lease_lost() -> ApiError:
    return ApiError(409, "LEASE_LOST", "The run is over: its lease is lost, or the job has ended.")


def _reports_lost(error: ReportsLost) -> ApiError:
    message = "The number does not follow the last report that the store has."
    return ApiError(409, "REPORTS_LOST", message, {"seq": error.last})


def routes(kinds: Kinds) -> tuple[Route, ...]:
    """Return the routes, for jobs of these kinds."""
    runs = "/batch-import/jobs/<job_id>/runs"
    return (
        Route("/batch-import/jobs", "create", partial(create, CreateSchema(kinds)), "POST"),
        Route("/batch-import/jobs/<job_id>/parts", "split", split, "POST"),
        Route(runs, "claim", claim, "POST"),
        Route(f"{runs}/<run_id>/reports", "report", report, "POST"),
        Route(f"{runs}/<run_id>/finish", "finish", finish, "POST"),
    )
