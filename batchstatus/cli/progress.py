"""Progress of running jobs: live bars on a terminal, plain lines elsewhere."""

import time
from types import TracebackType
from typing import Any, Self

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, Task, TaskID, TextColumn, TimeRemainingColumn
from rich.text import Text

from batchstatus.model import Job

_LINE_EVERY_S = 1.0


class _Speed(ProgressColumn):
    """A column with the recent rows per second."""

    def render(self, task: Task) -> Text:
        """Returns `12,345 rows/s`, or an empty text while the speed is unknown."""
        speed = task.finished_speed or task.speed
        return Text(f"{speed:,.0f} rows/s" if speed else "", style="cyan")


class ProgressView:
    """One bar per job, as a context manager. Without a terminal, a job's change prints a line."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console()
        self._live = self._console.is_terminal
        self._bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[rows]:>15}"),
            _Speed(),
            TimeRemainingColumn(compact=True),
            TextColumn("[red]{task.fields[failed]:,} failed[/] [yellow]{task.fields[skipped]:,} skipped[/]"),
            TextColumn("{task.fields[status]}"),
            console=self._console,
            disable=not self._live,
        )
        self._tasks: dict[str, TaskID] = {}
        self._printed: dict[str, tuple[float, Job]] = {}

    def update(self, label: str, job: Job) -> None:
        """Show the job's current state under `label`. Thread-safe."""
        self._show_bar(label, job)
        if not self._live:
            self._print_line(label, job)

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bars.stop()

    def _show_bar(self, label: str, job: Job) -> None:
        total = job.total_items
        fields: dict[str, Any] = {
            "rows": f"{job.done:,}/{'?' if total is None else format(total, ',')}",
            "failed": job.failed,
            "skipped": job.skipped,
            "status": _status(job),
        }
        if label not in self._tasks:
            self._tasks[label] = self._bars.add_task(label, total=total, **fields)
        # The bar of an ended job must stand still, even if its total never became known.
        end = job.done if job.terminal and total is None else total
        self._bars.update(self._tasks[label], total=end, completed=job.done, **fields)

    def _print_line(self, label: str, job: Job) -> None:
        now, speed = time.monotonic(), ""
        if label in self._printed:
            printed_at, then = self._printed[label]
            # A changed state is always printed, so that even a short job is seen running.
            if job.state == then.state and now - printed_at < _LINE_EVERY_S:
                return
            if job.state == then.state:  # a speed across two states would be misleading
                speed = f", {(job.done - then.done) / (now - printed_at):,.0f} rows/s"
        self._printed[label] = now, job
        total = "?" if job.total_items is None else format(job.total_items, ",")
        self._console.print(
            f"{label}: {_status(job)}, {job.done:,} of {total} rows, {job.failed:,} failed, "
            f"{job.skipped:,} skipped{speed}",
            highlight=False,
            soft_wrap=True,
        )


def _status(job: Job) -> str:
    """Returns the status with the control flags, so that a paused job does not look like a hung one."""
    return f"{job.status} ({', '.join(job.flags)})" if job.flags else job.status
