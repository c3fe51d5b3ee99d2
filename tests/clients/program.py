"""An import over HTTP, with a client generated from the OpenAPI document. Prints what it has seen, as JSON."""

import json
import sys
from datetime import UTC, datetime
from http import HTTPStatus
from typing import TypeVar

from generated import AuthenticatedClient
from generated.api.jobs import (
    claim_job,
    control_job,
    create_job,
    create_ticket,
    finish_run,
    get_job,
    get_transaction_batch_failures,
    get_transaction_batch_failures_csv,
    list_jobs,
    listen_to_job,
    report,
    split_job,
)
from generated.models import (
    Claim,
    ClaimedResponse,
    Control,
    ControlAction,
    Create,
    CreateMetadata,
    ErrorResponse,
    Finish,
    FinishStatus,
    GetJobIncludeItem,
    Job,
    JobKind,
    JobList,
    JobResponse,
    JobStatus,
    ListJobsIncludeItem,
    PartsResponse,
    Report,
    ReportFailuresItem,
    RunResponse,
    Split,
    Ticket,
    TicketResponse,
    TransactionBatchFailures,
)
from generated.types import UNSET, Response

T = TypeVar("T")
url, key, job_id = sys.argv[1:]
api = AuthenticatedClient(base_url=url, token=key)


def good(kind: type[T], answer: object) -> T:
    """Returns an answer, which must be of this type."""
    assert isinstance(answer, kind), answer
    return answer


def flags(job: Job) -> list[bool]:
    """Returns which flags of control are there, and true."""
    given = job.metadata
    found = (
        given.batch_pause_requested,
        given.batch_paused,
        given.batch_cancel_requested,
        given.batch_awaiting_worker,
    )
    return [each is not UNSET and bool(each) for each in found]


def code(answer: Response[T]) -> tuple[int, str]:
    """Returns the status and the code of an answer that is an error."""
    return answer.status_code.value, good(ErrorResponse, answer.parsed).error.code


def row(**members: str) -> ReportFailuresItem:
    """Returns a failed row to report."""
    made = ReportFailuresItem()
    made.additional_properties = dict(members)
    return made


about = CreateMetadata()
about["fileName"] = "november.csv"
made = create_job.sync_detailed(
    client=api, body=Create(JobKind.TRANSACTION_BATCH, job_id=job_id, total_items=3, metadata=about)
)
created = good(JobResponse, made.parsed).job
create_job.sync(client=api, body=Create(JobKind.ENTITY_AUTOMATIC))

run = good(ClaimedResponse, claim_job.sync(job_id, client=api, body=Claim("0123456789abcdef"))).run
failure = row(externalId="T-7", code="VALIDATION_ERROR", message="no amount")
rows = Report(seq=1, succeeded=2, failures=[failure], checkpoint={"line": 3})
reported = good(RunResponse, report.sync(job_id, run.run_id, client=api, body=rows)).run
pause = Control(JobKind.TRANSACTION_BATCH, ControlAction.PAUSE)
asked = good(JobResponse, control_job.sync(job_id, client=api, body=pause)).job
heartbeat = good(RunResponse, report.sync(job_id, run.run_id, client=api, body=Report(seq=1, paused=True))).run
refused = control_job.sync_detailed(
    job_id, client=api, body=Control(JobKind.ENTITY_AUTOMATIC, ControlAction.CANCEL)
)
ended = good(
    JobResponse, finish_run.sync(job_id, run.run_id, client=api, body=Finish(FinishStatus.COMPLETED, seq=1))
).job

both_members = [GetJobIncludeItem.PROGRESS, GetJobIncludeItem.PARTS]
poll = get_job.sync_detailed(job_id, client=api, include=both_members)
polled = good(PartsResponse, poll.parsed)
again = get_job.sync_detailed(job_id, client=api, if_none_match=poll.headers["ETag"])
failed = good(TransactionBatchFailures, get_transaction_batch_failures.sync(job_id, client=api))
csv = get_transaction_batch_failures_csv.sync_detailed(job_id, client=api)

