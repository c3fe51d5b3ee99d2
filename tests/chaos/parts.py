"""One split job whose parts are imported by many processes, some of which are killed with SIGKILL."""

import random
import sqlite3
import time
from collections import Counter
from contextlib import ExitStack, closing
from pathlib import Path
from tempfile import TemporaryDirectory

import batchstatus
from batchstatus import Status
from tests.chaos.finding import Finding
from tests.chaos.importing import outcome
from tests.support.importers import Importer, Link
from tests.support.sdk import ORG, UNHURRIED, counters, rejected, skipped
from tests.support.waiting import wait_until

PARTS, ROWS_A_PART, COMMIT_ROWS = 8, 2_000, 60
OPTIONS = {"lease_s": 0.5, "grace_s": 0.2, **UNHURRIED}


def import_part(link: Link, url: str, job_id: str, part: int, database: str) -> None:
    """Claim a part or take it over, and import the rest of its rows: slowly, and not to the end before told so."""
    store = batchstatus.connect(url, **OPTIONS)
    first = (part - 1) * ROWS_A_PART
    with (
        closing(sqlite3.connect(database, timeout=60)) as rows_of,
        store.run(ORG, job_id, part=part, wait_s=60, flush_s=0.02) as run,
    ):
        rows_of.execute("PRAGMA synchronous = OFF")  # a killed process, not a power cut
        link.send(run.checkpoint)
        run.total(ROWS_A_PART)
        hurried = False
        for number in range((run.checkpoint or 0) + 1, ROWS_A_PART + 1):
            run.check()
            became = outcome(first + number)
            if became == "failed":
                run.failed(rejected(first + number))
            elif became == "skipped":
                run.skipped(skipped(first + number))
            else:
                rows_of.execute("INSERT OR REPLACE INTO imported VALUES (?)", (first + number,))
                run.succeeded()
            if number % COMMIT_ROWS == 0:
                rows_of.commit()
                run.succeeded(0, checkpoint=number)
            if number % COMMIT_ROWS == COMMIT_ROWS // 2 and not hurried:
                hurried = link.poll(0.05)  # with rows that are reported, and that no checkpoint covers
            if number >= ROWS_A_PART * 3 // 4 and not hurried:  # one that takes over there waits, too
                rows_of.commit()
                hurried = link.poll(None)
        rows_of.commit()
    link.send("completed")


class Split:
    """A split job in the store at `url`, with an importer for each part; kills importers, and starts others."""

    def __init__(self, url: str, folder: Path, seed: int) -> None:
        self._url, self._database, self._dice = url, folder / "rows.sqlite", random.Random(seed)
        self._store = batchstatus.connect(url, **OPTIONS)
        self._job_id = self._store.create(ORG, "transaction_batch", parts=PARTS, takeover_s=600).job_id
        self._importers: dict[int, Importer] = {}
        self.wrong: list[str] = []
        with closing(sqlite3.connect(self._database)) as rows_of:
            rows_of.execute("PRAGMA journal_mode = WAL")
            rows_of.execute("CREATE TABLE imported (number INTEGER PRIMARY KEY)")
            rows_of.commit()

    def finding(self, kills: int) -> Finding:
        """Kill `kills` importers while they import, and let the others complete the job."""
        with ExitStack() as running, closing(self._store):
            for part in range(1, PARTS + 1):
                self._start(running, part)
            for _ in range(kills):
                self._kill_one(running)
            for importer in self._importers.values():
                importer.tell("hurry")
            for part, importer in self._importers.items():
                importer.told()
                while importer.running and not importer.has_told():
                    self._is_the_sum()
                if importer.told() != "completed":
                    self.wrong.append(f"part {part} has not completed")
            lost = self._lost()
            reports = self._store.get(ORG, self._job_id).rev
        fault = f"one of {PARTS} workers on one split job is killed, another takes its part over"
        return Finding(fault=fault, tried=kills, acknowledged=reports, lost=tuple(lost), wrong=tuple(self.wrong))

    def _start(self, running: ExitStack, part: int) -> None:
        importer = Importer(import_part, self._url, self._job_id, part, str(self._database))
        self._importers[part] = running.enter_context(importer)

    def _kill_one(self, running: ExitStack) -> None:
        """Kill an importer at some moment after it has claimed its part."""
        part = self._dice.randrange(1, PARTS + 1)
        importer = self._importers[part]
        wait_until(importer.has_told, 120, "the part is claimed")
        until = time.monotonic() + self._dice.uniform(0, 0.2)
        while time.monotonic() < until:
            self._is_the_sum()
        importer.kill()
        self._start(running, part)

    def _is_the_sum(self) -> None:
        """Check that the job is the sum of its parts at this moment."""
        job, parts = self._store.reader.parts(ORG, self._job_id)
        summed = tuple(sum(getattr(part, name) for part in parts) for name in ("succeeded", "failed", "skipped"))
        if counters(job) != summed:
            self.wrong.append(f"the job counts {counters(job)}, its parts {summed}")

    def _lost(self) -> list[str]:
        """Returns what is wrong with the completed job, and with what was imported."""
        became = {number: outcome(number) for number in range(1, PARTS * ROWS_A_PART + 1)}
        expected, lost = Counter(became.values()), []
        ended = self._store.outcome(ORG, self._job_id, limit=len(became))
        if (ended.job.status, ended.job.total_items) != (Status.COMPLETED, len(became)):
            lost.append(
                f"the job is {ended.job.status} with {ended.job.total_items} rows: {ended.job.worker_error}"
            )
        if counters(ended.job) != (expected["succeeded"], expected["failed"], expected["skipped"]):
            lost.append(f"counted {counters(ended.job)}, in the file {dict(expected)}")
        for name, rows in {"failed": ended.failures, "skipped": ended.skips}.items():
            if [row["externalId"] for row in rows] != [f"T-{n}" for n, each in became.items() if each == name]:
                lost.append(f"the {name} rows are not the file's")
        with closing(sqlite3.connect(self._database)) as rows_of:
            found = [number for (number,) in rows_of.execute("SELECT number FROM imported ORDER BY number")]
        if found != [number for number, each in became.items() if each == "succeeded"]:
            lost.append("the rows in the database are not the file's")
        return lost


def parts_killed(url: str, kills: int) -> Finding:
    """Kill so many workers of one split job."""
    with TemporaryDirectory() as folder:
        return Split(url, Path(folder), kills).finding(kills)
