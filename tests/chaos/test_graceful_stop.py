"""SIGTERM under load: every accepted request is answered."""

import http.client
import itertools
import json
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from urllib.parse import urlsplit

import pytest

from batchstatus import JobStore, connect
from batchstatus.embedded import EmbeddedServer
from tests.support.callers import poll
from tests.support.rawhttp import RawConnection, download, exchange, request
from tests.support.sdk import UNHURRIED, rejected
from tests.support.service import LiveService
from tests.support.waiting import wait_until

ORG, KIND = "org_acme", "transaction_batch"
CALLERS, EACH = 16, 10
HELD, AT_ONCE_S = 40, 15.0
"""Held requests are answered within a tick of 0.15 s; the rest is a margin for a busy machine."""
ROWS = 20_000

Ask = Callable[[http.client.HTTPConnection], int]


class Callers:
    """Threads that send requests without a pause, each over its own connection until that is closed."""

    def __init__(self, service: LiveService, ask: Ask, callers: int) -> None:
        self._address = urlsplit(service.url).netloc
        self._ask = ask
        self._threads = [threading.Thread(target=self._call, args=(number,)) for number in range(callers)]
        self._answers = [0] * callers
        self.statuses: set[int] = set()
        self.lost: list[BaseException] = []

    def start(self) -> None:
        """Start the threads, and wait until each has been answered several times."""
        for thread in self._threads:
            thread.start()
        wait_until(lambda: min(self._answers) > EACH)

    def join(self) -> None:
        """Wait until all connections are closed."""
        for thread in self._threads:
            thread.join(30)

    def _call(self, number: int) -> None:
        with closing(http.client.HTTPConnection(self._address, timeout=30)) as connection:
            connection.connect()
            try:
                # http.client would open a new connection after `Connection: close`, which may be refused.
                while connection.sock is not None:
                    self.statuses.add(self._ask(connection))
                    self._answers[number] += 1
            except (OSError, http.client.HTTPException) as error:
                self.lost.append(error)


@pytest.fixture
def server() -> Iterator[EmbeddedServer]:
    with EmbeddedServer() as server:
        yield server


@pytest.fixture
def service(server: EmbeddedServer) -> Iterator[LiveService]:
    """A service of this test's own, which the test stops."""
    with LiveService(server.url) as service:
        yield service


@pytest.fixture
def store(server: EmbeddedServer) -> Iterator[JobStore]:
    with closing(connect(server.url, **UNHURRIED)) as store:
        yield store


@pytest.fixture
def key(store: JobStore) -> str:
    return store.api_keys.create(ORG, ["transactions:create"])[0]


@pytest.mark.slow
def test_sigterm_under_load_loses_no_request_on_an_open_connection(
    service: LiveService, store: JobStore, key: str
) -> None:
    # Given callers that poll, and others that control a job
    path = f"/batch-import/jobs/{store.create(ORG, KIND).job_id}"
    pollers = Callers(service, lambda connection: poll(connection, path, key).status, CALLERS)
    controllers = Callers(service, controlling(f"{path}/control", key), 2)
    for each in (pollers, controllers):
        each.start()
    # When the service is told to stop
    os.kill(service.pid, signal.SIGTERM)
    for each in (pollers, controllers):
        each.join()
    # Then every request is answered, the last one with `Connection: close`
    assert (pollers.lost, controllers.lost) == ([], [])
    assert pollers.statuses == controllers.statuses == {200}


@pytest.mark.slow
def test_sigterm_answers_held_requests_at_once_and_completes_downloads(
    service: LiveService, store: JobStore, key: str
) -> None:
    # Given held requests, a slow download of a long list, and callers that poll
    job_id = store.create(ORG, KIND).job_id
    path = f"/batch-import/jobs/{job_id}"
    with ExitStack() as opened:
        held = [opened.enter_context(each) for each in hold(service, path, key)]
        csv = request("GET", failed_rows(store), key=key)
        downloading = opened.enter_context(download(service.port, csv, receive_buffer=4_096))
        pollers = Callers(service, lambda connection: poll(connection, path, key).status, CALLERS)
        pollers.start()
        # When the service is told to stop
        os.kill(service.pid, signal.SIGTERM)
        told_at = time.monotonic()
        # Then the held requests are answered at once with 304
        answers = [each.receive() for each in held]
        assert {(each.status, each.headers["connection"]) for each in answers} == {(304, "close")}
        assert time.monotonic() - told_at < AT_ONCE_S
        # And the download is complete, and the polls are answered
        assert downloading.read().count(b"\n") == 1 + ROWS
        pollers.join()
        assert (pollers.lost, pollers.statuses) == ([], {200})


def controlling(path: str, key: str) -> Ask:
    """Returns a function that requests pause and resume alternately, and returns the answer's status."""
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    actions = itertools.cycle(("pause", "resume"))

    def ask(connection: http.client.HTTPConnection) -> int:
        body = json.dumps({"kind": KIND, "action": next(actions)})
        connection.request("POST", path, body, headers)
        with connection.getresponse() as answer:
            answer.read()
            return answer.status

    return ask


def hold(service: LiveService, path: str, key: str) -> list[RawConnection]:
    """Send many waiting reads. Returns their connections once all are held."""
    tag = exchange(service.port, request("GET", path, key=key)).headers["etag"]
    waiting = [RawConnection(service.port) for _ in range(HELD)]
    for each in waiting:
        each.send(request("GET", path, "Prefer: wait=30", f"If-None-Match: {tag}", key=key))
    wait_until(lambda: service.metric("batchstatus_held_requests") == HELD)
    return waiting


def failed_rows(store: JobStore) -> str:
    """Create a job with many failed rows. Returns the path of its CSV, which exceeds all buffers on the way."""
    job_id = store.create(ORG, KIND).job_id
    with store.run(ORG, job_id) as run:
        for number in range(ROWS):
            run.failed(rejected(number))
    return f"/batch-import/transaction-jobs/{job_id}/failures.csv"
