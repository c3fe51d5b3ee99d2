"""A primary that freezes, is deposed meanwhile, and wakes up unaware: its answers and writes then."""

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

from batchstatus import JobStore, Status, StoreUnavailable
from batchstatus.model.keys import Keys
from batchstatus.model.messages import Batch, Claim, Ending
from batchstatus.protocol import verbs
from batchstatus.settings import StoreSettings
from batchstatus.transport.connection import Connection
from batchstatus.transport.urls import open_client
from tests.chaos.failovers import job_on
from tests.chaos.finding import Finding
from tests.chaos.working import Work
from tests.support.load import insist
from tests.support.nodes import READY_S, Node
from tests.support.sdk import ORG
from tests.support.topologies import ClusterTopology, SentinelTopology
from tests.support.waiting import wait_until
from tests.support.wire import job_key

SETTINGS = StoreSettings(min_replicas=1, lease_s=1.0, grace_s=0.5)
KEYS = Keys(SETTINGS.prefix)
UNCLAIMABLE = replace(SETTINGS, lease_s=3_600.0, grace_s=3_600.0)


class OldPrimary:
    """A deposed primary, used by clients that know no other node.

    `acknowledged` are the writes that the node acknowledged, `wrong` its untrue answers about the job `alive`.
    """

    def __init__(self, node: Node, alive: str) -> None:
        self.acknowledged: list[str] = []
        self.wrong: list[str] = []
        self.refused = 0
        self._store = JobStore.open(node.url, SETTINGS)
        self._connection = Connection(partial(open_client, node.url, SETTINGS), UNCLAIMABLE)
        self._alive = alive
        self._queued = self._create()
        self._claimed = self._claim(), self._claim()
        self._over = threading.Event()
        self._threads: list[threading.Thread] = []

    def ask(self) -> None:
        """Start to send reads and writes, each kind in a thread of its own."""
        to_report, to_finish = self._claimed
        reported, finished = (KEYS.job(ORG, claim.job.job_id) for claim in self._claimed)
        completed = Ending(Status.COMPLETED)
        writes: dict[str, Callable[[], Any]] = {
            "create": lambda: self._store.create(ORG, "transaction_batch"),
            "cancel": lambda: self._store.control(ORG, self._queued, "cancel"),
            "report": lambda: verbs.report(self._connection, reported, to_report, 1, Batch(succeeded=1)),
            "finish": lambda: verbs.finish(self._connection, finished, to_finish, completed),
        }
        questions = [partial(self._write, name, write) for name, write in writes.items()]
        for question in (*questions, self._read):
            self._threads.append(threading.Thread(target=self._repeat, args=(question,)))
            self._threads[-1].start()

    def stop(self) -> None:
        """Stop sending, and close the connections."""
        self._over.set()
        for thread in self._threads:
            thread.join()
        self._connection.close()
        self._store.close()

    def changed(self, store: JobStore) -> list[str]:
        """Returns the jobs that its writes have changed in `store`; there should be none."""
        claimed = [claim.job.job_id for claim in self._claimed]
        expected = {self._queued: Status.QUEUED, **dict.fromkeys(claimed, Status.RUNNING)}
        jobs = [insist(partial(store.get, ORG, job_id)) for job_id in expected]
        return [str(job) for job in jobs if job.status != expected[job.job_id] or job.done]

    def _claim(self) -> Claim:
        key = KEYS.job(ORG, self._create())
        return insist(lambda: verbs.claim(self._connection, key, "old"))

    def _create(self) -> str:
        return insist(lambda: self._store.create(ORG, "transaction_batch")).job_id

    def _repeat(self, question: Callable[[], None]) -> None:
        while not self._over.is_set():
            try:
                question()
            except StoreUnavailable:
                self.refused += 1

    def _write(self, name: str, write: Callable[[], Any]) -> None:
        self.acknowledged.append(f"{name}: {write()}")

    def _read(self) -> None:
        job = self._store.get(ORG, self._alive)
        if job.status is not Status.RUNNING:
            self.wrong.append(f"{job.job_id} is alive and reads {job.status}")
        self._over.wait(0.05)


def sentinel_primary_frozen(busy_s: float = 0.0) -> Finding:
    """Freeze the primary until it is deposed; after waking up it acts as the primary for some seconds.

    Clients still connected to it may read outdated data: nothing else is promised.
    """
    with (
        SentinelTopology(hasty=False, busy_s=busy_s) as redis,
        Work(redis.url, lease_s=SETTINGS.lease_s, reads_may_be_old=True, busy_s=busy_s) as work,
    ):
        node = redis.wait_ready()
        old = OldPrimary(node, alive=work.imports[0])
        node.pause()
        work.wait_written("after-freeze", time.monotonic(), ready=partial(redis.wait_failover, node))
        old.ask()
        node.resume()
        woke_at = time.monotonic()
        wait_until(lambda: node.role == "slave", READY_S, "the old primary has learnt that it was deposed")
        assert time.monotonic() - woke_at > 2 * (SETTINGS.lease_s + SETTINGS.grace_s), "too soon to tell"
        old.stop()
        assert old.refused
        work.wrong += old.acknowledged + old.wrong
        work.lost += old.changed(work.store)
        return work.finding("Sentinel: the primary freezes, is deposed, wakes up")


def cluster_primary_frozen(busy_s: float = 0.0) -> Finding:
    """Freeze a primary of a Cluster likewise. It soon learns of the failover, and has no replica until then."""
    with (
        ClusterTopology(busy_s=busy_s) as redis,
        Work(redis.url, lease_s=SETTINGS.lease_s, reads_may_be_old=True, busy_s=busy_s) as work,
    ):
        redis.wait_ready()
        imported = work.imports[0]
        primary = redis.node_of(job_key(imported))
        new_job = job_on(redis, primary, "after-freeze")
        work.pause(imported)
        primary.pause()
        redis.wait_failover(job_key(imported), primary)
        primary.resume()
        work.wait_written(new_job, time.monotonic(), ready=partial(redis.wait_replicated, job_key(imported)))
        wait_until(lambda: primary.role == "slave", READY_S, "the old primary has learnt that it was deposed")
        work.resume(imported)
        redis.wait_ready()
        return work.finding("Cluster: a primary freezes, is deposed, wakes up")
