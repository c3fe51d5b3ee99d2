"""`batchstatus status`, `watch`, `failures`, `control` and `history`: the commands of a caller of the HTTP API."""

import json
import sys
from collections.abc import Callable
from typing import BinaryIO

import click

from batchstatus.cli.options import caller_options, json_option, open_caller
from batchstatus.cli.progress import ProgressView
from batchstatus.client import Client, answers
from batchstatus.model import MAX_PAGE, Action, Job, Kind, Status

PROGRESS_S = 1.0


@click.command()
@click.argument("job_id", metavar="JOB")
@caller_options
@json_option
def status(job_id: str, url: str, api_key: str, as_json: bool) -> int:
    """Show a job as it is now. Exits with 1 if the job has ended, but not as `completed`."""
    with open_caller(url, api_key) as client:
        if as_json:
            body = client.wire(job_id)
            click.echo(json.dumps(body, ensure_ascii=False))
            return _exit_code(body["status"])
        job = client.get(job_id)
    click.echo(describe(job))
    return _exit_code(job.status)


@click.command()
@click.argument("job_id", metavar="JOB")
@caller_options
@json_option
def watch(job_id: str, url: str, api_key: str, as_json: bool) -> int:
    """Follow a job to its end, with a live bar on a terminal. Exits with 1 unless the job ends as `completed`."""
    with Client(url, api_key) as client:
        if as_json:
            end = _follow(client, job_id, lambda _: click.echo(_wire(client, job_id)))
        else:
            with ProgressView() as view:
                end = _follow(client, job_id, lambda job: view.update(job_id, job))
            click.echo(describe(end))
    return _exit_code(end.status)


@click.command()
@click.argument("job_id", metavar="JOB")
@click.option(
    "--csv", "csv_file", type=click.File("wb"), metavar="FILE", help="Write all of them as CSV; - is stdout."
)
@caller_options
@json_option
def failures(job_id: str, csv_file: BinaryIO | None, url: str, api_key: str, as_json: bool) -> None:
    """Show a job's failed rows: the first 500, or all stored ones with --csv."""
    with open_caller(url, api_key) as client:
        if csv_file is not None:
            client.failures_csv(job_id, csv_file)
            return
        body = client.failures(job_id)
    if as_json:
        click.echo(json.dumps(body, ensure_ascii=False))
        return
    for row in body["failures"]:
        click.echo("  ".join(str(value) for value in row.values()))
    if body["truncated"]:
        click.echo(f"… and {body['failuresTotal'] - len(body['failures']):,} more: use --csv", err=True)


@click.command()
@click.argument("job_id", metavar="JOB")
@click.argument("action", type=click.Choice([action.value for action in Action]))
@caller_options
@json_option
def control(job_id: str, action: str, url: str, api_key: str, as_json: bool) -> None:
    """Ask a job's worker to pause, resume or cancel. A queued job is cancelled at once."""
    with open_caller(url, api_key) as client:
        job = client.control(job_id, action)
        click.echo(_wire(client, job_id) if as_json else describe(job))


@click.command()
@click.option("--kind", multiple=True, type=click.Choice([kind.value for kind in Kind]), help="Repeatable.")
@click.option("--status", multiple=True, type=click.Choice([each.value for each in Status]), help="Repeatable.")
@click.option("--created-after", metavar="TIME", help="For example 2026-11-23T15:04:05Z.")
@click.option("--created-before", metavar="TIME", help="In the same format.")
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1, MAX_PAGE), help="Jobs per page.")
@click.option("--cursor", metavar="CURSOR", help="The cursor that the previous page ended with.")
@caller_options
@json_option
def history(
    kind: tuple[str, ...],
    status: tuple[str, ...],
    created_after: str | None,
    created_before: str | None,
    limit: int,
    cursor: str | None,
    url: str,
    api_key: str,
    as_json: bool,
) -> None:
    """List the organization's jobs, newest first, a page at a time."""
    with open_caller(url, api_key) as client:
        page = client.history(
            kind=",".join(kind) or None,
            status=",".join(status) or None,
            createdAfter=created_after,
            createdBefore=created_before,
            limit=limit,
            cursor=cursor,
        )
    if as_json:
        click.echo(json.dumps(page, ensure_ascii=False))
        return
    for job in page["jobs"]:
        click.echo(f"{job['createdAt']}  {job['kind']:17}  {describe(answers.job({'job': job}))}")
    if page["nextCursor"]:
        click.echo(f"… older ones: --cursor {page['nextCursor']}", err=True)


def describe(job: Job) -> str:
    """Returns a job in one line, followed by a line with its failure, if any."""
    total = "?" if job.total_items is None else format(job.total_items, ",")
    line = (
        f"{job.job_id}: {job.status}, {job.done:,} of {total} rows: "
        f"{job.succeeded:,} succeeded, {job.failed:,} failed, {job.skipped:,} skipped"
    )
    if job.flags:
        line += f" ({', '.join(job.flags)})"
    if job.job_failure:
        line += f"\n{job.job_failure.code}: {job.job_failure.message}"
    return line


def _follow(client: Client, job_id: str, show: Callable[[Job], None]) -> Job:
    for job in client.watch(job_id, progress_s=PROGRESS_S):
        show(job)
    return job


def _wire(client: Client, job_id: str) -> str:
    return json.dumps(client.wire(job_id), ensure_ascii=False)


def _exit_code(status: str) -> int:
    ended_badly = Status(status) in (Status.FAILED, Status.CANCELLED, Status.INTERRUPTED)
    sys.stdout.flush()
    return 1 if ended_badly else 0
