"""Writes the results of a run: RESULTS.md, and the plots beside it."""

from collections.abc import Mapping, Sequence
from inspect import cleandoc
from pathlib import Path
from typing import NamedTuple

from bench.report.figures import Answer, Table
from bench.report.plots import draw

_HEAD = """# Results

The last full run of `make bench ARGS=--save`, which has written this.

{facts}

What is noisy: everything ran on one machine, servers, store and load generators side by side on the same cores.
Ratios within a table are what counts. CPU time of a process differs by some percent from run to run, latencies by
more: where clients outnumber the cores, a p99 tells how long the queue is. Peers that do one thing at a time (RQ,
Celery, Flower, rq-dashboard) differ by up to a factor of two from run to run, with what else the machine does: of
their ratios only the order of magnitude holds. Counts of commands and round trips are exact.
"""


class Chapter(NamedTuple):
    """A question: its name, how it is measured, and its answers."""

    name: str
    about: str
    answers: list[Answer]


def save(directory: Path, facts: Mapping[str, str], chapters: Sequence[Chapter]) -> None:
    """Write RESULTS.md and `plots/` to a directory."""
    plots = directory / "plots"
    plots.mkdir(parents=True, exist_ok=True)
    rows = "\n".join(["| | |", "|---|---|", *(f"| {name} | {fact} |" for name, fact in facts.items())])
    parts = [_HEAD.format(facts=rows)]
    for chapter in chapters:
        parts.append(f"## {chapter.name}\n\n{cleandoc(chapter.about)}\n")
        for answer in chapter.answers:
            if isinstance(answer, Table):
                parts.append(answer.markdown())
            else:
                draw(answer, plots)
                parts.append(f"![{answer.title}](plots/{answer.name}.svg)\n")
    (directory / "RESULTS.md").write_text("\n".join(parts))
