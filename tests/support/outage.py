"""A store and a service that a test may break (stop, freeze, kill), and that are mended for the next test."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import redis

from batchstatus import StoreUnavailable
from batchstatus.embedded import EmbeddedServer
from batchstatus.settings import StoreSettings
from batchstatus.store import JobStore
from tests.support.nodes import KEEPS_DATA
from tests.support.rawhttp import Answer, RawConnection, exchange, request
from tests.support.sdk import UNHURRIED, plain_client
from tests.support.service import LiveService
from tests.support.waiting import wait_until
from tests.support.wire import ORG, put_job


@dataclass(frozen=True)
class Stage:
    """A real store, a service that uses it, and a key that may read ORG's jobs."""

    server: EmbeddedServer
    service: LiveService
    client: "redis.Redis"
    key: str

    def request(self, path: str, method: str = "GET", version: str = "1.1") -> bytes:
        """Returns the bytes of a request with the key."""
        return request(method, path, key=self.key, version=version)

    def get(self, path: str) -> Answer:
        """Send a GET with the key, on a new connection. Returns the answer."""
        return exchange(self.service.port, self.request(path))


@contextmanager
def own_stage(*server_options: str) -> Iterator[Stage]:
    """Yield a stage whose store keeps its data when killed."""
    with (
        EmbeddedServer(*KEEPS_DATA, *server_options) as server,
        LiveService(server.url, store_timeout_s=1.0) as service,
    ):
        store = JobStore.open(server.url, StoreSettings(**UNHURRIED))
        key, _ = store.api_keys.create(ORG, ["transactions:create"])
        store.close()
        with plain_client(server.url) as client:
            yield Stage(server, service, client, key)


def mend(stage: Stage) -> None:
    """Repair the store, and wait until every process of the service has noticed."""
    with suppress(StoreUnavailable):
        stage.server.resume()
    stage.server.start()
    put_job(stage.client, "job_1", status="running", leaseExpiresAt=4_102_444_800_000, failures=["a row"])
    for _ in range(10):
        wait_until(lambda: is_whole(stage), 30, "the service is whole again")


def is_whole(stage: Stage) -> bool:
    """Returns True if a poll is answered with the job."""
    with suppress(OSError):
        return stage.get("/batch-import/jobs/job_1").status == 200
    return False


@dataclass(frozen=True)
class Timed:
    """An answer, and how long the caller waited for its first byte."""

    answer: Answer
    took_s: float


def at_once(stage: Stage, sent: list[bytes]) -> list[Timed]:
    """Send all requests at the same moment, each on an open connection of its own. Returns the answers."""
    start, answers = threading.Barrier(len(sent)), []

    def ask(connection: RawConnection, each: bytes) -> None:
        with connection:
            start.wait(30)
            asked_at = time.perf_counter()
            connection.send(each)
            assert not connection.says_nothing_for(30)
            took_s = time.perf_counter() - asked_at
            answers.append(Timed(connection.receive(), took_s))

    threads = [threading.Thread(target=ask, args=(RawConnection(stage.service.port), each)) for each in sent]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return answers
