"""What the workers of the queues import: numbered rows into SQLite, as a test tells them to."""

import os
import sqlite3
import time
from pathlib import Path
from typing import Any, TypeAlias

from batchstatus import Run

COMMIT_EVERY = 10


class Odd(Exception):
    """An error that nobody retries."""


Plans: TypeAlias = dict[str, dict[str, Any]]
"""What a part does, by its number; JSON has texts as keys."""

ERRORS = {"ConnectionError": ConnectionError, "Odd": Odd}


def import_rows(
    run: Run,
    folder: str,
    rows: int,
    *,
    hold_at: int = 0,
    bad: int = 0,
    error: str = "",
    times: int = 0,
    row_s: float = 0,
) -> str:
    """Import rows 1 to `rows`, committing every tenth with a checkpoint.

    Row `bad` fails. At row `hold_at` the import waits for the file `go`. In the middle it raises `error`, so many
    `times`. The file `starts` gets a line with the process's id for each run.
    """
    place = Path(folder)
    with (place / "starts").open("a") as starts:
        starts.write(f"{os.getpid()}\n")
    started = len((place / "starts").read_text().splitlines())
    run.total(rows)
    with sqlite3.connect(place / "rows.db", timeout=30) as rows_db:
        rows_db.execute("CREATE TABLE IF NOT EXISTS imported (row INTEGER PRIMARY KEY, done INTEGER)")
        for row in range((run.checkpoint or 0) + 1, rows + 1):
            run.check()
            if row == hold_at:
                (place / "holding").touch()
                _wait_for(run, place / "go")
            if error and row == rows // 2 and started <= times:
                rows_db.rollback()
                raise ERRORS[error](f"in the middle of start {started}")
            time.sleep(row_s)
            _import(run, rows_db, row, is_bad=row == bad)
    return "imported"


def import_part(run: Run, folder: str, rows: int, part: int, plans: Plans) -> int:
    """Import the rows of a part into a folder of its own, and return its number. `plans` has a plan by part."""
    place = Path(folder) / str(part)
    place.mkdir(exist_ok=True)
    import_rows(run, str(place), rows, **plans.get(str(part), {}))
    return part


def _import(run: Run, rows_db: sqlite3.Connection, row: int, *, is_bad: bool) -> None:
    rows_db.execute("INSERT OR REPLACE INTO imported VALUES (?, 1)", (row,))
    checkpoint: Any = None
    if row % COMMIT_EVERY == 0:
        rows_db.commit()
        checkpoint = row
    if is_bad:
        run.failed({"externalId": f"T-{row}", "code": "VALIDATION_ERROR"}, checkpoint=checkpoint)
    else:
        run.succeeded(checkpoint=checkpoint)


def _wait_for(run: Run, file: Path) -> None:
    while not file.exists():
        run.check()
        time.sleep(0.01)
