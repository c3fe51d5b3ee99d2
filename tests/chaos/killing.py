"""Workers killed with SIGKILL while reporting: after a takeover the counters are exact."""

import random
import time
from concurrent.futures import ThreadPoolExecutor

import batchstatus
from batchstatus import Status
from tests.chaos.finding import Finding
from tests.chaos.importing import assert_exact, import_rows
from tests.support.importers import Importer
from tests.support.sdk import ORG, UNHURRIED
from tests.support.waiting import wait_until

AT_ONCE, ROWS = 5, 4_000
COMMIT_ROWS = (1, 300, ROWS + 1)
"""A checkpoint a row, one a commit, none."""
OPTIONS = {"lease_s": 0.4, "grace_s": 0.2, **UNHURRIED}


class Killing:
    """Kills workers of jobs in the store at `url` in the middle of an import; `killed` lists the jobs."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._store = batchstatus.connect(url, **OPTIONS)
        self.killed: list[str] = []

    def finding(self, times: int) -> Finding:
        """Kill the workers of `times` jobs, of some jobs two in a row, and let others complete the jobs."""
        with ThreadPoolExecutor(AT_ONCE) as pool:
            reports = list(pool.map(self._kill_and_take_over, range(times)))
        self._store.close()
        return Finding(
            fault="a worker is killed while it reports, another takes over",
            tried=times,
            acknowledged=sum(each for each in reports if isinstance(each, int)),
            lost=tuple(each for each in reports if isinstance(each, str)),
        )

    def _kill_and_take_over(self, number: int) -> int | str:
        """Kill and take over one job. Returns the number of acknowledged reports, or what is missing."""
        dice = random.Random(number)
        job_id = self._store.create(ORG, "transaction_batch", takeover_s=60).job_id
        commit_rows = COMMIT_ROWS[number % len(COMMIT_ROWS)]
        for _ in range(2 if number % 4 == 0 else 1):
            self._kill_one(job_id, dice.uniform(0, 0.1), commit_rows)
        with Importer(import_rows, self._url, job_id, ROWS, OPTIONS, commit_rows) as importer:
            importer.told()
            assert importer.told() == "completed"
        try:
            assert_exact(self._store, job_id, ROWS)
        except AssertionError as error:
            return f"{job_id}: {error!r:.500}"
        return self._store.get(ORG, job_id).rev

    def _kill_one(self, job_id: str, moment_s: float, commit_rows: int) -> None:
        """Kill an importer `moment_s` after its first report. It imports at most a third of the rows."""
        with Importer(import_rows, self._url, job_id, ROWS, OPTIONS, commit_rows, ROWS // 3) as importer:
            began_at = importer.told() or 0
            wait_until(lambda: self._store.get(ORG, job_id).done > began_at, 30, "a report has arrived")
            time.sleep(moment_s)
            importer.kill()
        left = self._store.get(ORG, job_id)
        assert (left.status, left.done < ROWS) == (Status.RUNNING, True)
        self.killed.append(job_id)
