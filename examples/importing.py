"""The part common to all importers: running a job, and writing each row to the database exactly once.

After a crash, the worker that takes the job over imports the rows since the last delivered checkpoint again, and
the counters return to what that checkpoint covers. Two rules keep the table exact all the same:

1. Each stored row carries its job and its record number. So an importer can tell a row that the same job wrote
   before the crash (a success again) from another row with the same key (a duplicate).
2. Rows are committed first and reported afterwards: no checkpoint is ever ahead of the table.
"""

import argparse
import os
import signal
import sqlite3
import sys
import time
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import closing
from itertools import islice
from pathlib import Path
from sqlite3 import Connection
from typing import Any, ClassVar, TextIO

from fields import Cells, Rejected, Skipped
from records import Record, known_entities, open_csv, read

import batchstatus

BATCH_ROWS = 500
BATCH_S = 0.2


class Importer(ABC):
    """The base class of importers: columns, table, validation and storage of one kind of rows."""

    columns: ClassVar[tuple[str, ...]]
    table: ClassVar[str]
    entity_column: ClassVar[str | None] = None
    """The column that refers to an entity, if there is one."""

    def __init__(self, database: Connection, job_id: str, known: Collection[str] | None = None) -> None:
        self.database = database
        self.job_id = job_id
        self.known = known
        database.execute("PRAGMA journal_mode = WAL")  # a commit is then a single disk write
        database.execute(self.table)

    @abstractmethod
    def name(self, record: Record) -> Mapping[str, str | None]:
        """Returns the members that identify the row for the uploader."""

    @abstractmethod
    def validate(self, cells: Cells) -> dict[str, Any]:
        """Validate every cell and return the values to store. Raises `Rejected`."""

    @abstractmethod
    def store(self, values: dict[str, Any]) -> None:
        """Store the row, unless an earlier run of this job already has. Raises `Rejected` for a duplicate."""

    def import_batch(self, batch: Iterable[Record]) -> list[Rejected | None]:
        """Import the records in one committed transaction. Returns for each record None or why it was rejected."""
        with self.database:
            return [self.import_row(record) for record in batch]

    def import_row(self, record: Record) -> Rejected | None:
        """Validate and store one row. Returns None or why the row was rejected."""
        if not record.fits:
            return Rejected("VALIDATION_ERROR", "the row has more or fewer cells than the header")
        try:
            values = self.validate(record.cells)
            self.store(values | {"job_id": self.job_id, "row_number": record.number})
        except Rejected as rejected:
            return rejected
        return None


def main(kind: type[Importer]) -> None:
    """Run the importer as a command: one line of result, or one line of error and an exit code."""
    # SystemExit leaves the run's block, which gives the lease back: another worker may take over at once.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, _: sys.exit(128 + number))
    args = arguments(kind)
    try:
        run_job(kind, args)
    except (batchstatus.BatchStatusError, OSError, sqlite3.Error) as error:
        sys.exit(f"error: {error}")


def arguments(kind: type[Importer]) -> argparse.Namespace:
    """Parse the command line."""
    url = os.environ.get("BATCHSTATUS_REDIS_URL")
    parser = argparse.ArgumentParser(description=sys.modules[kind.__module__].__doc__)
    parser.add_argument("file", type=Path, help="a CSV file in UTF-8")
    parser.add_argument("--org", required=True, help="the organization that the job belongs to")
    parser.add_argument("--job", required=True, help="the id of an existing job")
    parser.add_argument("--database", required=True, type=Path, help="the SQLite file to write to")
    parser.add_argument("--redis-url", default=url, required=not url, help="default: $BATCHSTATUS_REDIS_URL")
    parser.add_argument(
        "--lease-s", type=float, default=30.0, help="seconds of silence after which a worker may be dead"
    )
    parser.add_argument("--wait-s", type=float, default=0.0, help="seconds to wait for another worker's lease")
    parser.add_argument("--rate", type=float, default=0.0, help="upper limit of rows per second; 0 is none")
    if kind.entity_column:
        parser.add_argument("--entities", type=Path, help="a CSV file; rows must refer to a tax id in it")
    return parser.parse_args()


def run_job(kind: type[Importer], args: argparse.Namespace) -> None:
    """Run the job, from its checkpoint to the end of the file."""
    known = known_entities(args.entities) if kind.entity_column and args.entities else None
    tally: Counter[str] = Counter()
    total = 0
    if args.rate > 0:
        print(f"{args.file.name}: throttled to {args.rate:g} rows a second", flush=True)
    # Connect and open the files before the claim: with a mistyped path, a claimed job would fail for good.
    store = batchstatus.connect(args.redis_url, lease_s=args.lease_s)
    with open_csv(args.file) as file, closing(sqlite3.connect(args.database, timeout=30)) as database:
        importer = kind(database, args.job, known)
        with store.run(args.org, args.job, wait_s=args.wait_s) as run:
            total = sum(1 for _ in read(file, kind.columns))
            run.total(total)
            if total:
                check_references(importer, file)
            rows = islice(read(file, kind.columns), run.checkpoint or 0, None)
            for batch in batches(paced(rows, args.rate, run.check)):
                run.check()
                tally += report(run, importer, batch, importer.import_batch(batch))
    outcomes = ", ".join(f"{tally[outcome]} {outcome}" for outcome in ("succeeded", "failed", "skipped"))
    print(f"{args.file.name}: {tally.total()} of {total} rows: {outcomes}")


def check_references(importer: Importer, file: TextIO) -> None:
    """Fail the whole job if no row refers to a known entity: the file is wrong then, not some rows."""
    column, known = importer.entity_column, importer.known
    if column is None or known is None:
        return
    if not any(record.cells[column].strip() in known for record in read(file, importer.columns)):
        message = f"no {column} in the file is that of a known entity"
        raise batchstatus.JobAborted("INVALID_ENTITY_REFERENCES", message, {"knownEntities": len(known)})


def paced(records: Iterable[Record], rate: float, check: Callable[[], None]) -> Iterator[Record]:
    """Yield the records, at most `rate` a second unless `rate` is 0. Call `check` while waiting."""
    due = time.monotonic()
    for record in records:
        if rate > 0:
            due = max(due, time.monotonic() - 1) + 1 / rate  # after a pause, catch up by at most a second's rows
            while (wait := due - time.monotonic()) > 0:
                time.sleep(min(wait, 0.1))
                check()
        yield record


def batches(records: Iterable[Record]) -> Iterator[list[Record]]:
    """Yield the records in batches of at most `BATCH_ROWS`, each collected for about `BATCH_S` at most."""
    batch: list[Record] = []
    due = time.monotonic() + BATCH_S
    for record in records:
        batch.append(record)
        if len(batch) == BATCH_ROWS or time.monotonic() > due:
            yield batch
            batch, due = [], time.monotonic() + BATCH_S
    if batch:
        yield batch


def report(
    run: batchstatus.Run, importer: Importer, batch: list[Record], outcomes: list[Rejected | None]
) -> Counter[str]:
    """Report a committed batch: each failed and skipped row, then the others with the checkpoint of the commit.

    Returns the rows per outcome.
    """
    tally: Counter[str] = Counter()
    for record, rejected in zip(batch, outcomes, strict=True):
        if rejected is None:
            tally["succeeded"] += 1
            continue
        row = {**importer.name(record), "code": rejected.code, "message": str(rejected)}
        skipped = isinstance(rejected, Skipped)
        (run.skipped if skipped else run.failed)(row)
        tally["skipped" if skipped else "failed"] += 1
    run.succeeded(tally["succeeded"], checkpoint=batch[-1].number)
    return tally
