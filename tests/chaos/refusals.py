"""A store that answers with refusals: the answers to callers meanwhile, and the fate of a running import."""

import http.client
import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, Self, TypeAlias
from urllib.parse import urlsplit

import redis

import batchstatus
from batchstatus import Job, StoreRefused, StoreUnavailable
from batchstatus.embedded import EmbeddedServer
from tests.chaos.finding import Finding
from tests.chaos.importing import import_until_told, trouble_at_the_end
from tests.support.callers import poll
from tests.support.importers import Importer
from tests.support.keyleaks import keys_without_ttl
from tests.support.load import SLOWEST_POLL_S
from tests.support.nodes import KEEPS_DATA
from tests.support.sdk import ORG, UNHURRIED, claim_and_vanish, plain_client, raises
from tests.support.service import LiveService
from tests.support.waiting import wait_until

SOON_S = SLOWEST_POLL_S
REFUSES_S = 1.0
FILLING = 600
"""Keys, of which the server reads ten a second until it is told to hurry: a minute, far longer than is needed."""


class Scene:
    """A store, a service, a running import and a caller, as a context manager."""

    def __enter__(self) -> Self:
        with ExitStack() as starting:
            debug = ("--enable-debug-command", "yes", "--loading-process-events-interval-bytes", "1024")
            self.server = starting.enter_context(EmbeddedServer(*KEEPS_DATA, *debug))
            self.client = starting.enter_context(plain_client(self.server.url))
            self.store = batchstatus.connect(self.server.url, **UNHURRIED)
            starting.callback(self.store.close)
            self.job_id = self.store.create(ORG, "transaction_batch").job_id
            arguments = (self.server.url, self.job_id, UNHURRIED)
            self.importer = starting.enter_context(Importer(import_until_told, *arguments))
            assert self.importer.told() == "running"
            self._address = urlsplit(starting.enter_context(LiveService(self.server.url)).url).netloc
            self._key, _ = self.store.api_keys.create(ORG, ["transactions:create"])
            self._ending = starting.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.close()

    def poll(self, job_id: str = "") -> tuple[int, float]:
        """Poll a job, by default the imported one. Returns the answer's status and time."""
        connection = http.client.HTTPConnection(self._address, timeout=30)
        answer = poll(connection, f"/batch-import/jobs/{job_id or self.job_id}", self._key)
        connection.close()
        return answer.status, answer.seconds

    def is_well(self) -> bool:
        """Returns True if a poll is answered with 200 and the import goes on."""
        if self.poll()[0] != 200:
            return False
        done = self.store.get(ORG, self.job_id).done
        return bool(wait_until(lambda: self.store.get(ORG, self.job_id).done > done, 30, "the import goes on"))


@contextmanager
def read_only(scene: Scene) -> Iterator[None]:
    """Make the store a replica without its primary, which refuses even reads."""
    scene.client.config_set("replica-serve-stale-data", "no")
    scene.client.execute_command("REPLICAOF", "127.0.0.1", 9)
    try:
        yield
    finally:
        scene.client.execute_command("REPLICAOF", "NO", "ONE")


@contextmanager
def loading(scene: Scene) -> Iterator[None]:
    """Make the server load its data slowly."""
    for number in range(FILLING):
        scene.client.set(f"filling:{number}", random.randbytes(2_000), ex=600)  # incompressible bytes
    scene.client.config_set("key-load-delay", 100_000)
    reading = threading.Thread(target=lambda: scene.client.execute_command("DEBUG", "RELOAD"))
    reading.start()
    with plain_client(scene.server.url) as other:
        wait_until(lambda: raises(redis.exceptions.BusyLoadingError, other.ping))
        try:
            yield
            assert raises(redis.exceptions.BusyLoadingError, other.ping), "the server has loaded its data too soon"
        finally:
            other.config_set("key-load-delay", 0)
            reading.join()


@contextmanager
def too_many_clients(scene: Scene) -> Iterator[None]:
    """Make the server refuse new connections."""
    scene.client.config_set("maxclients", 1)
    scene.client.client_kill_filter(_type="normal", skipme=True)
    try:
        yield
    finally:
        scene.client.config_set("maxclients", 10_000)


@contextmanager
def another_password(scene: Scene) -> Iterator[None]:
    """Change the server's password."""
    scene.client.config_set("requirepass", "another")
    scene.client.client_kill_filter(_type="normal", skipme=True)
    try:
        yield
    finally:
        scene.client.config_set("requirepass", "")


