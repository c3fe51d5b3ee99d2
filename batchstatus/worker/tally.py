"""The counts of one importing thread, and the contents of a cut: the states of all threads at one moment.

See batchstatus.worker.outbox for why a state is an immutable tuple.
"""

from collections import deque
from operator import itemgetter
from typing import Any, TypeAlias

from batchstatus.rows import Shaped

Rest: TypeAlias = tuple[int, int, int | None]
"""The counts that seldom change: failed rows, skipped rows, the job's number of rows if it was set."""
Checkpoint: TypeAlias = tuple[int, Any] | None
"""A number that grows with each checkpoint of any thread, and the checkpoint."""
State: TypeAlias = tuple[int, Checkpoint, Rest]
"""Everything that one thread has counted since the run began, succeeded rows first."""
Rows: TypeAlias = deque[tuple[int, Shaped]]
"""Rows, each after its number among the rows of its thread."""

NOTHING: State = (0, None, (0, 0, None))


class Tally:
    """The counts of one thread; only that thread replaces `state`. A row is added before the state counts it."""

    def __init__(self) -> None:
        self.state: State = NOTHING
        self.failures: Rows = deque()
        self.skips: Rows = deque()


def rows_in(cut: list[State]) -> int:
    """Returns the number of failed and skipped rows in a cut."""
    return sum([failed + skipped for _, _, (failed, skipped, _) in cut])  # a list: each failed row pays for this


def checkpoint_in(cut: list[State]) -> Checkpoint:
    """Returns the newest checkpoint of all threads."""
    return max((state[1] for state in cut if state[1]), key=itemgetter(0), default=None)


def take_until(number: int, rows: Rows) -> list[Shaped]:
    """Take the rows up to this number. Of two with one number the first does not count: its call was cut short."""
    taken: dict[int, Shaped] = {}
    while rows and rows[0][0] <= number:
        taken.update([rows.popleft()])
    return list(taken.values())
