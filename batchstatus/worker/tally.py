"""What one thread of an importer has counted, and what is in a cut: the states of all threads at one moment.

See batchstatus.outbox for why a state is an immutable tuple.
"""

from collections import deque
from operator import itemgetter
from typing import Any, TypeAlias

from batchstatus.rows import Shaped

Rest: TypeAlias = tuple[int, int, int | None]
"""What seldom changes: failed rows, skipped rows, the job's number of rows if it was set."""
Checkpoint: TypeAlias = tuple[int, Any] | None
"""A number that tells which of several threads' is the newest, and the checkpoint."""
State: TypeAlias = tuple[int, Checkpoint, Rest]
"""All that one thread has counted since the run began, succeeded rows first."""
Rows: TypeAlias = deque[tuple[int, Shaped]]
"""Rows, each after its number among those of its thread."""

NOTHING: State = (0, None, (0, 0, None))


class Tally:
    """What one thread counts; only that thread replaces `state`. A row comes before the state that counts it."""

    def __init__(self) -> None:
        self.state: State = NOTHING
        self.failures: Rows = deque()
        self.skips: Rows = deque()


def rows_in(cut: list[State]) -> int:
    """How many failed and skipped rows it counts."""
    return sum([failed + skipped for _, _, (failed, skipped, _) in cut])  # a list: each failed row pays for this


def checkpoint_in(cut: list[State]) -> Checkpoint:
    """The newest one of all threads."""
    return max((state[1] for state in cut if state[1]), key=itemgetter(0), default=None)


def take_until(number: int, rows: Rows) -> list[Shaped]:
    """Take the rows up to this number. Of two with the same, the first was not counted: its call was cut short."""
    taken: dict[int, Shaped] = {}
    while rows and rows[0][0] <= number:
        taken.update([rows.popleft()])
    return list(taken.values())
