"""A store that hangs: the first polls wait for it up to the time limit, the others are refused at once."""

import http.client
import json
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from urllib.parse import urlsplit

import pytest

from batchstatus import connect
from batchstatus.embedded import EmbeddedServer
from tests.support.callers import Answer, poll, poll_at_once
from tests.support.rawhttp import RawConnection, request
from tests.support.sdk import UNHURRIED, plain_client
from tests.support.service import LiveService
from tests.support.waiting import wait_until

ORG = "org_acme"
AWAY_S = 5.0
"""After so long a store that hangs is away, and one on a busy machine is not yet."""
P99_S = 0.3
"""Longer than what needs no store takes at the same time: so long 99 of 100 callers wait at most."""
CALLERS, POLLS = 40, 25
TRIES = 5
"""How often the two are compared: one of them may have met a moment in which the machine was busy."""


def p99(seconds: list[float]) -> float:
    """Returns the 99th percentile."""
    return sorted(seconds)[len(seconds) * 99 // 100]


def assert_hardly_slower(measure: Callable[[], tuple[list[float], list[float]]]) -> None:
    """Assert that the first times of `measure` are at most P99_S slower in one of TRIES."""
    seen: list[tuple[float, float]] = []
    while not seen or seen[-1][0] >= P99_S + seen[-1][1]:
        assert len(seen) < TRIES, f"the 99th percentiles: {seen}"
        refused, beside = measure()
        seen.append((p99(refused), p99(beside)))


def poll_together(service: LiveService, path: str, key: str) -> Iterator[tuple[int, float]]:
    """Poll repeatedly over many connections at once. Yields each answer's status and time.

    All of this happens in one thread, so that no caller waits for the test to schedule another.
    """
    with ExitStack() as opened:
        connections = [opened.enter_context(RawConnection(service.port)) for _ in range(CALLERS)]
        for _ in range(POLLS):
            asked_at = []
            for each in connections:
                asked_at.append(time.perf_counter())
                each.send(request("GET", path, key=key))
            for began, each in zip(asked_at, connections, strict=True):
                yield each.receive().status, time.perf_counter() - began


@pytest.mark.slow
def test_an_open_breaker_refuses_polls_at_once_until_the_store_is_back() -> None:
    with (
        EmbeddedServer() as server,
        LiveService(server.url, store_timeout_s=AWAY_S, BATCHSTATUS_WORKERS="1") as service,
    ):
        # Given a job that is polled, in a store that then hangs
        store = connect(server.url, **UNHURRIED)
        key, _ = store.api_keys.create(ORG, ["transactions:create"])
        path = f"/batch-import/jobs/{store.create(ORG, 'transaction_batch').job_id}"
        assert {answer.status for answer in poll_at_once(service.url, path, key, 4)} == {200}
        server.pause()

        # When the first callers have waited for the store in vain
        first = poll_at_once(service.url, path, key, 10)
        assert {answer.status for answer in first} == {503}
        wait_until(lambda: service.metric("batchstatus_breaker_open") == 1)

        # Then everyone else is refused at once
        connection = http.client.HTTPConnection(urlsplit(service.url).netloc, timeout=30)
        later: list[Answer] = []

        def refused_and_others() -> tuple[list[float], list[float]]:
            beside = []
            for _ in range(300):
                beside.append(poll(connection, "/nothing", key).seconds)
                later.append(poll(connection, path, key))
            return [answer.seconds for answer in later[-300:]], beside

        assert_hardly_slower(refused_and_others)
        assert {answer.status for answer in later} == {503}
        assert json.loads(later[0].body)["error"]["code"] == "STORE_UNAVAILABLE"
        assert not service.answers("/readyz")
        assert service.answers("/livez")

        # And when the store is back, the service recovers
        server.resume()
        wait_until(lambda: poll(connection, path, key).status == 200)
        assert service.metric("batchstatus_breaker_open") == 0
        connection.close()
        store.close()


@pytest.mark.slow
def test_polls_neither_wait_nor_queue_up_while_the_breaker_is_open() -> None:
    with (
        EmbeddedServer() as server,
        LiveService(server.url, store_timeout_s=AWAY_S) as service,
        closing(connect(server.url, **UNHURRIED)) as store,
    ):
        # Given a service of two processes whose breakers are both open, because the store hangs
        key, _ = store.api_keys.create(ORG, ["transactions:create"])
        path = f"/batch-import/jobs/{store.create(ORG, 'transaction_batch').job_id}"
        assert {answer.status for answer in poll_at_once(service.url, path, key, CALLERS)} == {200}
        server.pause()
        first: list[Answer] = []
        while service.metric("batchstatus_breaker_open") < 2:
            first += poll_at_once(service.url, path, key, CALLERS)
        assert {answer.status for answer in first} == {503}

        # When many callers poll repeatedly
        later: list[tuple[int, float]] = []

        def refused_and_others() -> tuple[list[float], list[float]]:
            beside = [took_s for _, took_s in poll_together(service, "/nothing", key)]
            polled = list(poll_together(service, path, key))
            later.extend(polled)
            return [took_s for _, took_s in polled], beside

        # Then each is refused at once, and no command of theirs reaches the store when it is back
        assert_hardly_slower(refused_and_others)
        assert {status for status, _ in later} == {503}
        server.resume()
        wait_until(lambda: service.metric("batchstatus_breaker_open") == 0)
        assert {answer.status for answer in poll_at_once(service.url, path, key, CALLERS)} == {200}
        with plain_client(server.url) as client:
            asked = client.info("commandstats")["cmdstat_hgetall"]["calls"]
        # Each poll before and after looked up the key and the job.
        assert asked <= 2 * (CALLERS + len(first) + CALLERS) < len(later)
