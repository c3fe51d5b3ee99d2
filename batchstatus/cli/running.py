"""`batchstatus running`: the jobs at work of all organizations, for the operator."""

import json
import sys
from typing import Any

import click
from rich.console import Console
from rich.table import Table

from batchstatus.cli.options import StoreAt, json_option, store_options
from batchstatus.cli.terminal.words import duration
from batchstatus.model.job import time_text
from batchstatus.model.progress import AtWork
from batchstatus.running import Running

WIDTHS = {"silent": 6, "state": 10, "org": 8, "job": 9, "kind": 17, "worker": 13, "rows/s": 6, "done": 4}
"""The columns, and how wide they are on a terminal of 80. Of a long job id the end is shown, which is random."""


@click.command()
@click.option("--limit", default=100, show_default=True, type=click.IntRange(1, 100_000), help="Lines at most.")
@store_options
@json_option
def running(limit: int, at: StoreAt, as_json: bool) -> None:
    """List the jobs at work of all organizations, with their workers; first those that were silent for longest."""
    found, total = Running(at.open().connection).longest_silent(limit)
    if as_json:
        click.echo(json.dumps([_fields(each) for each in found]))
        return
    if not found:
        click.echo("no job is running", err=True)
        return
    # Elsewhere wide enough that grep finds a job and all that belongs to it in one line.
    live = sys.stdout.isatty()
    width = max(sum(WIDTHS.values(), len(WIDTHS) - 1), Console().width) if live else 1_000
    Console(highlight=False, markup=False, width=width).print(table(found, short=live))
    if total > len(found):
        click.echo(f"… and {total - len(found):,} more: use --limit", err=True)


def table(found: list[AtWork], *, short: bool) -> Table:
    """Returns a line for each job or part; `short` for a terminal of 80 columns, where long names are folded."""
    shown = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), expand=short)
    for heading, width in WIDTHS.items():
        shares = heading in ("org", "worker")  # what a wider terminal has left
        shown.add_column(
            heading,
            overflow="fold",
            no_wrap=not short,
            justify="right" if heading in ("rows/s", "done") else "left",
            width=width if short and not shares else None,
            ratio=width if short and shares else None,
        )
    for each in found:
        pace = each.rows_per_second
        shown.add_row(
            *(duration(each.silent_s), each.state, each.org, _job(each, short), each.kind, each.worker or "-"),
            *("" if pace is None else f"{pace:,.0f}", _share(each)),
        )
    return shown


def _job(each: AtWork, short: bool) -> str:
    cut = short and len(each.job_id) > 2 * WIDTHS["job"]
    job_id = f"…{each.job_id[1 - WIDTHS['job'] :]}" if cut else each.job_id
    return job_id if each.part is None else f"{job_id} part {each.part}"


def _share(each: AtWork) -> str:
    return f"{each.done / each.total_items:.0%}" if each.total_items else "?"


def _fields(each: AtWork) -> dict[str, Any]:
    return {
        "org": each.org,
        "jobId": each.job_id,
        "part": each.part,
        "kind": each.kind,
        "worker": each.worker,
        "state": each.state,
        "heartbeatAt": time_text(each.heartbeat_at),
        "leaseExpiresAt": time_text(each.lease_expires_at),
        "silentSeconds": round(each.silent_s, 3),
        "rowsPerSecond": each.rows_per_second,
        "done": each.done,
        "totalItems": each.total_items,
    }
