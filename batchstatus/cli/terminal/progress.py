"""Progress of running jobs: live bars on a terminal, plain lines elsewhere."""

import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Self

from rich.console import Console
from rich.live import Live

from batchstatus.cli.terminal.bars import Bars, Row
from batchstatus.cli.terminal.words import clean, extent, pace, standing, state
from batchstatus.model.job import Job

_LINE_EVERY_S = 1.0


class ProgressView:
    """One bar per job, as a context manager. Without a terminal, a job's change prints a line.

    `now` gives the time of the service, by which a worker is silent. With `transient` the bars go at the end.
    """

    def __init__(
        self,
        console: Console | None = None,
        *,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        transient: bool = False,
    ) -> None:
        self._console = console or Console()
        self.live = self._console.is_terminal and not self._console.is_dumb_terminal
        self._now = now
        self._rows: dict[str, Row] = {}
        self._printed: dict[str, tuple[float, Job]] = {}
        self._bars = Live(console=self._console, get_renderable=self._draw, transient=transient)

    def update(self, label: str, job: Job) -> None:
        """Show the job's current state under `label`. Thread-safe."""
        if self.live:
            self._row(label).job = job
        else:
            self._print_line(label, job)

    def heard(self, label: str, parts: Sequence[Mapping[str, Any]] | None = None) -> None:
        """Note that the service has answered just now, and, if given, the parts of the job."""
        row = self._row(label)
        row.heard_at = time.monotonic()
        row.parts = row.parts if parts is None else parts

    def heard_s_ago(self, label: str) -> float:
        """Returns how long ago the service has answered, in seconds."""
        return time.monotonic() - (self._row(label).heard_at or 0.0)

    def shown(self, label: str) -> Job | None:
        """Returns the job that is shown under `label`."""
        return self._row(label).job

    def standing(self, label: str) -> str:
        """Returns in one line how the job stands that was shown last."""
        job = self.shown(label)
        return f"{label}: the service has not answered" if job is None else standing(job, self._now())

    def __enter__(self) -> Self:
        if self.live:
            self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.live:
            self._bars.stop()

    def _draw(self) -> Bars:
        return Bars(self._rows.copy().values(), self._now)

    def _row(self, label: str) -> Row:
        return self._rows.setdefault(label, Row(label))

    def _print_line(self, label: str, job: Job) -> None:
        now, going = time.monotonic(), pace(job)
        if label in self._printed:
            printed_at, then = self._printed[label]
            # A changed state is always printed, so that even a short job is seen running.
            if job.state == then.state and now - printed_at < _LINE_EVERY_S:
                return
        self._printed[label] = now, job
        self._console.print(
            f"{clean(label)}: {state(job)}, {extent(job)}, {job.failed:,} failed, "
            f"{job.skipped:,} skipped{going and f', {going}'}",
            highlight=False,
            markup=False,
            soft_wrap=True,
        )
