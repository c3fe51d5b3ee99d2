"""Import one large file by many processes at once, each a part of one job: a range of the file's bytes.

Create the job with `parts=4` and start four of these, with `--part` 1 to 4. A part does the lines that begin in
its range. So no cell may contain a line break: split a file that has some by row numbers instead.
"""

import argparse
import csv
import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import BinaryIO

import batchstatus

COMMIT_ROWS = 500


def import_part(store: batchstatus.JobStore, args: argparse.Namespace) -> None:
    """Import a part, from its checkpoint, which is an offset in the file, to the end of its range."""
    with args.file.open("rb") as file, closing(sqlite3.connect(args.database, timeout=30)) as database:
        database.execute("CREATE TABLE IF NOT EXISTS payments (external_id TEXT PRIMARY KEY, cents INTEGER)")
        with store.run(args.org, args.job, part=args.part, wait_s=args.wait_s) as run:
            size, parts = os.fstat(file.fileno()).st_size, run.job.parts or 1
            begin, end = size * (args.part - 1) // parts, size * args.part // parts
            file.seek(max(begin - 1, 0))
            file.readline()  # the header, or the end of a line that begins in the part before
            begin = file.tell()
            run.total(sum(1 for _ in lines(file, end)))
            file.seek(run.checkpoint or begin)
            while batch := list(islice(lines(file, end), COMMIT_ROWS)):
                run.check()
                rejected = store_rows(database, batch)
                for row in rejected:
                    run.failed(row)
                run.succeeded(len(batch) - len(rejected), checkpoint=file.tell())  # of the commit, not of each row
                time.sleep(len(batch) / args.rate if args.rate else 0)


def lines(file: BinaryIO, end: int) -> Iterator[bytes]:
    """Yield the lines that begin before the offset `end`."""
    while file.tell() < end:
        yield file.readline()


def store_rows(database: sqlite3.Connection, batch: list[bytes]) -> list[dict[str, str | None]]:
    """Commit the rows of a batch; one that was committed before a kill is replaced. Returns the rejected rows."""
    rejected: list[dict[str, str | None]] = []
    with database:
        for cells in csv.reader(line.decode() for line in batch):
            try:
                external_id, cents = cells
                database.execute("INSERT OR REPLACE INTO payments VALUES (?, ?)", (external_id, int(cents)))
            except ValueError as error:
                name = cells[0] if cells else None
                rejected.append({"externalId": name, "code": "VALIDATION_ERROR", "message": str(error)})
    return rejected


def main() -> None:
    """Run one part of a job that exists."""
    url = os.environ.get("BATCHSTATUS_REDIS_URL")
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path, help="a CSV file in UTF-8 with a header: external_id,cents")
    parser.add_argument("--org", required=True, help="the organization that the job belongs to")
    parser.add_argument("--job", required=True, help="the id of a job that is split into parts")
    parser.add_argument("--part", required=True, type=int, help="the part to import, from 1")
    parser.add_argument("--database", required=True, type=Path, help="the SQLite file that all parts write to")
    parser.add_argument("--redis-url", default=url, required=not url, help="default: $BATCHSTATUS_REDIS_URL")
    parser.add_argument(
        "--lease-s", type=float, default=30.0, help="seconds of silence after which a worker may be dead"
    )
    parser.add_argument("--wait-s", type=float, default=0.0, help="seconds to wait for another worker's lease")
    parser.add_argument("--rate", type=float, default=0.0, help="upper limit of rows per second; 0 is none")
    args = parser.parse_args()
    import_part(batchstatus.connect(args.redis_url, lease_s=args.lease_s), args)


if __name__ == "__main__":
    main()
