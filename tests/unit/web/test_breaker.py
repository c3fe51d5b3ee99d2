"""The breaker: when it opens, that it closes by itself, and that no request waits for another."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import pytest
from flask.testing import FlaskClient

from batchstatus import Job, JobStore, StoreUnavailable
from batchstatus.web import breaker as module
from batchstatus.web import create_app
from batchstatus.web.breaker import FAILURES, Breaker
from tests.support.waiting import wait_until

ORG = "org_acme"
AWAY = StoreUnavailable("the store is away")


def probes() -> list[threading.Thread]:
    return [each for each in threading.enumerate() if each.name == "batchstatus probe"]


class Pinged:
    """Of a store, what the breaker asks: a ping, which raises `trouble`, if any."""

    def __init__(self) -> None:
        self.trouble: Exception | None = AWAY
        self.many_servers = False
        self.connection = SimpleNamespace(has_many_servers=lambda: self.many_servers)
        self.pings = 0
        self.goes_on = threading.Event()
        self.goes_on.set()

    def ping(self) -> None:
        self.goes_on.wait(60)
        self.pings += 1
        if self.trouble:
            raise self.trouble


@pytest.fixture(autouse=True)
def _eager(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PROBE_EVERY_S", 0.01)


@pytest.fixture
def pinged() -> Iterator[Pinged]:
    store = Pinged()
    yield store
    store.trouble = None
    wait_until(lambda: not probes())


@pytest.fixture
def changes() -> list[bool]:
    return []


@pytest.fixture
def breaker(pinged: Pinged, changes: list[bool]) -> Breaker:
    return Breaker(pinged, changes.append)  # type: ignore[arg-type]


def fail(breaker: Breaker, times: int) -> None:
    for _ in range(times):
        breaker.failed(AWAY)


# When it opens, and when it closes


def test_it_opens_with_the_fifth_failure_in_a_row(breaker: Breaker) -> None:
    assert FAILURES == 5
    fail(breaker, 4)
    breaker.check()
    assert not breaker.is_open
    fail(breaker, 1)
    assert breaker.is_open
    with pytest.raises(StoreUnavailable):
        breaker.check()


def test_a_success_in_between_begins_the_count_anew(breaker: Breaker) -> None:
    for _ in range(3):
        fail(breaker, 4)
        breaker.succeeded()
    assert not breaker.is_open
    fail(breaker, 5)
    assert breaker.is_open


def test_it_closes_with_the_first_ping_that_works_and_only_then(breaker: Breaker, pinged: Pinged) -> None:
    fail(breaker, 5)
    wait_until(lambda: pinged.pings > 5)
    assert breaker.is_open
    pinged.trouble = None
    wait_until(lambda: not breaker.is_open)
    breaker.check()
    wait_until(lambda: not probes())
    fail(breaker, 4)
    assert not breaker.is_open
    pinged.trouble = AWAY
    fail(breaker, 1)
    assert breaker.is_open


def test_a_late_success_does_not_close_it(breaker: Breaker) -> None:
    fail(breaker, 5)
    breaker.succeeded()
    assert breaker.is_open


def test_each_change_is_told_once(breaker: Breaker, pinged: Pinged, changes: list[bool]) -> None:
    fail(breaker, 10)
    assert changes == [True]
    pinged.trouble = None
    wait_until(lambda: not breaker.is_open)
    assert changes == [True, False]


def test_many_that_fail_at_once_start_one_probe(breaker: Breaker, changes: list[bool]) -> None:
    together = threading.Barrier(16)

    def fails() -> None:
        together.wait()
        breaker.failed(AWAY)

    with ThreadPoolExecutor(16) as threads:
        for future in [threads.submit(fails) for _ in range(16)]:
            future.result(60)
    assert changes == [True]
    assert len(probes()) == 1


def test_no_error_of_a_ping_leaves_it_open_for_ever(breaker: Breaker, pinged: Pinged) -> None:
    pinged.trouble = ZeroDivisionError("nobody thought of this")
    fail(breaker, 5)
    wait_until(lambda: pinged.pings > 5)
    pinged.trouble = None
    wait_until(lambda: not breaker.is_open)


def test_of_a_store_with_many_servers_a_ping_decides(
    breaker: Breaker, pinged: Pinged, changes: list[bool]
) -> None:
    pinged.many_servers, pinged.trouble = True, None
    fail(breaker, 5)
    wait_until(lambda: not probes())
    breaker.check()
    assert (pinged.pings, changes) == (1, [])
    pinged.trouble = AWAY
    fail(breaker, 5)
    wait_until(lambda: breaker.is_open)
    assert changes == [True]


def test_whoever_is_answered_while_a_ping_decides_has_an_answer(breaker: Breaker, pinged: Pinged) -> None:
    pinged.many_servers, pinged.trouble = True, None
    pinged.goes_on.clear()
    fail(breaker, 5)
    breaker.succeeded()
    breaker.check()
    pinged.goes_on.set()


def test_without_a_thread_for_the_probe_it_stays_closed(breaker: Breaker, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refused)
        fail(breaker, 5)
        assert not breaker.is_open
    fail(breaker, 1)
    assert breaker.is_open


# In the service


class Service:
    """The service over a store whose answers to polls can be slow or missing."""

    def __init__(self, store: JobStore, monkeypatch: pytest.MonkeyPatch) -> None:
        self.store, self.job = store, store.create(ORG, "transaction_batch")
        self.asked, self.away = 0, False
        self.delay: Callable[[], Any] = lambda: None
        key, _ = store.api_keys.create(ORG, ["transactions:create"])
        self.headers = {"Authorization": f"Bearer {key}"}
        self.app = create_app(store)
        self._get, self._ping = store.get, store.ping
        monkeypatch.setattr(store, "get", self.get)
        monkeypatch.setattr(store, "ping", self.ping)

    def get(self, org: str, job_id: str) -> Job:
        self.asked += 1
        self.delay()
        self.fail_if_away()
        return self._get(org, job_id)

    def ping(self) -> None:
        self.fail_if_away()
        self._ping()

    def fail_if_away(self) -> None:
        if self.away:
            raise StoreUnavailable("the store is away")

    def client(self) -> FlaskClient:
        return self.app.test_client()

    def poll(self, path: str | None = None) -> int:
        path = path or f"/batch-import/jobs/{self.job.job_id}"
        return self.client().get(path, headers=self.headers).status_code


@pytest.fixture
def service(store: JobStore, monkeypatch: pytest.MonkeyPatch) -> Iterator[Service]:
    found = Service(store, monkeypatch)
    yield found
    found.away = False
    wait_until(lambda: not probes())


def test_after_five_failures_the_store_is_left_alone_until_it_is_back(service: Service) -> None:
    assert service.poll() == 200
    service.away = True
    assert [service.poll() for _ in range(FAILURES)] == [503] * FAILURES
    asked = service.asked
    answer = service.client().get(f"/batch-import/jobs/{service.job.job_id}", headers=service.headers)
    assert (answer.status_code, answer.json["error"]["code"]) == (503, "STORE_UNAVAILABLE")
    assert int(answer.headers["Retry-After"]) >= 1
    assert [service.poll(path) for path in ("/readyz", "/livez", "/metrics")] == [503, 200, 200]
    assert service.asked == asked
    service.away = False
    wait_until(lambda: service.poll() == 200)


@pytest.mark.parametrize(("between", "opens"), [(None, False), ("/livez", True), ("/metrics", True)])
def test_only_an_answer_of_the_store_begins_the_count_anew(
    service: Service, between: str | None, opens: bool
) -> None:
    for _ in range(FAILURES):
        service.away = True
        assert service.poll() == 503
        service.away = between is not None
        assert service.poll(between) == 200
    service.away = True
    asked = service.asked
    assert service.poll() == 503
    assert service.asked == asked + (not opens)


def test_requests_do_not_wait_for_each_other(service: Service) -> None:
    together = threading.Barrier(4)
    service.delay = lambda: together.wait(60)  # each goes on once all have come
    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(lambda _: service.poll(), range(4))) == [200] * 4


def test_nor_does_one_that_fails_wait_for_one_that_hangs(service: Service) -> None:
    hangs, goes_on = threading.Event(), threading.Event()

    def delay() -> None:
        if not hangs.is_set():
            hangs.set()
            goes_on.wait(60)

    service.delay = delay
    with ThreadPoolExecutor(1) as threads:
        hanging = threads.submit(service.poll)
        assert hangs.wait(60)
        service.away = True
        assert [service.poll() for _ in range(FAILURES + 1)] == [503] * (FAILURES + 1)
        assert not hanging.done()
        service.away = False
        goes_on.set()
        assert hanging.result(60) == 200
