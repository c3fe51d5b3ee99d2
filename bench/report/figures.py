"""The answers to a question: tables of figures, and plots."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median
from typing import TypeAlias

Cell: TypeAlias = str | float | None


@dataclass(frozen=True)
class Table:
    """Figures under a title. `columns` maps the head of each column to its number format, "" for text.

    The first column names the row. A cell of None stays empty.
    """

    title: str
    columns: Mapping[str, str]
    rows: Sequence[Sequence[Cell]]
    note: str = ""

    def text(self) -> str:
        """Returns the table as text for a terminal."""
        lines = [["", *list(self.columns)[1:]], *self._cells()]
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        aligned = [
            f"{'>' if form else '<'}{width}" for form, width in zip(self.columns.values(), widths, strict=True)
        ]
        shown = ["  ".join(map(format, line, aligned)).rstrip() for line in lines]
        return "\n".join([self.title, *(f"  {line}" for line in [*shown, self.note] if line)])

    def markdown(self) -> str:
        """Returns the table as Markdown for RESULTS.md."""
        rule = ["---:" if form else "---" for form in self.columns.values()]
        lines = [list(self.columns), rule, *self._cells()]
        shown = "\n".join(f"| {' | '.join(line)} |" for line in lines)
        return f"**{self.title}**\n\n{shown}\n" + (f"\n{self.note}\n" if self.note else "")

    def _cells(self) -> list[list[str]]:
        formats = list(self.columns.values())
        return [[_formatted(*each) for each in zip(row, formats, strict=True)] for row in self.rows]


@dataclass(frozen=True)
class Lines:
    """A plot of lines, each a mapping of x to y, on logarithmic axes; `name` names the file."""

    name: str
    title: str
    x: str
    y: str
    lines: Mapping[str, Mapping[float, float]]


@dataclass(frozen=True)
class Bars:
    """A plot of bars; those named batchstatus… are highlighted."""

    name: str
    title: str
    x: str
    bars: Mapping[str, float]


Answer: TypeAlias = Table | Lines | Bars


def spread(rounds: Sequence[float]) -> float | None:
    """Returns half the distance between the least and the largest round, in percent of the median."""
    return 50 * (max(rounds) - min(rounds)) / median(rounds) if len(rounds) > 1 else None


def percentile(values: Sequence[float], percent: int) -> float:
    """Returns the value that `percent` of the values do not exceed."""
    return sorted(values)[min(len(values) - 1, len(values) * percent // 100)]


def _formatted(cell: Cell, form: str) -> str:
    if cell is None:
        return ""
    return cell if isinstance(cell, str) else format(cell, form)
