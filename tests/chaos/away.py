"""A store that is away for twice the lease, while eight workers live and one dies.

Meanwhile others look at the live workers' jobs and try to take them over. The replicas may be restarted, too.
"""

import os
import signal
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager, suppress
from threading import Event
from typing import Any, Self

import batchstatus
from batchstatus import JobStore, LeaseHeld, Status, StoreUnavailable
from batchstatus.embedded import EmbeddedServer
from batchstatus.model.keys import Keys
from batchstatus.settings import StoreSettings
from tests.chaos.finding import Finding
from tests.chaos.importing import import_until_told, trouble_at_the_end
from tests.support.importers import Importer
from tests.support.keyleaks import keys_without_ttl
from tests.support.nodes import KEEPS_DATA
from tests.support.sdk import ORG, plain_client, store_ms
from tests.support.service import LiveService
from tests.support.settling import Settler
from tests.support.waiting import wait_until

LIVE, REPLICAS, LEASE_S, GRACE_S = 8, 2, 1.0, StoreSettings().grace_s
SETTLED_S = 5.0
"""Time limit, from the store's return, for settling a job whose lease expired meanwhile, with that grace."""


class Takers:
    """Threads that try to claim these jobs, one thread per job, for as long as the block lasts.

    `taken` are the jobs that they could claim.
    """

    def __init__(self, store: JobStore, job_ids: list[str]) -> None:
        self._store = store
        self._job_ids = job_ids
        self._over = Event()
        self._threads = ThreadPoolExecutor(len(job_ids))
        self.refused = 0
        self.taken: list[str] = []

    def __enter__(self) -> Self:
        self._trying = [self._threads.submit(self._try, job_id) for job_id in self._job_ids]
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for each in self._trying:
            each.result()
        self._threads.shutdown()

    def _try(self, job_id: str) -> None:
        while not self._over.wait(0.1):
            with suppress(StoreUnavailable):
                try:
                    with self._store.run(ORG, job_id):
                        self.taken.append(job_id)
                except LeaseHeld:
                    self.refused += 1


class Scene:
    """A store that loses nothing it has acknowledged, replicas with their reapers, live workers and dying ones.

    On a busy machine all workers have `busy_s` longer, from the store's return, to be heard again.
    """

    def __init__(self, busy_s: float) -> None:
        self._grace_s = GRACE_S + busy_s
        self._options: dict[str, Any] = {"lease_s": LEASE_S, "grace_s": self._grace_s}

    def __enter__(self) -> Self:
        with ExitStack() as starting:
            self.server = starting.enter_context(EmbeddedServer(*KEEPS_DATA))
            # The scene only looks on: on a busy machine an answer may take a while.
            self.store = batchstatus.connect(self.server.url, timeout_s=30, **self._options)
            starting.callback(self.store.close)
            self._running = starting.enter_context(ExitStack())
            self._start_replicas()
            # Every other job could be taken over; the others could only be interrupted.
            self.live = dict(self.import_one(starting, takeover_s=600 * (number % 2)) for number in range(LIVE))
            self._ending = starting.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.close()

    def import_one(self, ending: ExitStack, takeover_s: float = 0) -> tuple[str, Importer]:
        """Create a job and start a worker that imports until told to stop. Returns both."""
        job_id = self.store.create(ORG, "transaction_batch", takeover_s=takeover_s).job_id
        importer = ending.enter_context(Importer(import_until_told, self.server.url, job_id, self._options))
        assert importer.told() == "running"
        return job_id, importer

    def restart_replicas(self) -> None:
        """Kill all replicas and restart them, even while the store is away."""
        for replica in self._replicas:
            os.killpg(replica.pid, signal.SIGKILL)
        self._running.close()
        self._start_replicas()

    def _start_replicas(self) -> None:
        grace = {"BATCHSTATUS_GRACE_S": f"{self._grace_s:g}"}
        replicas = (
            LiveService(self.server.url, wait_for="/livez", store_timeout_s=1.0, **grace) for _ in range(REPLICAS)
        )
        self._replicas = [self._running.enter_context(each) for each in replicas]

    @contextmanager
    def watched(self) -> Iterator[tuple[Takers, Settler]]:
        """Let others look at the live workers' jobs, and try to take them over, inside the block."""
        options = {**self._options, "timeout_s": 0.5}
        with closing(batchstatus.connect(self.server.url, **options)) as store:
            jobs = [*self.live]
            with Takers(store, jobs) as takers, Settler(store, jobs) as settler:
                yield takers, settler

    def goes_on(self, seen: dict[str, int]) -> bool:
        """Returns True if all live workers' jobs have more rows than `seen`."""
        return all(self.store.get(ORG, job_id).done > done for job_id, done in seen.items())

    def store_ms(self) -> int:
        """The store's clock."""
        with plain_client(self.server.url) as client:
            return store_ms(client)

    def done(self) -> dict[str, int]:
        """Returns the number of rows of each live worker's job."""
        return {job_id: self.store.get(ORG, job_id).done for job_id in self.live}

    def lost(self) -> tuple[str, ...]:
        """Let each live worker complete its job. Returns what is missing."""
        ends = [trouble_at_the_end(self.store, job_id, each) for job_id, each in self.live.items()]
        return tuple(each for end in ends for each in end)


