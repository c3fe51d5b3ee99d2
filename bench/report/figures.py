"""What a question answers with: tables of figures, and what is drawn of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import TypeAlias

Cell: TypeAlias = str | float | None


@dataclass(frozen=True)
class Table:
    """Figures under a title. `columns` gives each column's head and how its numbers are formatted, "" for text.

    The first column says what the row is about. None is left out.
    """

    title: str
    columns: Mapping[str, str]
    rows: Sequence[Sequence[Cell]]
    note: str = ""

    def text(self) -> str:
        """The table for a terminal."""
        lines = [["", *list(self.columns)[1:]], *self._cells()]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        aligned = [
            f"{'>' if form else '<'}{width}" for form, width in zip(self.columns.values(), widths, strict=True)
        ]
        shown = ["  ".join(map(format, line, aligned)).rstrip() for line in lines]
        return "\n".join([self.title, *(f"  {line}" for line in [*shown, self.note] if line)])

    def markdown(self) -> str:
        """The table for RESULTS.md."""
        rule = ["---:" if form else "---" for form in self.columns.values()]
        lines = [list(self.columns), rule, *self._cells()]
        shown = "\n".join(f"| {' | '.join(line)} |" for line in lines)
        return f"**{self.title}**\n\n{shown}\n" + (f"\n{self.note}\n" if self.note else "")

    def _cells(self) -> list[list[str]]:
        formats = list(self.columns.values())
        return [[_formatted(*each) for each in zip(row, formats, strict=True)] for row in self.rows]


@dataclass(frozen=True)
class Lines:
    """A plot of lines, each given as its points, on logarithmic axes; `name` is that of the file."""

    name: str
    title: str
    x: str
    y: str
    lines: Mapping[str, Mapping[float, float]]


@dataclass(frozen=True)
class Bars:
    """A plot of bars; those that are called batchstatus are ours."""

    name: str
    title: str
    x: str
    bars: Mapping[str, float]


Answer: TypeAlias = Table | Lines | Bars


def spread(rounds: Sequence[float]) -> float | None:
    """How far rounds lie apart: half of what is between the least and the most, in percent of the median."""
    return 50 * (max(rounds) - min(rounds)) / median(rounds) if len(rounds) > 1 else None


def percentile(values: Sequence[float], percent: int) -> float:
    """The value that `percent` of them do not exceed."""
    return sorted(values)[min(len(values) - 1, len(values) * percent // 100)]


def _formatted(cell: Cell, form: str) -> str:
    if cell is None:
        return ""
    return cell if isinstance(cell, str) else format(cell, form)
