"""A Cluster that has lost a third of its slots, primary and replica both, as callers see it."""

import hashlib
import http.client
import itertools
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from typing import Self
from urllib.parse import urlsplit

import batchstatus
from batchstatus import StoreUnavailable
from batchstatus.model.keys import Keys
from tests.chaos.finding import Finding
from tests.chaos.importing import import_until_told, trouble_at_the_end
from tests.support.callers import Answer, poll
from tests.support.importers import Importer
from tests.support.load import NODE_TIMEOUT_S, SLOWEST_POLL_S
from tests.support.nodes import Node
from tests.support.sdk import ORG, UNHURRIED
from tests.support.service import LiveService
from tests.support.topologies import ClusterTopology
from tests.support.waiting import wait_until
from tests.support.wire import job_key

JOBS, CALLERS, NEWCOMERS = 24, 10, 3
POLL_EVERY_S = 0.01


class Scene:
    """A Cluster, a service that uses it, jobs on all primaries, and `primary`, which gets lost.

    `lost` are the jobs on that node, `kept` those on other nodes; two of the latter are imported all the time. The
    API key is on another node, too.
    """

    def __enter__(self) -> Self:
        with ExitStack() as running:
            # A failover on a busy machine would lose acknowledged reports of the jobs that are kept, too.
            self.redis = running.enter_context(ClusterTopology(failover=False))
            self.store = batchstatus.connect(self.redis.url, **UNHURRIED)
            running.callback(self.store.close)
            self.primary = self.redis.nodes[0]  # the node that clients ask first
            self._key = self._key_elsewhere()
            # By these ids the jobs are spread over all primaries in every run.
            ids = [f"job-{number}" for number in range(JOBS)]
            jobs = [self.store.create(ORG, "transaction_batch", job_id=each).job_id for each in ids]
            self.lost = [each for each in jobs if self.redis.node_of(job_key(each)) is self.primary]
            self.kept = [each for each in jobs if each not in self.lost]
            self.imports = {each: self._import(each, running) for each in self.kept[:2]}
            service = running.enter_context(LiveService(self.redis.url, store_timeout_s=NODE_TIMEOUT_S))
            self._address = urlsplit(service.url).netloc
            self._running = running.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._running.close()

    def poll(self, seconds: float) -> list[tuple[str, Answer]]:
        """Poll all jobs in turn for `seconds`, from callers with their own connections. Returns the answers."""
        until = time.monotonic() + seconds
        with ThreadPoolExecutor(CALLERS) as pool:
            polling = [pool.submit(self._poll, number, until) for number in range(CALLERS)]
        return [each for polled in polling for each in polled.result()]

    def unexpected(self, answers: list[tuple[str, Answer]]) -> list[str]:
        """Returns the answers that are wrong or late, given that `primary` is away."""
        return [
            f"{job_id}: {answer.status} after {answer.seconds:.1f} s"
            for job_id, answer in answers
            if answer.status != (503 if job_id in self.lost else 200) or answer.seconds > SLOWEST_POLL_S
        ]

    def newcomers_trouble(self) -> list[str]:
        """Returns the errors of new clients, which have yet to discover the Cluster."""
        found = []
        for job_id in self.kept[:NEWCOMERS]:
            store = batchstatus.connect(self.redis.url, timeout_s=NODE_TIMEOUT_S)
            try:
                store.ping()
                store.get(ORG, job_id)
            except StoreUnavailable as error:
                found.append(f"{job_id}, to a newcomer: {error}")
            store.close()
        return found

    def is_whole(self) -> bool:
        """Returns True if a poll of each job is answered with the job."""
        jobs = iter([*self.lost, *self.kept])
        return all(answer.status == 200 for _, answer in self._poll_each(jobs))

    def _poll(self, first: int, until: float) -> list[tuple[str, Answer]]:
        jobs = self.lost + self.kept
        turns = itertools.cycle(jobs[first:] + jobs[:first])
        return list(self._poll_each(itertools.takewhile(lambda _: time.monotonic() < until, turns)))

    def _poll_each(self, jobs: Iterator[str]) -> Iterator[tuple[str, Answer]]:
        with closing(http.client.HTTPConnection(self._address, timeout=30)) as connection:
            for job_id in jobs:
                yield job_id, poll(connection, f"/batch-import/jobs/{job_id}", self._key)
                time.sleep(POLL_EVERY_S)

    def _key_elsewhere(self) -> str:
        """Returns an API key whose record is on another node than `primary`."""
        while True:
            key, _ = self.store.api_keys.create(ORG, ["transactions:create"])
            record = Keys("batchstatus").api_key(hashlib.sha256(key.encode()).hexdigest())
            if self.redis.node_of(record) is not self.primary:
                return key

    def _import(self, job_id: str, running: ExitStack) -> Importer:
        importer = running.enter_context(Importer(import_until_told, self.redis.url, job_id, {}))
        assert importer.told() == "running"
        return importer


def cluster_slots_lost(seconds: float) -> Finding:
    """Kill the primary and its replica, and restart them."""
    return _lost("Cluster: a third of the slots has no node", Node.kill, Node.start, seconds)


def cluster_slots_hang(seconds: float) -> Finding:
    """Freeze the primary and its replica, with all their connections, and let them continue."""
    return _lost("Cluster: the nodes of a third of the slots hang", Node.pause, Node.resume, seconds)


def _lost(
    fault: str, leave: Callable[[Node], object], come_back: Callable[[Node], object], seconds: float
) -> Finding:
    """Lose the slots: polls of their jobs must be 503 until they are back, all others must be answered as ever."""
    with Scene() as scene:
        leaving = (*scene.redis.replicas_of(scene.primary), scene.primary)
        for node in leaving:
            leave(node)
        wrong = [*scene.newcomers_trouble(), *scene.unexpected(scene.poll(seconds))]
        began = time.monotonic()
        for node in leaving:
            come_back(node)
        wait_until(scene.is_whole, 60, "all jobs are back")
        recovery_s = time.monotonic() - began
        ends = [trouble_at_the_end(scene.store, *imported) for imported in scene.imports.items()]
        return Finding(
            fault=fault,
            tried=1,
            acknowledged=sum(scene.store.get(ORG, job_id).rev for job_id in scene.imports),
            lost=tuple(each for end in ends for each in end),
            wrong=tuple(wrong),
            recovery_s=recovery_s,
        )
