"""A service under load while something breaks: importers in processes of their own, a clerk and pollers."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from typing import Any, Self

import batchstatus
from batchstatus.settings import StoreSettings
from tests.chaos.finding import Finding
from tests.chaos.importing import import_until_told, trouble_at_the_end
from tests.support.importers import Importer
from tests.support.load import Clerk, Ledger, Poller, Promise, insist
from tests.support.nodes import READY_S
from tests.support.sdk import ORG
from tests.support.service import LiveService
from tests.support.waiting import wait_until

BUSY_S = 5.0
"""What the tests of the suite allow for a busy machine; `make chaos` allows nothing."""
IMPORTERS, POLLERS = 4, 20
ENOUGH = 100
"""The work goes on until more than so many writes were acknowledged."""
WRITTEN_AGAIN_S = 5.0
"""Time limit for writes to work again after the loss of a primary, which is noticed after 1.5 s of silence."""
AFTER_ELECTION_S = 3.0
"""Our part of that: time limit from when the servers are ready for writes. They may need longer to agree on a new
primary: on a busy machine, or where two of them ask for votes at once, which they repeat after 6 s. Our faults
exceed both limits: a client that does not look for the new primary stays with the old one for good."""


class Work:
    """The load on the store at `url`, as a context manager. A Redis replica confirms every write.

    `lost` and `wrong` collect what is found on the way and by `finding`, which ends the load. On a busy machine
    writes may take `busy_s` longer to work again, and live workers to be heard again.
    """

    def __init__(
        self, url: str, *, lease_s: float = 30.0, reads_may_be_old: bool = False, busy_s: float = 0.0
    ) -> None:
        self._url, self._busy_s = url, busy_s
        self._reads_may_be_old = reads_may_be_old
        grace_s = StoreSettings().grace_s + busy_s
        self._options: dict[str, Any] = {"min_replicas": 1, "lease_s": lease_s, "grace_s": grace_s}
        self._environment = {"BATCHSTATUS_MIN_REPLICAS": "1", "BATCHSTATUS_GRACE_S": f"{grace_s:g}"}
        self._ledger = Ledger()
        self._importers: dict[str, Importer] = {}
        self._clerk_and_pollers: list[Clerk | Poller] = []
        self.lost: list[str] = []
        self.wrong: list[str] = []
        self._recovery_s: list[float] = []

    @property
    def imports(self) -> list[str]:
        """The ids of the jobs being imported."""
        return list(self._importers)

    def __enter__(self) -> Self:
        with ExitStack() as starting:
            self.store = batchstatus.connect(self._url, **self._options)
            starting.callback(self.store.close)
            for _ in range(IMPORTERS):
                job_id = insist(lambda: self.store.create(ORG, "transaction_batch")).job_id
                importer = starting.enter_context(Importer(import_until_told, self._url, job_id, self._options))
                assert importer.told() == "running"
                self._importers[job_id] = importer
            self._clerk_and_pollers.append(Clerk(self.store, self._ledger, "clerk"))
            service = starting.enter_context(LiveService(self._url, store_timeout_s=1.0, **self._environment))
            key, _ = insist(lambda: self.store.api_keys.create(ORG, ["transactions:create"]))
            for number in range(POLLERS):
                job_id = self.imports[number % IMPORTERS]
                old = self._reads_may_be_old
                poller = Poller(service.url, key, job_id, self._ledger, reads_may_be_old=old)
                self._clerk_and_pollers.append(poller)
            for each in self._clerk_and_pollers:
                starting.enter_context(each)
            self._ending = starting.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.close()

    def pause(self, job_id: str) -> None:
        """Ask one of the imports to pause, until the store acknowledges that."""
        insist(lambda: self.store.control(ORG, job_id, "pause"))
        self._ledger.acknowledged += 1

    def resume(self, job_id: str) -> None:
        """Check that the pause was not lost, and end it."""
        metadata = insist(lambda: self.store.get(ORG, job_id)).metadata
        if "batchPauseRequested" not in metadata:
            self.lost.append(f"{job_id}: the pause was acknowledged, there is {metadata}")
        insist(lambda: self.store.control(ORG, job_id, "resume"))
        self._ledger.acknowledged += 1

    def wait_written(self, job_id: str, since: float, ready: Callable[[], object]) -> None:
        """Wait until the store acknowledges a new job again, and record the time since `since`.

        `ready` returns once the servers could take writes.
        """
        with ThreadPoolExecutor(1) as thread:
            ready_at = thread.submit(lambda: (ready(), time.monotonic())[1])
            insist(lambda: self.store.create(ORG, "transaction_batch", job_id=job_id))
            now = time.monotonic()
            late_s = now - ready_at.result()
        self._recovery_s.append(now - since)
        if now - since > WRITTEN_AGAIN_S + self._busy_s and late_s > AFTER_ELECTION_S + self._busy_s:
            self.wrong.append(f"writes are back after {now - since:.1f} s, {late_s:.1f} s after the servers")
        self._ledger.acknowledge(job_id, Promise(batchstatus.Status.QUEUED))

    def finding(self, fault: str) -> Finding:
        """End the load, and compare what was acknowledged with what is stored."""
        pollers = [each for each in self._clerk_and_pollers if isinstance(each, Poller)]
        wait_until(
            lambda: all(poller.answers[200] for poller in pollers), READY_S, "each poller has had an answer"
        )
        wait_until(lambda: self._acknowledged() > ENOUGH, READY_S, "enough writes are acknowledged")
        reports = sum(self._end(job_id, importer) for job_id, importer in self._importers.items())
        for each in self._clerk_and_pollers:
            each.stop()
        return Finding(
            fault=fault,
            tried=len(self._recovery_s),
            acknowledged=self._ledger.acknowledged + reports,
            lost=(*self.lost, *self._ledger.broken(self.store)),
            wrong=(*self.wrong, *self._ledger.trouble, *(each for poller in pollers for each in poller.wrong)),
            recovery_s=max(self._recovery_s),
        )

    def _acknowledged(self) -> int:
        """How many writes were acknowledged so far, reports included."""
        reports = sum(insist(partial(self.store.get, ORG, job_id)).rev for job_id in self._importers)
        return self._ledger.acknowledged + reports

    def _end(self, job_id: str, importer: Importer) -> int:
        """Let an importer complete its job, and check each row. Returns the number of acknowledged reports."""
        self.lost += trouble_at_the_end(self.store, job_id, importer)
        return insist(lambda: self.store.get(ORG, job_id)).rev
