"""Bars on terminals of any width: each state in words, a bar at 60 columns too, no line wider than that."""

import io
import time
from collections.abc import Sequence
from typing import Any

import pytest
from rich.cells import cell_len
from rich.console import Console

from batchstatus import Job
from batchstatus.cli.terminal.bars import SPARE, Bars, Row, parts_line
from batchstatus.model.progress import Progress
from tests.unit.cli.jobs import JOB_ID, NOW, STATES, job
from tests.unit.cli.test_words import HOSTILE

WIDTHS = (60, 80, 120)


def drawn(width: int, *rows: Row) -> list[str]:
    """The lines of these rows on a terminal of this width, without colours. The rest of a bar is blank then."""
    file = io.StringIO()
    Console(file=file, width=width, force_terminal=True, color_system=None).print(Bars(rows, lambda: NOW))
    lines = file.getvalue().splitlines()
    assert all(cell_len(line) <= width for line in lines), lines
    return lines


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize(("of", "word"), STATES.values(), ids=STATES)
def test_every_state_is_one_line_with_a_name_and_words(of: Job, word: str, width: int) -> None:
    (line,) = drawn(width, Row(JOB_ID, of))
    assert line.startswith("november.csv  ")
    assert word in line
    assert ("━" in line) == (of.done > 0)


@pytest.mark.parametrize(
    ("width", "said"),
    {
        60: "412/1,000  3 failed  6 s left",
        80: "412/1,000   41 %  3 failed  97 rows/s, 6 s left",
        120: "412/1,000   41 %  3 failed  97 rows/s, 6 s left (4 s to 11 s)",
    }.items(),
)
def test_a_narrow_terminal_goes_without_what_matters_least(width: int, said: str) -> None:
    (line,) = drawn(width, Row(JOB_ID, job()))
    bar = line.removeprefix("november.csv  ").partition("412")[0]
    assert line.rstrip().endswith(f"  {said}")
    assert len(bar) >= 10 + 2
    assert 0.35 <= bar.count("━") / (len(bar) - 4) <= 0.45


@pytest.mark.parametrize("width", range(24, 200, 7))
def test_the_bar_stays_whatever_else_goes(width: int) -> None:
    large = job(
        "customers of all the world.csv",
        total_items=10_000_000,
        succeeded=5_000_000,
        failed=12_345,
        skipped=6,
        pace=Progress(NOW, 12_345.6, 2_700, 1_800, 7_200),
    )
    (line,) = drawn(width, Row(JOB_ID, large))
    assert line.count("━") >= 5
    assert line.startswith("cu")


def test_jobs_stand_one_below_the_other() -> None:
    rows = [Row("a", job()), Row("b", job("a much longer name.csv")), Row("c", job("x", "batchAwaitingWorker"))]
    lines = drawn(100, *rows)
    assert len({line.index("━") for line in lines}) == 1
    assert len({line.index("/1,000") for line in lines}) == 1


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize(
    "name",
    [text for text, _ in HOSTILE.values()] + ["十一月の取引データ一覧表最終版.csv" * 3, "\U0001f4e6" * 50],
    ids=[*HOSTILE, "wide", "emoji"],
)
def test_no_name_breaks_the_line(name: str, width: int) -> None:
    (line,) = drawn(width, Row(JOB_ID, job(name)))
    assert line.isprintable()
    assert "6 s left" in line


@pytest.mark.parametrize("width", WIDTHS)
def test_a_service_that_does_not_answer_is_told_instead_of_a_frozen_pace(width: int) -> None:
    now = time.monotonic()
    (line,) = drawn(width, Row(JOB_ID, job(), heard_at=now - 8))
    assert "no answer for 8 s" in line
    assert "left" not in line
    (line,) = drawn(width, Row(JOB_ID, heard_at=now - 90))
    assert line.startswith("…78bf67c83db2  ")
    assert line.rstrip().endswith("no answer for 2 min")
    (line,) = drawn(width, Row(JOB_ID, job(), heard_at=now - 1))
    assert "6 s left" in line
    (line,) = drawn(width, Row(JOB_ID, heard_at=now))
    assert line.rstrip().endswith("asking …")


# Parts


def part(number: int, status: str, done: int = 0, lease: str | None = None) -> dict[str, Any]:
    counts = {"totalItems": 100 if done else None, "succeeded": done, "failed": 0, "skipped": 0}
    return {"part": number, "status": status, "leaseExpiresAt": lease, **counts}


def parts(many: int) -> list[dict[str, Any]]:
    """A quarter of the parts done, a half at work, a quarter not begun."""
    done = [part(n, "completed", 100) for n in range(many // 4)]
    work = [part(n, "running", 50, "2026-11-27T14:03:30.000Z") for n in range(many // 2)]
    return [*done, *work, *(part(n, "queued") for n in range(many - len(done) - len(work)))]


def line_of(found: Sequence[dict[str, Any]], width: int = 80) -> str:
    line = parts_line(found, width)
    assert line.cell_len <= width
    return line.plain


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("many", [2, 4, 16, 60, 100, 1_000])
def test_parts_are_one_line_whatever_their_number(many: int, width: int) -> None:
    row, of_parts = drawn(width, Row(JOB_ID, job(), parts(many)))
    assert "412" in row
    assert of_parts.startswith(f"{many:,} parts  ")
    assert of_parts == line_of(parts(many), width - SPARE)


def test_a_few_parts_have_a_small_bar_each() -> None:
    assert line_of(parts(4), 60) == "4 parts  ━━━━ ━━── ━━── ────  1 done, 2 at work, 1 waiting"


def test_more_parts_have_a_block_each() -> None:
    assert line_of(parts(16), 60) == "16 parts  ████▄▄▄▄▄▄▄▄····  4 done, 8 at work, 4 waiting"


def test_very_many_parts_share_blocks() -> None:
    line = line_of(parts(1_000), 60)
    assert line.endswith("  250 done, 500 at work, 250 waiting")
    blocks = line.removeprefix("1,000 parts  ").partition("  ")[0]
    assert (blocks[0], blocks[len(blocks) // 2], blocks[-1]) == ("█", "▄", "·")


def test_a_part_that_failed_is_seen_among_a_thousand() -> None:
    found = [*parts(999), part(1_000, "failed", 20)]
    assert "✗" in line_of(found)
    assert "1 failed" in line_of(found, 120)


def test_a_part_whose_worker_died_waits() -> None:
    line = line_of([part(1, "running", 50), part(2, "running", 0, "2026-11-27T14:03:30.000Z")])
    assert line.endswith("1 at work, 1 waiting")
