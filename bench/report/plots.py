"""Draws plots as SVG files that differ between runs only where the figures differ."""

from collections.abc import Callable
from math import ceil, floor, log10
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib import pyplot as plt
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from bench.report.figures import Bars, Lines

SIZE = (7.3, 4.1)
"""In inches of 96 pixels: 700 pixels wide."""
OURS, OTHERS = "#0b6e8f", "#b8c4cc"
COLOURS = ("#0b6e8f", "#d1495b", "#edae49", "#66a182", "#7a5195", "#8d6a4f", "#4d5359")
MARKERS = "osD^vP*"
WITH_COMMAS = FuncFormatter(lambda value, _: f"{value:,g}")

mpl.use("svg")
mpl.rcParams |= {
    "svg.hashsalt": "batchstatus",
    "svg.fonttype": "none",
    "font.size": 10,
    "font.sans-serif": ["DejaVu Sans", "Verdana", "Arial"],
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.xmargin": 0.08,
    "grid.color": "#e3e7ea",
    "axes.prop_cycle": mpl.cycler(color=COLOURS, marker=list(MARKERS)),
    "lines.markersize": 5,
    "legend.frameon": False,
    "figure.constrained_layout.use": True,
}


def draw(plot: Lines | Bars, directory: Path) -> None:
    """Write `<name>.svg`."""
    figure, axes = plt.subplots(figsize=SIZE)
    axes.set_title(plot.title, loc="left")
    axes.set_xlabel(plot.x)
    if isinstance(plot, Bars):
        _bars(axes, plot)
    else:
        _lines(axes, plot)
    figure.savefig(directory / f"{plot.name}.svg", metadata={"Date": None, "Creator": None})
    plt.close(figure)


def _lines(axes: Any, plot: Lines) -> None:
    for name, points in plot.lines.items():
        axes.plot(list(points), list(points.values()), label=name)
    axes.set_ylabel(plot.y)
    axes.set_xscale("log")
    axes.set_yscale("log")
    xs = sorted({x for points in plot.lines.values() for x in points})
    axes.set_xticks(xs, [f"{x:,}" for x in xs])
    axes.xaxis.set_minor_locator(NullLocator())
    ys = [y for points in plot.lines.values() for y in points.values()]
    axes.set_ylim(_round_number(min(ys), floor), _round_number(max(ys), ceil))
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter(WITH_COMMAS)
    axes.yaxis.set_minor_locator(NullLocator())
    axes.figure.legend(loc="outside lower center", ncols=3 if len(plot.lines) > 3 else 2)


def _bars(axes: Any, plot: Bars) -> None:
    names, values = list(plot.bars)[::-1], list(plot.bars.values())[::-1]
    drawn = axes.barh(names, values, color=[OURS if name.startswith("batchstatus") else OTHERS for name in names])
    axes.bar_label(drawn, [f"{value:,.0f}" for value in values], padding=4)
    axes.set_xlim(right=1.1 * max(values))
    axes.xaxis.set_major_formatter(WITH_COMMAS)
    axes.grid(axis="y", visible=False)
    axes.tick_params(axis="y", length=0)


def _round_number(value: float, rounded: Callable[[float], int]) -> float:
    """Returns the nearest 1, 2 or 5 times a power of ten, rounded down or up: three steps to a decade."""
    decade, step = divmod(rounded(3 * log10(value)), 3)
    return (1, 2, 5)[step] * 10.0**decade
