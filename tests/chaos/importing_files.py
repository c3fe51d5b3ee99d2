"""A natural importer: rows of a CSV file into SQLite, a commit and a checkpoint every few hundred rows.

It follows no rule for the sake of its counters: each row counts as it comes, whenever it is committed.
"""

import csv
import random
import sqlite3
import time
from collections import Counter
from contextlib import closing, suppress
from itertools import islice
from pathlib import Path
from typing import Any

import batchstatus
from batchstatus import JobStore, Status
from tests.support.importers import Importer, Link
from tests.support.sdk import ORG, UNHURRIED, counters, rejected, skipped
from tests.support.waiting import wait_until

OPTIONS = {"lease_s": 0.6, "grace_s": 0.2, **UNHURRIED}
MIXES = {"a checkpoint a row": 1, "one a commit": 500, "rarely one": 9_000, "none": 0}
"""Every how many rows the importer commits, and gives a checkpoint; 0: it commits at the end and gives none."""


def outcome(row: list[str]) -> str:
    """Returns what becomes of a row, from the row alone: a missing cell fails it, some rows are there already."""
    if "NA" in row or "" in row:
        return "failed"
    return "skipped" if sum(map(len, row)) % 17 == 0 else "succeeded"


def write_rows(path: Path, rows: int) -> None:
    """Write a file of dirty rows."""
    dice = random.Random(rows)
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["carrier", "flight", "minutes", "note"])
        for _ in range(rows):
            minutes = dice.choice(["NA", *map(str, range(-20, 20))])
            writer.writerow(
                [dice.choice("AB"), dice.randrange(9_999), minutes, dice.choice(["late\r\nagain", "-"])]
            )


def import_file(link: Link, url: str, job_id: str, path: str, database: str, every: int, last: int = 0) -> None:
    """Claim the job or take it over, and import the rest of the file.

    With `last` rather slowly, and only up to that row; then wait to be killed.
    """
    store = batchstatus.connect(url, **OPTIONS)
    with (
        closing(sqlite3.connect(database)) as rows_of,
        Path(path).open(newline="") as file,
        store.run(ORG, job_id, wait_s=60) as run,
    ):
        rows_of.execute("PRAGMA synchronous = OFF")  # a killed process, not a power cut
        rows_of.execute("CREATE TABLE IF NOT EXISTS imported (number INTEGER PRIMARY KEY, line TEXT)")
        begin = run.checkpoint or 0
        link.send(begin)
        rows = islice(csv.reader(file), 1 + begin, None)
        for number, row in enumerate(rows, begin + 1):
            run.check()
            became = outcome(row)
            if became == "failed":
                run.failed(rejected(number))
            elif became == "skipped":
                run.skipped(skipped(number))
            else:
                rows_of.execute("INSERT OR REPLACE INTO imported VALUES (?, ?)", (number, repr(row)))
                run.succeeded()
            if every and number % every == 0:
                rows_of.commit()
                run.succeeded(0, checkpoint=number)
            if last and number % 100 == 0:
                time.sleep(0.01)
            if number == last:
                link.recv()
        rows_of.commit()
    link.send("completed")


def import_with_kills(store: JobStore, url: str, path: Path, folder: Path, every: int, kills: int) -> list[str]:
    """Import a file, killing `kills` importers on the way. Returns what is wrong with the result."""
    with path.open(newline="") as file:
        became = [outcome(row) for row in islice(csv.reader(file), 1, None)]
    job_id = store.create(ORG, "transaction_batch", takeover_s=600).job_id
    dice, database = random.Random(every), folder / f"{job_id}.sqlite"
    arguments: tuple[Any, ...] = (url, job_id, str(path), str(database), every)
    for kill in range(1, kills + 1):
        far = len(became) * kill // (kills + 1) if every else dice.randrange(1, len(became) // 20)
        with Importer(import_file, *arguments, far + 500) as importer:
            least = max(importer.told(), far)
            wait_until(lambda least=least: _done(store, job_id) >= least, 300, "the import goes on")
            time.sleep(dice.uniform(0, 0.1))
            importer.kill()
    with Importer(import_file, *arguments) as importer:
        importer.told()
        assert importer.told(600) == "completed"
    return _wrong(store, job_id, became, database)


def _done(store: JobStore, job_id: str) -> int:
    with suppress(batchstatus.StoreUnavailable):
        return store.get(ORG, job_id).done
    return 0


def _wrong(store: JobStore, job_id: str, became: list[str], database: Path) -> list[str]:
    expected, wrong = Counter(became), []
    ended = store.outcome(ORG, job_id, limit=len(became))
    numbers = {each: [n for n, one in enumerate(became, 1) if one == each] for each in expected}
    if ended.job.status is not Status.COMPLETED:
        wrong.append(f"the job is {ended.job.status}: {ended.job.worker_error}")
    if counters(ended.job) != (expected["succeeded"], expected["failed"], expected["skipped"]):
        wrong.append(f"counted {counters(ended.job)}, in the file {dict(expected)}")
    for name, rows in {"failed": ended.failures, "skipped": ended.skips}.items():
        if [row["externalId"] for row in rows] != [f"T-{number}" for number in numbers.get(name, [])]:
            wrong.append(f"the {name} rows are not the file's")
    with closing(sqlite3.connect(database)) as rows_of:
        if [n for (n,) in rows_of.execute("SELECT number FROM imported ORDER BY number")] != numbers["succeeded"]:
            wrong.append("the rows in the database are not the file's")
    return wrong