def store_hangs(times: int, *, replicas_too: bool = False, busy_s: float = 0.0) -> Finding:
    """Freeze the server, with all its connections, and let it continue. `busy_s`: see `_away`."""
    fault = "the store hangs for twice the lease"
    return _away(fault, EmbeddedServer.pause, EmbeddedServer.resume, times, replicas_too, busy_s)


def store_restarts(times: int, *, replicas_too: bool = False, busy_s: float = 0.0) -> Finding:
    """Kill the server, and restart it with its append-only file. `busy_s`: see `_away`."""
    fault = "the store is killed, back after twice the lease"
    return _away(fault, EmbeddedServer.kill, EmbeddedServer.start, times, replicas_too, busy_s)


def _away(
    fault: str,
    leave: Callable[[EmbeddedServer], object],
    come_back: Callable[[EmbeddedServer], object],
    times: int,
    replicas_too: bool,
    busy_s: float,
) -> Finding:
    """Take the store away `times` times. With `replicas_too`, restart all replicas before the store is back.

    Where other processes use the machine, live workers may be heard again `busy_s` later than promised. A dead
    worker's job is then settled as much later, and may be late by `busy_s` itself.
    """
    with Scene(busy_s) as scene, ExitStack() as dying:
        wrong: list[str] = []
        recovery_s: list[float] = []
        with scene.watched() as (takers, settler):
            for _ in range(times):
                dead, worker = scene.import_one(dying)
                seen = scene.done()
                wait_until(lambda seen=seen: scene.goes_on(seen), 60)  # type: ignore[misc]
                wait_until(lambda: takers.refused, 60, "the takers have tried")
                failed = settler.failed_looks
                leave(scene.server)
                left_at = time.monotonic()
                worker.kill()
                if replicas_too:
                    scene.restart_replicas()
                wait_until(lambda failed=failed: settler.failed_looks > failed, 60)  # type: ignore[misc]
                time.sleep(max(0.0, left_at + 2 * LEASE_S - time.monotonic()))
                come_back(scene.server)
                back_at, back_at_ms = time.monotonic(), scene.store_ms()
                recovery_s.append(_recover(scene, back_at))
                wrong += _settled_late(scene, dead, back_at_ms, SETTLED_S + 2 * busy_s)
        wrong += [f"{job_id} was taken over" for job_id in takers.taken]
        wrong += [f"a live worker's job has read {status}" for status in settler.statuses - {Status.RUNNING}]
        lost = scene.lost()
        with plain_client(scene.server.url) as client:
            wrong += [f"{key} has no time to live" for key in keys_without_ttl(client)]
        return Finding(
            fault=fault + ", all replicas restart" * replicas_too,
            tried=times,
            acknowledged=sum(scene.store.get(ORG, job_id).rev for job_id in scene.live),
            lost=lost,
            wrong=tuple(wrong),
            recovery_s=max(recovery_s),
        )


def _recover(scene: Scene, back_at: float) -> float:
    """Wait until the rows of all live workers arrive again. Returns the time since `back_at`."""
    before = scene.done()
    wait_until(lambda: scene.goes_on(before), 60, "the live workers go on")
    return time.monotonic() - back_at


def _settled_late(scene: Scene, dead: str, back_at_ms: int, at_most_s: float) -> list[str]:
    """Wait until the replicas settle a dead worker's job that nobody polls. Returns complaints if too late."""
    key = Keys("batchstatus").job(ORG, dead).job
    with plain_client(scene.server.url) as client:
        wait_until(lambda: client.hget(key, "status") == b"interrupted", 60, "the dead worker is found")
        late_s = (int(client.hget(key, "completedAt") or 0) - back_at_ms) / 1000
    return [f"the worker of {dead} is dead, and settled after {late_s:.1f} s"] * (late_s > at_most_s)
