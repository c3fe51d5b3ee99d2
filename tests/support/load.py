"""Load on a store while a fault is tried, and a ledger of what the store acknowledged.

A clerk creates jobs, cancels or runs them, and enters into the ledger what the store acknowledged. Pollers read
jobs from the service, and check each answer against the ledger and against earlier answers.
"""

import http.client
import itertools
import json
import os
import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from typing import Any, NamedTuple, Self, TypeVar
from urllib.parse import urlsplit

from batchstatus import TERMINAL, Job, JobNotFound, JobStore, Status, StoreUnavailable
from tests.support.callers import Answer, poll
from tests.support.sdk import ORG, counters, rejected

T = TypeVar("T")

POLL_EVERY_S = 0.1
SLOWEST_POLL_S = 15.0 if "PYTEST_VERSION" in os.environ else 5.0
"""The store's timeout of 1 s bounds a poll; the rest is a margin, in the suite for what runs beside it too."""
NODE_TIMEOUT_S = 3.0 if "PYTEST_VERSION" in os.environ else 1.0
"""How long callers wait for a node of a Cluster that hangs; in the suite longer, since nodes that are well
may take a second or two to answer there."""
INSIST_S = 150.0
"""Only what hangs takes so long."""

_RANK = {"queued": 0, "running": 1}
_ENDED = 2


class Promise(NamedTuple):
    """What the store acknowledged of a job: at least this status, and exactly these rows once it is final."""

    status: Status
    done: tuple[int, int, int] = (0, 0, 0)

    def kept_by(self, status: str, done: tuple[int, int, int]) -> bool:
        """Returns True if a job with this status and these rows has not gone back."""
        if self.status in TERMINAL:
            return (status, done) == (self.status, self.done)
        return _rank(status) >= _rank(self.status)


class Ledger:
    """The promises about jobs. Thread-safe."""

    def __init__(self) -> None:
        self._promises: dict[str, Promise] = {}
        self._job_ids: list[str] = []
        self.acknowledged = 0
        self.trouble: list[str] = []

    def acknowledge(self, job_id: str, promise: Promise) -> None:
        """Record what the store acknowledged of this job."""
        is_new = job_id not in self._promises
        self._promises[job_id] = promise
        self.acknowledged += 1
        if is_new:  # last: whoever picks the job finds its promise
            self._job_ids.append(job_id)

    def pick(self) -> tuple[str, Promise]:
        """Returns a random job id and the current promise about that job."""
        job_id = random.choice(self._job_ids)
        return job_id, self._promises[job_id]

    def __bool__(self) -> bool:
        return bool(self._job_ids)

    def broken(self, store: JobStore) -> list[str]:
        """Returns the promises that the store has broken. Call this once all work has stopped."""
        found = []
        for job_id, promise in self._promises.items():
            job = _found(store, job_id)
            if job is None or not promise.kept_by(job.status, counters(job)):
                found.append(f"{job_id}: {promise} was acknowledged, there is {job}")
        return found


class Clerk:
    """A thread that creates jobs one after the other, cancels every third and runs every third to its end."""

    def __init__(self, store: JobStore, ledger: Ledger, name: str) -> None:
        self._store = store
        self._ledger = ledger
        self._name = name
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._work)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Let the thread finish its current work, and wait for its end."""
        self._over.set()
        self._thread.join()

    def _work(self) -> None:
        try:
            self._make_jobs()
        except Exception as error:  # nothing else would report an error in this thread
            self._ledger.trouble.append(f"{self._name}: {error!r}")

    def _make_jobs(self) -> None:
        for number in itertools.count():
            job_id = f"{self._name}-{number}"
            insist(lambda job_id=job_id: self._store.create(ORG, "transaction_batch", job_id=job_id))
            self._ledger.acknowledge(job_id, Promise(Status.QUEUED))
            if number % 3 == 1:
                insist(lambda job_id=job_id: self._store.control(ORG, job_id, "cancel"))
                self._ledger.acknowledge(job_id, Promise(Status.CANCELLED))
            elif number % 3 == 2:
                self._run(job_id)
                self._ledger.acknowledge(job_id, Promise(Status.COMPLETED, (3, 2, 0)))
            if self._over.wait(0.01):
                return

    def _run(self, job_id: str) -> None:
        with self._store.run(ORG, job_id, wait_s=60) as run:
            run.total(5)
            run.succeeded(3)
            run.failed(rejected(4))
            run.failed(rejected(5))


def insist(call: Callable[[], T]) -> T:
    """Repeat a call until the store answers, for at most INSIST_S. Returns the result."""
    deadline = time.monotonic() + INSIST_S
    while True:
        try:
            return call()
        except StoreUnavailable:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.02)


class Poller:
    """A thread that alternately polls its own job and a random job of the ledger, over one connection.

    With `reads_may_be_old`, an outdated answer is accepted, but no status that was never true.
    """

    def __init__(
        self, service_url: str, api_key: str, job_id: str, ledger: Ledger, *, reads_may_be_old: bool = False
    ) -> None:
        self._address = urlsplit(service_url).netloc
        self._api_key = api_key
        self._own = job_id, Promise(Status.RUNNING)
        self._ledger = ledger
        self._reads_may_be_old = reads_may_be_old
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._work)
        self._seen: dict[str, tuple[int, ...]] = {}
        self.answers: Counter[int] = Counter()
        self.wrong: list[str] = []

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Let the thread finish its current work, and wait for its end."""
        self._over.set()
        self._thread.join()

    def _work(self) -> None:
        connection = http.client.HTTPConnection(self._address, timeout=30)
        turns = itertools.cycle((lambda: self._own, lambda: self._ledger.pick() if self._ledger else self._own))
        while not self._over.wait(POLL_EVERY_S):
            job_id, promise = next(turns)()
            try:
                answer = poll(connection, f"/batch-import/jobs/{job_id}", self._api_key)
            except (OSError, http.client.HTTPException) as error:
                self.wrong.append(f"{job_id}: {error!r}")
                connection.close()
            else:
                self.answers[answer.status] += 1
                self._judge(job_id, promise, answer)
        connection.close()

    def _judge(self, job_id: str, promise: Promise, answer: Answer) -> None:
        body = json.loads(answer.body)
        if answer.seconds > SLOWEST_POLL_S:
            self.wrong.append(f"{job_id}: answered after {answer.seconds:.1f} s")
        if answer.status == 503 and body["error"]["code"] == "STORE_UNAVAILABLE":
            return
        if answer.status == 404 and self._reads_may_be_old and job_id != self._own[0]:
            return
        if answer.status != 200:
            self.wrong.append(f"{job_id}: {answer.status} {body}")
            return
        self._judge_job(job_id, promise, body["job"])

    def _judge_job(self, job_id: str, promise: Promise, job: dict[str, Any]) -> None:
        done = (job["succeeded"], job["failed"], job["skipped"])
        now, before = (_rank(job["status"]), *done), self._seen.get(job_id, (0, 0, 0, 0))
        self._seen[job_id] = now
        went_back = any(new < old for new, old in zip(now, before, strict=True))
        is_old = went_back or not promise.kept_by(job["status"], done)
        if job["status"] in ("interrupted", "failed") or (is_old and not self._reads_may_be_old):
            self.wrong.append(f"{job_id}: {job['status']} {done} after {before}, promised was {promise}")


def _rank(status: str) -> int:
    return _RANK.get(status, _ENDED)


def _found(store: JobStore, job_id: str) -> Job | None:
    with suppress(JobNotFound):
        return insist(lambda: store.get(ORG, job_id))
    return None
