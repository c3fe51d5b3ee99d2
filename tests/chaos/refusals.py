"""A store that answers, and refuses: what callers hear meanwhile, and what becomes of an import that runs."""

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
from batchstatus import StoreUnavailable
from batchstatus.embedded import EmbeddedServer
from tests.chaos.finding import Finding
from tests.chaos.importing import import_until_told, trouble_at_the_end
from tests.support.callers import poll
from tests.support.importers import Importer
from tests.support.sdk import ORG, raises
from tests.support.service import LiveService
from tests.support.waiting import wait_until

SOON_S = 2.0
"""The store's timeout of 1 s, and what a busy machine needs."""
REFUSES_S = 1.0
FILLING = 30


class House:
    """A store, a service, an import that runs, and a caller; enter it with `with`."""

    def __enter__(self) -> Self:
        with ExitStack() as starting:
            debug = ("--enable-debug-command", "yes", "--loading-process-events-interval-bytes", "1024")
            self.server = starting.enter_context(EmbeddedServer("--appendonly", "yes", *debug))
            self.client = starting.enter_context(redis.Redis.from_url(self.server.url))
            self.store = batchstatus.connect(self.server.url)
            starting.callback(self.store.close)
            self.job_id = self.store.create(ORG, "transaction_batch").job_id
            arguments = (self.server.url, self.job_id, {})
            self.importer = starting.enter_context(Importer(import_until_told, *arguments))
            assert self.importer.told() == "running"
            self._address = urlsplit(starting.enter_context(LiveService(self.server.url)).url).netloc
            self._key, _ = self.store.api_keys.create(ORG, ["transactions:create"])
            self._ending = starting.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.close()

    def poll(self) -> tuple[int, float]:
        """The status of a poll, and how long it took."""
        connection = http.client.HTTPConnection(self._address, timeout=30)
        answer = poll(connection, f"/batch-import/jobs/{self.job_id}", self._key)
        connection.close()
        return answer.status, answer.seconds

    def is_well(self) -> bool:
        """Whether a poll is answered and the import goes on."""
        if self.poll()[0] != 200:
            return False
        done = self.store.get(ORG, self.job_id).done
        return bool(wait_until(lambda: self.store.get(ORG, self.job_id).done > done, 30, "the import goes on"))


@contextmanager
def read_only(house: House) -> Iterator[None]:
    """A replica at the store's address, whose primary is away."""
    house.client.config_set("replica-serve-stale-data", "no")
    house.client.execute_command("REPLICAOF", "127.0.0.1", 9)
    try:
        yield
    finally:
        house.client.execute_command("REPLICAOF", "NO", "ONE")


@contextmanager
def loading(house: House) -> Iterator[None]:
    """A server that reads its data, and takes its time."""
    for number in range(FILLING):
        house.client.set(f"filling:{number}", random.randbytes(2_000), ex=600)  # bytes that do not shrink
    house.client.config_set("key-load-delay", 100_000)
    reading = threading.Thread(target=lambda: house.client.execute_command("DEBUG", "RELOAD"))
    reading.start()
    with redis.Redis.from_url(house.server.url) as other:
        wait_until(lambda: raises(redis.exceptions.BusyLoadingError, other.ping))
    try:
        yield
    finally:
        reading.join()


@contextmanager
def too_many_clients(house: House) -> Iterator[None]:
    """A server that takes no more connections."""
    house.client.config_set("maxclients", 1)
    house.client.client_kill_filter(_type="normal", skipme=True)
    try:
        yield
    finally:
        house.client.config_set("maxclients", 10_000)


@contextmanager
def another_password(house: House) -> Iterator[None]:
    """A server whose password is no longer the one that everybody has."""
    house.client.config_set("requirepass", "another")
    house.client.client_kill_filter(_type="normal", skipme=True)
    try:
        yield
    finally:
        house.client.config_set("requirepass", "")


Refusal: TypeAlias = Callable[[House], Any]
REFUSALS: dict[str, Refusal] = {
    "is a replica without its primary": read_only,
    "loads its data": loading,
    "takes no more clients": too_many_clients,
    "has another password": another_password,
}


def store_refuses(why: str) -> Finding:
    """For a second and longer the store refuses everything; all is well again once it does not."""
    with House() as house:
        wait_until(house.is_well)
        with REFUSALS[why](house):
            wrong = _asked_for(REFUSES_S, house)
        began = time.monotonic()
        wait_until(house.is_well, 30, "all is well again")
        recovery_s = time.monotonic() - began
        return Finding(
            fault=f"the store {why}",
            tried=1,
            lost=tuple(trouble_at_the_end(house.store, house.job_id, house.importer)),
            acknowledged=house.store.get(ORG, house.job_id).rev,
            wrong=tuple(wrong),
            recovery_s=recovery_s,
        )


def _asked_for(seconds: float, house: House) -> list[str]:
    """What is answered otherwise than that the store is unavailable, or too late."""
    wrong, until = [], time.monotonic() + seconds
    while time.monotonic() < until:
        status, took_s = house.poll()
        if status != 503 or took_s > SOON_S:
            wrong.append(f"a poll: {status} after {took_s:.1f} s")
        began = time.monotonic()
        if not raises(StoreUnavailable, lambda: house.store.create(ORG, "transaction_batch")):
            wrong.append("a job was created")
        if time.monotonic() - began > SOON_S:
            wrong.append(f"a create: refused after {time.monotonic() - began:.1f} s")
    return wrong
