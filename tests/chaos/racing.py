"""A cancel and the end of its job at the same moment: an accepted request must have had its effect."""

import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

from batchstatus import Job, JobStore, Status
from tests.chaos.finding import Finding
from tests.support.headstart import HeadStart
from tests.support.rawhttp import Answer, RawConnection, request
from tests.support.sdk import ORG

CANCEL = b'{"kind":"transaction_batch","action":"cancel"}'
FLAG = "batchCancelRequested"


class Races:
    """Races in a store and the service that uses it. `wins` counts the jobs by their final status."""

    def __init__(self, store: JobStore, port: int) -> None:
        self._store = store
        self._port = port
        self._key, _ = store.api_keys.create(ORG, ["transactions:create"])
        self._head_start = HeadStart()  # the cancel is the first, the end the second
        self.wins: Counter[Status] = Counter()

    def finding(self, times: int) -> Finding:
        """Run `times` races."""
        wrong = []
        with ThreadPoolExecutor(1) as other, RawConnection(self._port) as connection:
            for _ in range(times):
                answer, ended = self._race(other, connection)
                wrong += _contradictions(answer, ended)
                self.wins[ended.status] += 1
                self._head_start.give_to_the_loser(first_won=ended.status is Status.CANCELLED)
        return Finding(
            fault="a cancel comes as its job ends",
            tried=times,
            acknowledged=sum(self.wins.values()),
            wrong=tuple(wrong),
        )

    def _race(self, other: ThreadPoolExecutor, connection: RawConnection) -> tuple[Answer, Job]:
        job = self._store.create(ORG, "transaction_batch", total_items=3)
        with self._store.run(ORG, job.job_id) as run:
            run.succeeded(3)
            cancelling = other.submit(self._cancel, connection, job.job_id)
            time.sleep(self._head_start.of_the_first_s)
        return cancelling.result(), self._store.get(ORG, job.job_id)

    def _cancel(self, connection: RawConnection, job_id: str) -> Answer:
        time.sleep(self._head_start.of_the_second_s)
        connection.send(request("POST", f"/batch-import/jobs/{job_id}/control", key=self._key, body=CANCEL))
        return connection.receive()


def _contradictions(answer: Answer, ended: Job) -> list[str]:
    """Returns the contradiction between answer and end, if any.

    An accepted cancel must show the flag or `cancelled`, and the job must end as cancelled. A refused one must be
    JOB_ALREADY_TERMINAL, and the job must have completed.
    """
    if answer.status == 200:
        shown = answer.json()["job"]
        said_so = (shown["status"], FLAG in shown["metadata"]) in {("running", True), ("cancelled", False)}
        fits = said_so and ended.status is Status.CANCELLED
    else:
        fits = answer.refusal == (409, "JOB_ALREADY_TERMINAL") and ended.status is Status.COMPLETED
    exact = (ended.succeeded, FLAG in ended.metadata) == (3, False)
    return [] if fits and exact else [f"{answer.status} {answer.body!r:.200}, and then {ended}"]
