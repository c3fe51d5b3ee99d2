"""`batchstatus erase`: the right to erasure."""

import json
import sys

import click

from batchstatus.cli.options import StoreAt, json_option, min_replicas_option, store_options
from batchstatus.erasure import Erased, Erasure

WORDS = {
    "jobs": "jobs",
    "parts": "parts of jobs",
    "failedRows": "failed rows",
    "skippedRows": "skipped rows",
    "historyEntries": "entries of the history",
    "scheduleEntries": "entries of the schedules",
    "apiKeys": "API keys",
    "tickets": "tickets",
    "webhooks": "lists of endpoints",
    "notices": "notices of ends",
    "deliveries": "entries of the list of deliveries",
}
"""What each sort of thing is called."""


@click.command()
@click.option("--org", required=True, help="The organization to erase.")
@click.option("--job", "job_id", metavar="JOB", help="Erase this job alone, and the tickets for it.")
@click.option("--yes", is_flag=True, help="Do not ask: for scripts.")
@min_replicas_option
@store_options
@json_option
def erase(org: str, job_id: str | None, yes: bool, min_replicas: int, at: StoreAt, as_json: bool) -> int:
    """Remove all that the store has of an organization, or of one of its jobs, and say what was there."""
    store = at.open(min_replicas=min_replicas)
    what = f"job {job_id} of {org}" if job_id else f"all jobs, API keys, tickets and endpoints of {org}"
    if not yes and not _confirmed(what):
        click.echo("nothing was erased", err=True)
        return 1
    found = Erasure(store).erase(org, job_id)
    if as_json:
        removed = {sort: found.removed.get(sort, 0) for sort in WORDS}
        click.echo(json.dumps({"org": org, "jobId": job_id, "removed": removed, "complete": found.complete}))
    else:
        _print(found)
    if not found.complete:
        click.echo("somebody goes on writing: stop whoever creates jobs, and erase again", err=True)
    return int(not found.complete)


def _confirmed(what: str) -> bool:
    if not sys.stdin.isatty():
        raise click.UsageError("nobody can be asked: this is no terminal; use --yes")
    return click.confirm(f"Erase {what}? This cannot be undone.", err=True)


def _print(found: Erased) -> None:
    for sort, words in WORDS.items():
        if many := found.removed.get(sort):
            click.echo(f"{many:,} {words}")
    if not found.removed:
        click.echo("nothing: the store has nothing of it")
