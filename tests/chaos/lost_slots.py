"""A Cluster that has lost a third of its slots, primary and replica both: what callers notice of it."""

import hashlib
import http.client
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Self
from urllib.parse import urlsplit

import batchstatus
from batchstatus.keys import Keys
from tests.chaos.finding import Finding
from tests.chaos.importing import assert_exact, import_until_told
from tests.support.callers import Answer, poll
from tests.support.importers import Importer
from tests.support.load import SLOWEST_POLL_S
from tests.support.nodes import Node
from tests.support.sdk import ORG
from tests.support.service import LiveService
from tests.support.topologies import ClusterTopology
from tests.support.waiting import wait_until
from tests.support.wire import job_key

JOBS, CALLERS, POLLED_S = 24, 10, 8.0


class Scene:
    """A Cluster, a service over it, jobs on all of its primaries, and `primary`, which is to be lost.

    Two of the jobs that are `kept` elsewhere are imported all the while. The API key is elsewhere, too.
    """

    def __enter__(self) -> Self:
        with ExitStack() as running:
            self.redis = running.enter_context(ClusterTopology())
            self.store = batchstatus.connect(self.redis.url)
            running.callback(self.store.close)
            self._key, _ = self.store.api_keys.create(ORG, ["transactions:create"])
            self.primary = self._another_than_the_keys()
            jobs = [self.store.create(ORG, "transaction_batch").job_id for _ in range(JOBS)]
            self.lost = [each for each in jobs if self.redis.node_of(job_key(each)) is self.primary]
            self.kept = [each for each in jobs if each not in self.lost]
            self.imports = {each: self._import(each, running) for each in self.kept[:2]}
            self._address = urlsplit(running.enter_context(LiveService(self.redis.url)).url).netloc
            self._running = running.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._running.close()

    def poll(self, seconds: float) -> list[tuple[str, Answer]]:
        """What callers are answered who poll all jobs in turn for so long, each over its own connection."""
        until = time.monotonic() + seconds
        with ThreadPoolExecutor(CALLERS) as pool:
            polling = [pool.submit(self._poll, number, until) for number in range(CALLERS)]
        return [each for polled in polling for each in polled.result()]

    def _poll(self, first: int, until: float) -> list[tuple[str, Answer]]:
        connection, jobs, answers = (
            http.client.HTTPConnection(self._address, timeout=30),
            self.lost + self.kept,
            [],
        )
        while not answers or time.monotonic() < until:
            for job_id in jobs[first:] + jobs[:first]:
                answers.append((job_id, poll(connection, f"/batch-import/jobs/{job_id}", self._key)))
                time.sleep(0.01)
        connection.close()
        return answers

    def _another_than_the_keys(self) -> Node:
        record = Keys("batchstatus").api_key(hashlib.sha256(self._key.encode()).hexdigest())
        keys_node = self.redis.node_of(record)
        return next(node for node in self.redis.nodes if node is not keys_node and node.role == "master")

    def _import(self, job_id: str, running: ExitStack) -> Importer:
        importer = running.enter_context(Importer(import_until_told, self.redis.url, job_id, {}))
        assert importer.told() == "running"
        return importer


def cluster_slots_lost() -> Finding:
    """Polls of the jobs in the lost slots are 503 until these are back; all others are answered as ever."""
    with Scene() as scene:
        replica = scene.redis.replicas_of(scene.primary)[0]
        replica.kill()
        scene.primary.kill()
        expected = {**dict.fromkeys(scene.lost, 503), **dict.fromkeys(scene.kept, 200)}
        answers = scene.poll(POLLED_S)
        wrong = [
            f"{job_id}: {answer.status} after {answer.seconds:.1f} s"
            for job_id, answer in answers
            if answer.status != expected[job_id] or answer.seconds > SLOWEST_POLL_S
        ]
        began = time.monotonic()
        scene.primary.start()
        replica.start()
        wait_until(lambda: {answer.status for _, answer in scene.poll(0)} == {200}, 60, "all jobs are back")
        return Finding(
            fault="Cluster: a third of the slots has no node",
            tried=1,
            acknowledged=sum(_reports(scene, job_id) for job_id in scene.imports),
            wrong=tuple(wrong),
            recovery_s=time.monotonic() - began,
        )


def _reports(scene: Scene, job_id: str) -> int:
    """Let an importer complete its job, each row of which must be there; how many reports there were."""
    scene.imports[job_id].tell("stop")
    assert_exact(scene.store, job_id, scene.imports[job_id].told())
    return scene.store.get(ORG, job_id).rev
