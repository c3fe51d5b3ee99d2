"""Settling jobs all the time, as polls and the reapers of a service do."""

import threading
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Self

from batchstatus import JobStore, Status, StoreUnavailable
from tests.support.sdk import ORG

PAUSE_S = 0.02


class Settler:
    """A thread that settles jobs for as long as its block lasts, whatever the store does."""

    def __init__(self, store: JobStore, job_ids: Sequence[str]) -> None:
        self._store = store
        self._job_ids = job_ids
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._settle)
        self.statuses: set[Status] = set()
        self.looks = self.failed_looks = self.seen_past_lease = 0

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _settle(self) -> None:
        while not self._over.is_set():
            for job_id in self._job_ids:
                self._look(job_id)
            self._over.wait(PAUSE_S)

    def _look(self, job_id: str) -> None:
        try:
            job = self._store.settle(ORG, job_id)
        except StoreUnavailable:
            self.failed_looks += 1
            return
        self.looks += 1
        self.statuses.add(job.status)
        if job.lease_expires_at and job.lease_expires_at < datetime.fromtimestamp(time.time(), UTC):
            self.seen_past_lease += 1
