"""Workers killed with SIGKILL while reporting: after a takeover the counters are exact."""

import random
import time
from concurrent.futures import ThreadPoolExecutor

import batchstatus
from batchstatus import Status
from tests.chaos.finding import Finding
from tests.chaos.importing import assert_exact, import_rows
from tests.support.importers import Importer
from tests.support.sdk import ORG

AT_ONCE, ROWS = 5, 4_000
COMMIT_ROWS = (1, 300, ROWS + 1)
"""A checkpoint a row, one a commit, none."""
OPTIONS = {"lease_s": 0.4, "grace_s": 0.2}


class Killing:
    """Kills workers of jobs in the store at `url`. `hits` counts kills in the middle of an import."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._store = batchstatus.connect(url, **OPTIONS)
        self.hits = 0

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
        hit = self._is_hit(job_id, dice.uniform(0, 0.25), commit_rows)
        if self._is_running(job_id) and number % 4 == 0:
            hit = self._is_hit(job_id, dice.uniform(0, 0.1), commit_rows) or hit
        if self._is_running(job_id):
            with Importer(import_rows, self._url, job_id, ROWS, OPTIONS, commit_rows) as importer:
                importer.told()
                assert importer.told() == "completed"
        self.hits += hit
        try:
            assert_exact(self._store, job_id, ROWS)
        except AssertionError as error:
            return f"{job_id}: {error!r:.500}"
        return self._store.get(ORG, job_id).rev

    def _is_hit(self, job_id: str, moment_s: float, commit_rows: int) -> bool:
        """Kill an importer `moment_s` after its claim. Returns True if the kill hit the middle of the import."""
        with Importer(import_rows, self._url, job_id, ROWS, OPTIONS, commit_rows) as importer:
            began_at = importer.told() or 0
            time.sleep(moment_s)
            importer.kill()
        left = self._store.get(ORG, job_id)
        return left.status is Status.RUNNING and began_at < left.done < ROWS

    def _is_running(self, job_id: str) -> bool:
        return self._store.get(ORG, job_id).status is Status.RUNNING
