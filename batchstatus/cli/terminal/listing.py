"""Jobs in a list: on a terminal two lines a job, which fit its width, else one line, which scripts read."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

import click
from rich.console import Console
from rich.text import Text

from batchstatus.cli.terminal.bars import GAP, STYLES
from batchstatus.cli.terminal.words import clean, describe, name_of, state
from batchstatus.model.job import Job

LEAST_NAME = 12


def print_jobs(jobs: Sequence[Job], console: Console | None = None) -> None:
    """Print a page of history. On a terminal a job's id has a line of its own, to be copied; times are in UTC."""
    console = console or Console()
    if not console.is_terminal:
        for job in jobs:
            click.echo(_line(job))
    elif jobs:
        for line in _lines(jobs, console.width):
            console.print(line, highlight=False)
    else:
        console.print("There are no such jobs.", style="dim")


def _line(job: Job) -> str:
    """Returns a job as scripts read it: one line, and one more with its failure, if any."""
    created = f"{job.created_at.isoformat(timespec='milliseconds')[:-6]}Z"
    line, *reason = describe(job).split("\n")
    name = job.metadata.get("fileName")
    named = f"  {clean(name)}" if isinstance(name, str) else ""
    return "\n".join([f"{created}  {clean(job.kind):17}  {line}{named}", *reason])


def _lines(jobs: Sequence[Job], width: int) -> Iterator[Text]:
    columns = [[Text(state(job), STYLES.get(state(job), "")), _rows(job), _failed(job)] for job in jobs]
    widths = [max(text.cell_len for text in column) for column in zip(*columns, strict=True)]
    while sum(GAP + each for each in widths) > width - LEAST_NAME and widths:
        widths.pop()
    rest = width - sum(GAP + each for each in widths if each)
    for job, texts in zip(jobs, columns, strict=True):
        line = cell(Text(name_of(job), "bold", no_wrap=True, overflow="ellipsis"), rest)
        for number, each in enumerate(widths):
            if each:
                line.append(" " * GAP).append_text(cell(texts[number], each, "right" if number else "left"))
        yield line
        about = f"  {clean(job.job_id)}  {job.created_at:%Y-%m-%d %H:%MZ}"
        kind = f"  {clean(job.kind)}"
        yield Text(about + kind if len(about + kind) <= width else about, "dim", no_wrap=True, overflow="fold")


def describe_part(part: Mapping[str, Any]) -> str:
    """Returns a part of a split job in one line."""
    total = "?" if part["totalItems"] is None else format(part["totalItems"], ",")
    done = part["succeeded"] + part["failed"] + part["skipped"]
    return f"  part {part['part']}: {part['status']}, {done:,} of {total} rows, {part['failed']:,} failed"


def _rows(job: Job) -> Text:
    if job.total_items is None or job.done == job.total_items:
        return Text(f"{job.done:,}")
    return Text(f"{job.done:,}/{job.total_items:,}")


def _failed(job: Job) -> Text:
    return Text(f"{job.failed:,} failed" if job.failed else "", "red")


def cell(text: Text, width: int, align: Literal["left", "right"] = "left") -> Text:
    """Returns the text in so many columns: cut with an ellipsis, or filled up."""
    text.truncate(width, overflow="ellipsis")
    text.align(align, width)
    return text