Refusal: TypeAlias = Callable[[Scene], Any]
REFUSALS: dict[str, Refusal] = {
    "is a replica without its primary": read_only,
    "loads its data": loading,
    "takes no more clients": too_many_clients,
    "has another password": another_password,
}


def store_refuses(why: str) -> Finding:
    """Let the store refuse everything for at least a second; everything must work again afterwards."""
    with Scene() as scene:
        wait_until(scene.is_well)
        with REFUSALS[why](scene):
            wrong = _asked_for(REFUSES_S, scene)
        began = time.monotonic()
        wait_until(scene.is_well, 30, "all is well again")
        recovery_s = time.monotonic() - began
        return Finding(
            fault=f"the store {why}",
            tried=1,
            lost=tuple(trouble_at_the_end(scene.store, scene.job_id, scene.importer)),
            acknowledged=scene.store.get(ORG, scene.job_id).rev,
            wrong=tuple(wrong),
            recovery_s=recovery_s,
        )


def store_is_read_only() -> Finding:
    """Make the store a replica that serves its data: reads must go on, and each write be refused as a whole."""
    with Scene() as scene:
        queued = scene.store.create(ORG, "transaction_batch")
        dead = scene.store.create(ORG, "transaction_batch")
        wait_until(scene.is_well)
        claim_and_vanish(scene.client, dead)
        scene.client.execute_command("REPLICAOF", "127.0.0.1", 9)
        before = _at_rest(scene)
        wrong = _read_only_answers(scene, queued, dead)
        wrong += ["a refusal has written something"] * (_at_rest(scene) != before)
        scene.client.execute_command("REPLICAOF", "NO", "ONE")
        began = time.monotonic()
        wait_until(scene.is_well, 30, "all is well again")
        recovery_s = time.monotonic() - began
        wait_until(lambda: scene.store.get(ORG, dead.job_id).status == "interrupted", 30, "the dead one is found")
        lost = trouble_at_the_end(scene.store, scene.job_id, scene.importer)
        return Finding(
            fault="the store is read-only",
            tried=1,
            lost=(*lost, *(f"{key} has no time to live" for key in keys_without_ttl(scene.client))),
            acknowledged=scene.store.get(ORG, scene.job_id).rev,
            wrong=tuple(wrong),
            recovery_s=recovery_s,
        )


def _at_rest(scene: Scene) -> dict[bytes, Any]:
    """Returns everything stored except the keys' remaining times to live, and the reapers' turns, which end."""
    return {key: scene.client.dump(key) for key in scene.client.scan_iter() if b"{turn}" not in key}


def _read_only_answers(scene: Scene, queued: Job, dead: Job) -> list[str]:
    """Returns the wrong or late answers while the store is read-only."""
    store, until, wrong = scene.store, time.monotonic() + REFUSES_S, []
    writes: dict[str, Callable[[], object]] = {
        "a job is created": lambda: store.create(ORG, "transaction_batch"),
        "a job is cancelled": lambda: store.control(ORG, queued.job_id, "cancel"),
        "a running job is paused": lambda: store.control(ORG, scene.job_id, "pause"),
        "a job is claimed": lambda: store.run(ORG, queued.job_id).__enter__(),
        "an API key is made": lambda: store.api_keys.create(ORG, ["transactions:create"]),
        "a dead worker's job reads something": lambda: store.get(ORG, dead.job_id),
    }
    while time.monotonic() < until:
        wrong += [what for what, write in writes.items() if not raises(StoreRefused, write)]
        wrong += ["a queued job reads otherwise"] * (store.get(ORG, queued.job_id) != queued)
        for job_id, expected in ((scene.job_id, 200), (queued.job_id, 200), (dead.job_id, 503)):
            status, took_s = scene.poll(job_id)
            if status != expected or took_s > SOON_S:
                wrong.append(f"a poll of {job_id}: {status} after {took_s:.1f} s")
    return wrong


def _asked_for(seconds: float, scene: Scene) -> list[str]:
    """Returns the answers that do not say that the store is unavailable, or say so late."""
    wrong, until = [], time.monotonic() + seconds
    while time.monotonic() < until:
        status, took_s = scene.poll()
        if status != 503 or took_s > SOON_S:
            wrong.append(f"a poll: {status} after {took_s:.1f} s")
        began = time.monotonic()
        if not raises(StoreUnavailable, lambda: scene.store.create(ORG, "transaction_batch")):
            wrong.append("a job was created")
        if time.monotonic() - began > SOON_S:
            wrong.append(f"a create: refused after {time.monotonic() - began:.1f} s")
    return wrong
