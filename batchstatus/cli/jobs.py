"""`batchstatus status`, `watch`, `failures`, `control` and `history`: the commands of a caller of the HTTP API."""

import sys
from typing import BinaryIO

import click

from batchstatus.cli.options import Moment, caller_options, json_option, open_caller
from batchstatus.cli.terminal.following import follow, follow_as_json
from batchstatus.cli.terminal.listing import describe_part, print_jobs
from batchstatus.cli.terminal.words import clean, describe, to_json
from batchstatus.client import answers
from batchstatus.model.job import MAX_PAGE, Action, Status


@click.command()
@click.argument("job_id", metavar="JOB")
@caller_options
@json_option
@click.option("--parts", is_flag=True, help="Show the parts of a split job too.")
def status(job_id: str, url: str, api_key: str, as_json: bool, parts: bool) -> int:
    """Show a job as it is now. Exits with 1 if the job has ended, but not as `completed`."""
    with open_caller(url, api_key) as client:
        if as_json:
            body = client.wire(job_id) | ({"parts": client.parts(job_id)} if parts else {})
            click.echo(to_json(body))
            return _exit_code(body["status"])
        job = client.get(job_id, progress=True)
        of_it = client.parts(job_id) if parts else []
        click.echo(describe(job, client.now()))
    for part in of_it:
        click.echo(describe_part(part))
    return _exit_code(job.status)


@click.command()
@click.argument("job_id", metavar="JOB")
@caller_options
@json_option
def watch(job_id: str, url: str, api_key: str, as_json: bool) -> int:
    """Follow a job to its end, with a live bar on a terminal. Exits with 1 unless the job ends as `completed`."""
    end = (follow_as_json if as_json else follow)(url, api_key, job_id)
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
        click.echo(to_json(body))
        return
    for row in body["failures"]:
        click.echo("  ".join(clean(str(value)) for value in row.values()))
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
        click.echo(to_json(client.wire(job_id)) if as_json else describe(job, client.now()))


@click.command()
@click.option("--kind", multiple=True, help="A kind that the service declares. Repeatable.")
@click.option("--status", multiple=True, type=click.Choice([each.value for each in Status]), help="Repeatable.")
@click.option(
    "--created-after", type=Moment(), metavar="TIME", help="2026-11-23T15:04:05Z, or a date: its start in UTC."
)
@click.option("--created-before", type=Moment(), metavar="TIME", help="In the same format.")
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
        click.echo(to_json(page))
        return
    print_jobs([answers.job({"job": job}) for job in page["jobs"]])
    if page["nextCursor"]:
        click.echo(f"… older ones: --cursor {page['nextCursor']}", err=True)


def _exit_code(status: str) -> int:
    ended_badly = Status(status) in (Status.FAILED, Status.CANCELLED, Status.INTERRUPTED)
    sys.stdout.flush()
    return 1 if ended_badly else 0