both = good(
    JobList,
    list_jobs.sync(
        client=api,
        kind=[JobKind.TRANSACTION_BATCH, JobKind.ENTITY_AUTOMATIC],
        status=[JobStatus.COMPLETED, JobStatus.QUEUED],
        created_after=datetime(2020, 1, 1, tzinfo=UTC),
        include=[ListJobsIncludeItem.PROGRESS],
    ),
)
first = good(JobList, list_jobs.sync(client=api, limit=1))
following = good(JobList, list_jobs.sync(client=api, limit=1, cursor=first.next_cursor or UNSET))
by_id = good(JobList, list_jobs.sync(client=api, ids=[job_id, "none"]))

# A split job: one that is created so, and one that is split later
split_id = f"{job_id}-split"
create_job.sync(client=api, body=Create(JobKind.TRANSACTION_BATCH, job_id=split_id, takeover_seconds=60, parts=2))
later_id = f"{job_id}-later"
create_job.sync(client=api, body=Create(JobKind.TRANSACTION_BATCH, job_id=later_id))
split_later = good(JobResponse, split_job.sync(later_id, client=api, body=Split(3))).job
split_otherwise = split_job.sync_detailed(later_id, client=api, body=Split(4))
of_part = []
for number in (2, 1):
    part = good(
        ClaimedResponse, claim_job.sync(split_id, client=api, body=Claim(f"part-{number:011}", part=number))
    ).run
    counted = Report(seq=1, succeeded=number, total_items=number)
    report.sync(split_id, part.run_id, client=api, body=counted)
    of_part.append(part.part)
    if number == 2:
        halfway = good(PartsResponse, get_job.sync(split_id, client=api, include=[GetJobIncludeItem.PARTS]))
    finish_run.sync(split_id, part.run_id, client=api, body=Finish(FinishStatus.COMPLETED, seq=1))
events = listen_to_job.sync_detailed(split_id, client=api)

ticket = good(TicketResponse, create_ticket.sync(client=api, body=Ticket(job_id, 60))).ticket
browser = AuthenticatedClient(base_url=url, token=ticket)
seen = good(PartsResponse, get_job.sync(job_id, client=browser))
forbidden = create_job.sync_detailed(client=browser, body=Create(JobKind.TRANSACTION_BATCH))
unknown = get_job.sync_detailed("none", client=api)
wrong = list_jobs.sync_detailed(client=api, limit=1000)

# What a later version may answer
later = json.loads(poll.content)
later |= {"more": 1}
later["job"] |= {"status": "dreaming", "kind": "parcel", "more": 1}
grown = PartsResponse.from_dict(later).job
assert (grown.status, grown.kind, grown.succeeded) == ("dreaming", "parcel", polled.job.succeeded)
assert polled.job.progress
assert again.status_code is HTTPStatus.NOT_MODIFIED

sys.stdout.write(
    json.dumps(
        {
            "made": [made.status_code, created.status, created.metadata["fileName"]],
            "run": [run.control, reported.checkpoint, heartbeat.control],
            "flags": [flags(created), flags(asked)],
            "ended": [ended.status, ended.succeeded, ended.failed, ended.total_items],
            "polled": [polled.job.status, polled.job.progress.seconds_left, polled.parts],
            "again": again.status_code,
            "split": [split_later.status, of_part],
            "parts": [
                [each.part, each.status, each.total_items, each.succeeded] for each in good(list, halfway.parts)
            ],
            "events": [line for line in events.content.decode().splitlines() if line.startswith("event")],
            "failures": [[each.external_id, each.code, each.message] for each in failed.failures],
            "csv": csv.content.decode(),
            "both": sorted(each.kind for each in both.jobs),
            "pages": [len(first.jobs), len(following.jobs), following.next_cursor],
            "byId": [[each.job_id for each in by_id.jobs], by_id.not_found, by_id.next_cursor is UNSET],
            "ticket": seen.job.job_id,
            "errors": [*map(code, (refused, split_otherwise, forbidden)), code(unknown), code(wrong)],
            "details": good(ErrorResponse, wrong.parsed).error.details,
        }
    )
)
