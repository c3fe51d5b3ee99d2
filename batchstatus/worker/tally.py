"""The counts of one importing thread, and the contents of a cut: the states of all threads at one moment.

See batchstatus.worker.outbox for why a state is an immutable tuple.
"""

import json
import sys
from collections import deque
from collections.abc import Mapping
from operator import itemgetter
from typing import Any, TypeAlias

from batchstatus.model import values
from batchstatus.model.errors import BatchStatusError
from batchstatus.model.messages import Batch, Counts
from batchstatus.model.rows import Shaped

Rest: TypeAlias = tuple[int, int, int | None]
"""The counts that seldom change: failed rows, skipped rows, the job's number of rows if it was set."""
Covered: TypeAlias = tuple[tuple[int, Rest], ...]
"""What each thread had counted when a checkpoint was given, in a cut's order: succeeded rows, and the rest."""
Checkpoint: TypeAlias = tuple[int, Any, Covered] | None
"""A number that grows with each checkpoint of any thread, the checkpoint, and what the checkpoint covers."""
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


def batch_between(before: list[State], cut: list[State], tallies: list[Tally]) -> Batch:
    """Take the rows counted between two cuts. The rows that the newest checkpoint covers come first."""
    before = before + [NOTHING] * (len(cut) - len(before))
    totals = [new[2][2] for new, old in zip(cut, before, strict=True) if new[2][2] != old[2][2]]
    newest, last = _checkpoint_in(cut), _checkpoint_in(before)
    given = newest if newest and (last is None or newest[0] > last[0]) else None
    covered = [_covered(old, number, given) for number, old in enumerate(before)]
    failures, skips = _take(tallies, [counts[1:] for counts in covered])
    late_failures, late_skips = _take(tallies, [new[2][:2] for new in cut])
    return Batch(
        succeeded=sum(new[0] - old[0] for new, old in zip(cut, before, strict=True)),
        failures=(*failures, *late_failures),
        skips=(*skips, *late_skips),
        total_items=totals[-1] if totals else None,
        checkpoint=given and given[1],
        covered=given
        and Counts(sum(map(itemgetter(0), covered)) - _succeeded_in(before), len(failures), len(skips)),
    )


def _succeeded_in(cut: list[State]) -> int:
    return sum(map(itemgetter(0), cut))


def _checkpoint_in(cut: list[State]) -> Checkpoint:
    """Returns the newest checkpoint of all threads."""
    return max((state[1] for state in cut if state[1]), key=itemgetter(0), default=None)


def _covered(before: State, number: int, checkpoint: Checkpoint) -> Counts:
    """Returns what a checkpoint covers of thread `number`, and at least what the cut `before` has.

    That cut may have been made while the checkpoint was being given: after the look at the other threads, but
    before the checkpoint could be seen. The rows counted in between were counted at the same time as the
    checkpoint, and are in the store already: they are covered.
    """
    succeeded, _, (failed, skipped, _) = before
    if checkpoint is None or number >= len(checkpoint[2]):
        return Counts(succeeded, failed, skipped)
    covered, (covered_failed, covered_skipped, _) = checkpoint[2][number]
    return Counts(max(succeeded, covered), max(failed, covered_failed), max(skipped, covered_skipped))


def _take(tallies: list[Tally], numbers: list[tuple[int, int]]) -> tuple[list[Shaped], list[Shaped]]:
    """Take each tally's failed and skipped rows up to these numbers; a tally without numbers is too new."""
    pairs = list(zip(tallies, numbers, strict=False))
    failures = [row for tally, (failed, _) in pairs for row in _take_until(failed, tally.failures)]
    return failures, [row for tally, (_, skipped) in pairs for row in _take_until(skipped, tally.skips)]


def _take_until(number: int, rows: Rows) -> list[Shaped]:
    """Take the rows up to this number. Of two with one number the first does not count: its call was cut short."""
    taken: dict[int, Shaped] = {}
    while rows and rows[0][0] <= number:
        taken.update([rows.popleft()])
    return list(taken.values())


def counts_between(before: list[State], cut: list[State]) -> dict[str, int]:
    """Returns how many rows were counted between two cuts, by outcome."""
    return {
        "succeeded": sum(state[0] for state in cut) - sum(state[0] for state in before),
        "failed": sum(state[2][0] for state in cut) - sum(state[2][0] for state in before),
        "skipped": sum(state[2][1] for state in cut) - sum(state[2][1] for state in before),
    }


def frozen(checkpoint: Any) -> Any:
    """Returns a copy that the importer cannot change later; InvalidValue if the checkpoint cannot be JSON."""
    if checkpoint is None or checkpoint.__class__ is int:
        return checkpoint
    return json.loads(values.checkpoint(checkpoint))


def listed(counts: Mapping[str, int]) -> str:
    """Returns how many rows there are of each outcome, in words, each with a comma after it."""
    return "".join(f"{n:,} {name}, " for name, n in counts.items() if n)


def require_gil() -> None:
    """Raise BatchStatusError in a Python that runs without the GIL: a cut would not be of one moment."""
    if hasattr(sys, "_is_gil_enabled") and not sys._is_gil_enabled():
        raise BatchStatusError("a run needs Python's global interpreter lock: start this Python with PYTHON_GIL=1")
