"""A Cluster that has lost the slot of an organization's index, but not the slots of its jobs."""

import http.client
import itertools
import json
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from datetime import datetime
from typing import Any, Self
from urllib.parse import urlsplit

import redis

import batchstatus
from batchstatus import Job, Kind, Status, StoreUnavailable
from batchstatus.model.keys import Keys
from tests.chaos.finding import Finding
from tests.chaos.importing import import_until_told, trouble_at_the_end
from tests.support.callers import Answer, poll
from tests.support.importers import Importer
from tests.support.keyleaks import keys_without_ttl
from tests.support.load import SLOWEST_POLL_S
from tests.support.nodes import Node
from tests.support.sdk import ORG, raises
from tests.support.service import LiveService
from tests.support.topologies import ClusterTopology
from tests.support.waiting import wait_until

KIND = "transaction_batch"
LEASE_S, SETTLED_S = 1.0, 5.0
HANGS_LATE_S = 3.0
"""Extra delay in settling a job while a node hangs, at most: each look, and the end, may wait for that node."""
KEYS = Keys("batchstatus")
HISTORY = "/batch-import/jobs"


class Scene:
    """A Cluster without replicas, a service that uses it, and `primary`, which stores ORG's index and gets lost.

    Other nodes store the jobs, their entries in the lease index and the index of expiries, and the API key: a
    queued job for each operation to try, one that is imported, one whose worker dies. Of two more jobs, one
    imported and one with a dying worker, those entries are lost as well (`doubly_…`). `timeout_s` is how long the
    service and the scene wait for the store.
    """

    def __init__(self, timeout_s: float) -> None:
        self._timeout_s = timeout_s

    def __enter__(self) -> Self:
        with ExitStack() as running:
            self.redis = running.enter_context(ClusterTopology(replicas=0))
            self.store = batchstatus.connect(self.redis.url, lease_s=LEASE_S, timeout_s=self._timeout_s)
            running.callback(self.store.close)
            self.primary = self.redis.node_of(KEYS.index(ORG, Kind(KIND), Status.QUEUED))
            self._ids, doubly_lost = (
                self._ids_where(entries_are_lost=False),
                self._ids_where(entries_are_lost=True),
            )
            self._key = self._key_elsewhere()
            jobs = [self.store.create(ORG, KIND, job_id=next(self._ids)) for _ in range(5)]
            self.queued, self.cancelled, self.run, self.imported, self.dead = jobs
            self.importer = self._import(self.imported, running)
            self.dying = self._import(self.dead, running)
            jobs = [self.store.create(ORG, KIND, job_id=next(doubly_lost)) for _ in range(2)]
            self.doubly_imported, self.doubly_dead = jobs
            self.doubly_importer = self._import(self.doubly_imported, running)
            self.doubly_dying = self._import(self.doubly_dead, running)
            service = running.enter_context(LiveService(self.redis.url, store_timeout_s=self._timeout_s))
            self._address = urlsplit(service.url).netloc
            self._running = running.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._running.close()

    def get(self, path: str) -> Answer:
        """Returns the service's answer to a GET."""
        with closing(http.client.HTTPConnection(self._address, timeout=30)) as connection:
            return poll(connection, path, self._key)

    def control(self, job: Job, action: str) -> int:
        """Returns the status of the service's answer to a control request."""
        headers = {"Authorization": f"Bearer {self._key}", "Content-Type": "application/json"}
        body = json.dumps({"kind": KIND, "action": action})
        with closing(http.client.HTTPConnection(self._address, timeout=30)) as connection:
            connection.request("POST", f"{HISTORY}/{job.job_id}/control", body, headers)
            return connection.getresponse().status

    def listed(self) -> dict[str, str]:
        """Returns the status of each job in the service's history, or {} if a page is unavailable."""
        found: dict[str, str] = {}
        for status in Status:
            answer = self.get(f"{HISTORY}?status={status}&limit=100")
            if answer.status != 200:
                return {}
            found |= {job["jobId"]: job["status"] for job in json.loads(answer.body)["jobs"]}
        return found

    def next_id(self) -> str:
        """Returns the id of a job of which only the place in the organization's index is lost."""
        return next(self._ids)

    def _ids_where(self, *, entries_are_lost: bool) -> Iterator[str]:
        for number in itertools.count():
            job_id = f"{'lost' if entries_are_lost else 'elsewhere'}-{number}"
            entries = KEYS.lease_entry(ORG, job_id).key, KEYS.expiry_entry(ORG, job_id).key
            lost = [self.redis.node_of(key) is self.primary for key in (KEYS.job(ORG, job_id).job, *entries)]
            if lost == [False, entries_are_lost, entries_are_lost]:
                yield job_id

    def _key_elsewhere(self) -> str:
        while True:
            key, record = self.store.api_keys.create(ORG, ["transactions:create"])
            sha256 = self.store.api_keys._connection.command("HGET", KEYS.api_keys(ORG), record.id)
            if self.redis.node_of(KEYS.api_key(sha256.decode())) is not self.primary:
                return key

    def _import(self, job: Job, running: ExitStack) -> Importer:
        options: dict[str, Any] = {"lease_s": LEASE_S}
        importer = running.enter_context(Importer(import_until_told, self.redis.url, job.job_id, options))
        assert importer.told() == "running"
        return importer


def cluster_index_lost(busy_s: float = 0) -> Finding:
    """Kill the node, and restart it. `busy_s` is what a busy machine may add until a job is settled."""
    return _lost("Cluster: the slot of an org's index has no node", Node.kill, Node.start, busy_s=busy_s)


