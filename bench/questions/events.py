"""The cost of event streams, and the delay until listeners hear of a change.

As for waiting callers: one replica with two processes, jobs that report five times a second, a caller that polls.
The change that is timed is the end of each job, from its acknowledgement to its event. Each listener has a
connection of its own, and is sent about three events a second all the while.
"""

from collections.abc import Iterator

from bench.questions.waiting import COLUMNS, hold, row
from bench.report.figures import Answer, Table
from bench.tools.listeners import listen
from bench.tools.setting import Setting


def measure(setting: Setting) -> Iterator[Answer]:
    """Yields one table."""
    jobs = setting.scaled(500, 50)
    found = [
        hold(setting, listeners, jobs, listen) for listeners in setting.scaled((0, 100, 1000, 2000), (0, 200))
    ]
    columns = {"listeners": "", **dict(list(COLUMNS.items())[1:])}
    yield Table(f"Listeners to {jobs} running jobs", columns, [*map(row, found)], "CPU is the service's.")
