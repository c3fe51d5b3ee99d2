"""Draws jobs on a terminal, a line each with a bar, as much of it as the width allows; and the parts of a job."""

import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from rich.console import Console, ConsoleOptions, RenderResult
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from batchstatus.cli.terminal.words import duration, name_of, rate, short, silence, state, time_left
from batchstatus.model.job import Job, Status

MUTE_S = 5.0
"""A service that was not heard of for longer is said to give no answer."""
GAP = 2
LEAST_BAR = 10
LEAST_NAME = 12
SPARE = 3
"""A terminal writes ^C behind the line; if that wrapped, the bar could not be taken away."""
NOTE, STEP = 2, 4
"""What is going on is the third column. It grows in steps, so that the bars do not twitch with each digit."""

STYLES = {
    "completed": "green",
    "failed": "red",
    "interrupted": "red",
    "cancelled": "yellow",
    "running": "cyan",
    "waiting for a worker": "yellow",
}
"""The colour of a state; all others have none."""

_LESS = ("skipped", "interval", "percent", "rate", "rows", "failed", "note")
"""What a narrow terminal does without, in this order; then names are cut, and the bar stays."""
_BAD = ("failed", "interrupted", "cancelled")
_BLOCKS = "▁▂▃▄▅▆▇"


@dataclass
class Row:
    """A job to draw; None before the first answer. `heard_at` is by the monotonic clock, None if nobody asks."""

    label: str
    job: Job | None = None
    parts: Sequence[Mapping[str, Any]] = ()
    heard_at: float | None = None

    @property
    def mute_s(self) -> float:
        """How long the service has been asked in vain, in seconds; 0 for a moment's silence."""
        seconds = 0.0 if self.heard_at is None else time.monotonic() - self.heard_at
        return seconds if seconds > MUTE_S else 0.0