def cluster_index_hangs() -> Finding:
    """Freeze the node, with all its connections, and let it continue."""
    return _lost("Cluster: the node of an org's index hangs", Node.pause, Node.resume, late_s=HANGS_LATE_S)


def _lost(
    fault: str,
    leave: Callable[[Node], object],
    come_back: Callable[[Node], object],
    late_s: float = 0,
    busy_s: float = 0,
) -> Finding:
    """Lose the index: only history and creates must fail, and the index must be repaired once it is back.

    With `late_s`, a change of a job's status waits for the hanging node, then goes on without it.
    """
    # A node that was killed refuses at once: only for one that hangs is the service not to wait for long.
    with Scene(timeout_s=1.0 if late_s else 2 * SLOWEST_POLL_S) as scene:
        leave(scene.primary)
        wrong = _answers(scene)
        expected = _goes_on(scene, wrong, late_s, busy_s)
        began = time.monotonic()
        come_back(scene.primary)
        wait_until(lambda: scene.listed() == expected, 150, "all jobs are listed as they are")
        recovery_s = time.monotonic() - began
        created = scene.store.create(ORG, KIND, job_id=scene.next_id())
        found = {job_id: str(job.status) for job_id, job in scene.store.get_many(ORG, [*expected]).items()}
        return Finding(
            fault=fault,
            tried=1,
            acknowledged=created.rev + sum(scene.store.get(ORG, job_id).rev for job_id in expected),
            lost=() if found == expected else (f"{found}, expected was {expected}",),
            wrong=(*wrong, *_keys_for_ever(scene)),
            recovery_s=recovery_s,
        )


def _keys_for_ever(scene: Scene) -> list[str]:
    found = []
    for node in scene.redis.nodes:
        with redis.Redis(port=node.port) as client:
            found += [f"{key} has no time to live" for key in keys_without_ttl(client)]
    return found


def _answers(scene: Scene) -> list[str]:
    """Returns the wrong answers to callers while the index is lost."""
    ids = ",".join(job.job_id for job in (scene.queued, scene.imported))
    expected = {
        HISTORY: 503,
        f"{HISTORY}?status=running": 503,
        f"{HISTORY}?ids={ids}": 200,
        f"{HISTORY}/{scene.queued.job_id}": 200,
        f"{HISTORY}/{scene.imported.job_id}": 200,
        "/readyz": 200,
    }
    wrong = []
    for _ in range(3):
        for path, status in expected.items():
            answer = scene.get(path)
            if answer.status != status or answer.seconds > SLOWEST_POLL_S:
                wrong.append(f"{path}: {answer.status} after {answer.seconds:.1f} s")
    began, new_id = time.monotonic(), scene.next_id()
    if not raises(StoreUnavailable, lambda: scene.store.create(ORG, KIND, job_id=new_id)):
        wrong.append("a job was created")
    if (took_s := time.monotonic() - began) > SLOWEST_POLL_S:
        wrong.append(f"a create was refused after {took_s:.1f} s")
    if scene.get(f"{HISTORY}/{new_id}").status != 404:
        wrong.append("a create that was refused has made a job")
    return wrong


def _goes_on(scene: Scene, wrong: list[str], late_s: float, busy_s: float) -> dict[str, str]:
    """Cancel, run, end and settle the jobs. Returns the expected status of each."""
    store = scene.store
    status = scene.control(scene.cancelled, "cancel")
    if late_s and status == 503:
        store.control(ORG, scene.cancelled.job_id, "cancel")  # the SDK may wait for longer than a request
    elif status != 200:
        wrong.append(f"a queued job is cancelled: {status}")
    with store.run(ORG, scene.run.job_id, wait_s=15) as run:
        run.succeeded(3)
    before = store.get(ORG, scene.imported.job_id).done
    wait_until(lambda: store.get(ORG, scene.imported.job_id).done > before, 30, "the import goes on")
    wrong += _is_found(scene, scene.dead, scene.dying, late_s, busy_s)
    if not late_s:  # else each look waits for two answers, longer than a poll may take
        wrong += _is_found(scene, scene.doubly_dead, scene.doubly_dying, late_s, busy_s)
    wrong += trouble_at_the_end(store, scene.imported.job_id, scene.importer)
    wrong += trouble_at_the_end(store, scene.doubly_imported.job_id, scene.doubly_importer)
    return {
        scene.queued.job_id: "queued",
        scene.cancelled.job_id: "cancelled",
        scene.run.job_id: "completed",
        scene.imported.job_id: "completed",
        scene.dead.job_id: "interrupted",
        scene.doubly_imported.job_id: "completed",
        scene.doubly_dead.job_id: "running" if late_s else "interrupted",
    }


def _is_found(scene: Scene, job: Job, worker: Importer, late_s: float, busy_s: float) -> list[str]:
    """Kill a worker, and poll its job until it reads interrupted. Returns what is wrong with the answers."""
    worker.kill()
    lease_end_s = _seconds(scene.store.get(ORG, job.job_id).lease_expires_at)
    path, answers = f"{HISTORY}/{job.job_id}", []

    def shows() -> bool:
        answers.append(scene.get(path))
        return b'"interrupted"' in answers[-1].body

    wait_until(shows, 30, "the dead worker is found")
    late_by_s = _seconds(scene.store.get(ORG, job.job_id).completed_at) - lease_end_s
    too_late = late_by_s > SETTLED_S + late_s + busy_s
    wrong = [f"the dead worker was found {late_by_s:.1f} s after its lease"] * too_late
    usual = {200, 503} if late_s else {200}
    return wrong + [f"its job: {each.status}" for each in answers if each.status not in usual]


def _seconds(moment: datetime | None) -> float:
    assert moment is not None
    return moment.timestamp()
