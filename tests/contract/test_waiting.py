"""Waiting reads (contract §7): held until the status or a control flag differs, or the time is up."""

import http.client
import os
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from urllib.parse import urlsplit

import pytest

from batchstatus import JobStore, connect
from batchstatus.embedded import EmbeddedServer
from tests.support.sdk import UNHURRIED
from tests.support.service import LiveService
from tests.support.waiting import wait_until

ORG = "org_acme"
SOON_S = 20.0
"""Less than the 30 s that a request would be held, and more than a busy machine needs."""


class Poller:
    """Polls one job of the real service over one connection."""

    def __init__(self, service: LiveService, api_key: str, job_id: str) -> None:
        self._connection = http.client.HTTPConnection(urlsplit(service.url).netloc, timeout=60)
        self._path = f"/batch-import/jobs/{job_id}"
        self._key = api_key
        self.seconds = 0.0

    def poll(self, tag: str = "", prefer: str = "") -> http.client.HTTPResponse:
        headers = {"Authorization": f"Bearer {self._key}", "If-None-Match": tag, "Prefer": prefer}
        started = time.monotonic()
        self._connection.request(
            "GET", self._path, headers={name: value for name, value in headers.items() if value}
        )
        answer = self._connection.getresponse()
        answer.read()
        self.seconds = time.monotonic() - started
        return answer

    def close(self) -> None:
        self._connection.close()


@pytest.fixture
def job_id(real_store: JobStore) -> str:
    return real_store.create(ORG, "transaction_batch", total_items=100).job_id


@pytest.fixture
def poller(live: LiveService, real_store: JobStore, job_id: str) -> Iterator[Poller]:
    key, _ = real_store.api_keys.create(ORG, ["events:create"])
    poller = Poller(live, key, job_id)
    yield poller
    poller.close()


def test_a_wait_without_a_change_ends_with_304_when_the_time_is_up(poller: Poller) -> None:
    tag = poller.poll().headers["ETag"]
    answer = poller.poll(tag, "wait=1")
    assert (answer.status, answer.headers["Preference-Applied"]) == (304, "wait=1")
    assert 1.0 <= poller.seconds < SOON_S


@contextmanager
def held(poller: Poller, live: LiveService, prefer: str) -> Iterator[Future[http.client.HTTPResponse]]:
    """The answer to come to a poll that waits, and that is held from now on."""
    tag = poller.poll().headers["ETag"]
    with ThreadPoolExecutor(1) as thread:
        answer = thread.submit(poller.poll, tag, prefer)
        wait_until(lambda: live.metric("batchstatus_held_requests") == 1)
        yield answer


def test_a_new_status_ends_the_wait(poller: Poller, live: LiveService, real_store: JobStore, job_id: str) -> None:
    with held(poller, live, "wait=30") as answer:
        real_store.control(ORG, job_id, "cancel")
        changed_at = time.monotonic()
        assert (answer.result().status, answer.result().headers["Preference-Applied"]) == (200, "wait=30")
        assert time.monotonic() - changed_at < SOON_S


def test_a_control_flag_ends_the_wait(
    poller: Poller, live: LiveService, real_store: JobStore, job_id: str
) -> None:
    with real_store.run(ORG, job_id), held(poller, live, "wait=30") as answer:
        real_store.control(ORG, job_id, "pause")
        changed_at = time.monotonic()
        assert answer.result().status == 200
        assert time.monotonic() - changed_at < SOON_S


def test_counters_do_not_end_the_wait_but_are_delivered_at_its_end(
    poller: Poller, real_store: JobStore, job_id: str
) -> None:
    with real_store.run(ORG, job_id, flush_s=0.05) as run:
        tag = poller.poll().headers["ETag"]
        run.succeeded()
        answer = poller.poll(tag, "wait=1")
        assert (answer.status, answer.headers["Preference-Applied"]) == (200, "wait=1")
        assert poller.seconds >= 1.0


def test_a_wait_is_limited_to_30_s(poller: Poller, real_store: JobStore, job_id: str) -> None:
    known = poller.poll().headers["ETag"]
    real_store.control(ORG, job_id, "pause")
    answer = poller.poll(known, "wait=1000000000000")
    assert (answer.status, answer.headers["Preference-Applied"]) == (200, "wait=30")


@pytest.mark.parametrize(
    ("tag", "prefer"),
    [
        (False, "wait=30"),  # no entity tag, so no state to compare with
        (True, ""),
        (True, "wait=0"),
        (True, "wait=-1"),
        (True, "wait=soon"),
        (True, "wait=١٢"),
        (True, "respond-async"),
        (True, "wait=" + "9" * 5_000),
        (True, "x" * 5_000),
    ],
)
def test_an_invalid_or_incomplete_wait_is_answered_at_once(poller: Poller, tag: bool, prefer: str) -> None:
    known = poller.poll().headers["ETag"] if tag else ""
    answer = poller.poll(known, prefer.encode().decode("latin-1"))
    assert answer.status == (304 if tag else 200)
    assert "Preference-Applied" not in answer.headers
    assert poller.seconds < SOON_S


def test_a_terminal_job_is_answered_at_once(poller: Poller, real_store: JobStore, job_id: str) -> None:
    real_store.control(ORG, job_id, "cancel")
    answer = poller.poll(poller.poll().headers["ETag"], "wait=30")
    assert answer.status == 304
    assert poller.seconds < SOON_S


def test_a_key_revoked_during_the_wait_is_401(live: LiveService, real_store: JobStore) -> None:
    key, record = real_store.api_keys.create(ORG, ["events:create"])
    poller = Poller(live, key, real_store.create(ORG, "transaction_batch").job_id)
    with held(poller, live, "wait=6") as answer:
        real_store.api_keys.revoke(record.id)
        assert answer.result().status == 401
    poller.close()


@pytest.mark.slow
def test_held_requests_end_when_the_service_stops_or_the_store_is_away() -> None:
    with EmbeddedServer() as server, LiveService(server.url, store_timeout_s=5.0) as service:
        store = connect(server.url, **UNHURRIED)
        key, _ = store.api_keys.create(ORG, ["events:create"])
        pollers = [Poller(service, key, store.create(ORG, "transaction_batch").job_id) for _ in range(20)]
        tags = [poller.poll().headers["ETag"] for poller in pollers]

        # When the store goes away, 20 held requests are answered with 503
        statuses = _hold_all(pollers, tags, service, server.pause)
        assert set(statuses) == {503}
        server.resume()
        # Each is with one of the processes, and each process has to see that the store is back.
        for poller in pollers:
            wait_until(lambda poller=poller: poller.poll().status == 200)

        # And when the service is told to stop, held requests are answered first
        statuses = _hold_all(pollers, tags, service, lambda: os.kill(service.pid, signal.SIGTERM))
        assert set(statuses) == {304}
        for poller in pollers:
            assert poller.seconds < SOON_S
            poller.close()
        store.close()


def _hold_all(pollers: list[Poller], tags: list[str], service: LiveService, disturb) -> list[int]:
    statuses: list[int] = []

    def hold(poller: Poller, tag: str) -> None:
        statuses.append(poller.poll(tag, "wait=30").status)

    threads = [threading.Thread(target=hold, args=pair) for pair in zip(pollers, tags, strict=True)]
    for thread in threads:
        thread.start()
    wait_until(lambda: service.metric("batchstatus_held_requests") == len(pollers))
    disturb()
    for thread in threads:
        thread.join()
    return statuses