class Bars:
    """Rows, drawn to the width that there is. `now` gives the service's time."""

    def __init__(self, rows: Iterable[Row], now: Callable[[], datetime]) -> None:
        self._rows, self._now = [*rows], now()

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        width = options.max_width - SPARE
        if self._rows:
            yield self._table(width)
        yield from (parts_line(row.parts, width) for row in self._rows if row.parts)

    def _table(self, width: int) -> Table:
        names = [
            Text(name_of(row.job) if row.job else short(row.label), overflow="ellipsis") for row in self._rows
        ]
        name_width = min(max(name.cell_len for name in names), max(LEAST_NAME, width // 4))
        for number in range(len(_LESS) + 1):
            cells = [_cells(row, self._now, {*_LESS[:number]}) for row in self._rows]
            widths = [max(each.cell_len for each in column) for column in zip(*cells, strict=True)]
            widths[NOTE] = -(-widths[NOTE] // STEP) * STEP
            shown = [column for column, each in enumerate(widths) if each]
            rest = width - sum(GAP + widths[column] for column in shown) - GAP - LEAST_BAR
            if name_width <= rest:
                break
        name_width = max(1, min(name_width, rest))
        table = Table.grid(padding=(0, GAP, 0, 0), pad_edge=False)
        table.add_column(width=name_width, no_wrap=True)
        table.add_column(width=max(1, rest - name_width + LEAST_BAR))
        for column in shown:
            table.add_column(width=widths[column], no_wrap=True, justify="left" if column == NOTE else "right")
        for name, row, line in zip(names, self._rows, cells, strict=True):
            table.add_row(name, _bar(row, self._now), *(line[column] for column in shown))
        return table


def _cells(row: Row, now: datetime, without: set[str]) -> tuple[Text, Text, Text]:
    """Returns what stands beside a bar: how far the job is, its failed and skipped rows, and what is going on."""
    note = Text() if "note" in without else _note(row, now, without)
    job = row.job
    if job is None:
        return Text(), Text(), note
    total = job.total_items
    percent = f"{min(100, 100 * job.done // total)} %" if total else ""
    of = "?" if total is None else f"{total:,}"
    rows = f"{job.done:{len(of)},}/{of}"
    if "rows" in without:
        rows = percent or f"{job.done:,}"
    elif "percent" not in without and percent:
        rows += f"  {percent:>5}"
    counts = Text(f"{job.failed:,} failed" if job.failed and "failed" not in without else "", "red")
    if job.skipped and "skipped" not in without:
        counts.append(f"{'  ' if counts else ''}{job.skipped:,} skipped", "yellow")
    return Text(rows), counts, note


def _note(row: Row, now: datetime, without: set[str]) -> Text:
    """Returns what is going on: a state that is not just running, a silence, else the pace."""
    if row.mute_s:
        return Text(f"no answer for {duration(row.mute_s)}", "yellow")
    if row.job is None:
        return Text("asking …", "dim")
    if quiet := silence(row.job, now):
        return Text(quiet, "yellow")
    word = state(row.job)
    if word == "running":
        left = time_left(row.job, interval="interval" not in without)
        word = ", ".join(filter(None, ("" if left and "rate" in without else rate(row.job), left))) or word
    return Text(word, STYLES.get(word, "cyan" if row.job.status is Status.RUNNING else ""))


def _bar(row: Row, now: datetime) -> ProgressBar:
    job = row.job
    if job is None:
        return ProgressBar(total=1)
    word = state(job)
    goes = word == "running" and not (row.mute_s or silence(job, now))
    if job.total_items is None and goes:
        return ProgressBar(total=None)
    # The bar of a job that stands still must not move, even if its total is not known.
    style = STYLES[word] if goes or job.terminal else "yellow"
    done, total = (job.done, job.total_items) if job.total_items else (int(job.terminal), 1)
    return ProgressBar(total=total, completed=done, complete_style=style, finished_style=style)


def parts_line(parts: Sequence[Mapping[str, Any]], width: int) -> Text:
    """Returns the parts of a job in one line: a small bar each, else a block each, else a block for several."""
    head, tail = f"{len(parts):,} parts  ", f"  {_summary(parts)}"
    room = width - len(head) - len(tail)
    if room < LEAST_BAR:
        tail, room = "", max(1, width - len(head))
    each = (room + 1) // len(parts) - 1
    line = Text(head, no_wrap=True, overflow="crop")
    if each >= 3:
        line.append_text(Text(" ").join(_small_bar(part, min(each, 12)) for part in parts))
    else:
        several = -(-len(parts) // room)
        for start in range(0, len(parts), several):
            line.append_text(_block(parts[start : start + several]))
    return line.append(tail)


def _summary(parts: Iterable[Mapping[str, Any]]) -> str:
    found = Counter(map(_word, parts))
    order = ("done", "at work", "waiting", "failed", "interrupted", "cancelled")
    return ", ".join(f"{found[word]:,} {word}" for word in order if found[word])


def _word(part: Mapping[str, Any]) -> str:
    status = str(part["status"])
    if status == "running":
        return "at work" if part["leaseExpiresAt"] else "waiting"
    return {"completed": "done", "queued": "waiting"}.get(status, status)


def _share(part: Mapping[str, Any]) -> float:
    """Returns how much of a part is done, from 0 to 1. Half of it where nobody knows."""
    if part["status"] == "completed":
        return 1.0
    done, total = sum(int(part[name]) for name in ("succeeded", "failed", "skipped")), part["totalItems"]
    return min(1.0, done / int(total)) if total else 0.5 * (done > 0)


def _small_bar(part: Mapping[str, Any], width: int) -> Text:
    filled = int(_share(part) * width)
    style = STYLES.get(str(part["status"]), "")
    return Text("━" * filled, style).append("─" * (width - filled), "red" if part["status"] in _BAD else "dim")


def _block(group: Sequence[Mapping[str, Any]]) -> Text:
    statuses = {str(part["status"]) for part in group}
    if bad := statuses.intersection(_BAD):
        return Text("✗", STYLES[min(bad)])
    if len(statuses) == 1 and statuses <= {"completed", "queued"}:
        return Text("█", "green") if "completed" in statuses else Text("·", "dim")
    share = sum(map(_share, group)) / len(group)
    return Text(_BLOCKS[min(int(share * len(_BLOCKS)), len(_BLOCKS) - 1)], "cyan")
