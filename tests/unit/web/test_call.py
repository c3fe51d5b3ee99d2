"""A request's way to the store: bounded in all, refused while the breaker is open, counted when it fails."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import pytest
from flask import Request
from werkzeug.test import EnvironBuilder

from batchstatus import JobNotFound, JobStore, StoreUnavailable
from batchstatus.settings import StoreSettings
from batchstatus.web import call as module
from batchstatus.web import runtime
from batchstatus.web.breaker import FAILURES
from batchstatus.web.call import Call, Parts
from batchstatus.web.registration import parts_of

AWAY = StoreUnavailable("the store is away")


@pytest.fixture
def parts(fake_client: Any) -> Parts:
    return parts_of(JobStore(fake_client, StoreSettings(timeout_s=1.0)))


@pytest.fixture
def call(parts: Parts) -> Call:
    return Call(parts, Request(EnvironBuilder().get_environ()))


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now_s = 100.0

    def monotonic(self) -> float:
        return self.now_s

    def perf_counter(self) -> float:
        return self.now_s


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(module, "time", made)
    return made


@pytest.fixture
def limits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds of each time limit that is set, in their order."""
    found: list[float] = []

    def limit(seconds: float, _: Exception) -> AbstractContextManager[object]:
        found.append(round(seconds, 3))
        return nothing()

    @contextmanager
    def nothing() -> Iterator[None]:
        yield

    monkeypatch.setattr(runtime, "_in_use", runtime.Runtime(JobStore.open, limit, 1))
    return found


def errors_of(parts: Parts) -> float:
    return parts.metrics.store_errors._value.get()


def test_all_questions_of_one_request_share_the_stores_time(call: Call, clock: Clock, limits: list[float]) -> None:
    for seconds in (0.25, 0.5, 2.0):
        with call.store:
            clock.now_s += seconds
    with pytest.raises(StoreUnavailable, match="took too long"), call.store:
        pytest.fail("the store was asked")
    assert limits == [1.0, 0.75, 0.25]


def test_time_between_two_questions_is_not_the_stores(call: Call, clock: Clock, limits: list[float]) -> None:
    with call.store:
        clock.now_s += 0.25
    clock.now_s += 30
    with call.store:
        pass
    assert limits == [1.0, 0.75]


def test_a_call_that_was_held_starts_over(call: Call, clock: Clock, limits: list[float]) -> None:
    with call.store:
        clock.now_s += 0.9
    with call.asked_anew().store:
        pass
    assert limits == [1.0, 1.0]


def test_an_error_of_the_store_is_counted_and_told_to_the_breaker(call: Call, parts: Parts) -> None:
    for _ in range(FAILURES):
        with pytest.raises(StoreUnavailable), call.store:
            raise AWAY
    assert errors_of(parts) == FAILURES


def test_while_the_breaker_is_open_nothing_is_asked(call: Call, parts: Parts) -> None:
    parts.breaker.is_open = True
    with pytest.raises(StoreUnavailable), call.store:
        pytest.fail("the store was asked")
    assert errors_of(parts) == 1


def test_a_job_that_is_not_there_is_no_error_of_the_store(call: Call, parts: Parts) -> None:
    with pytest.raises(JobNotFound), call.store:
        raise JobNotFound("there is no such job")
    assert errors_of(parts) == 0


def test_a_time_limit_that_is_reached_is_an_error_of_the_store(
    call: Call, parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    @contextmanager
    def reached(_: float, error: Exception) -> Iterator[None]:
        yield
        raise error

    monkeypatch.setattr(runtime, "_in_use", runtime.Runtime(JobStore.open, reached, 1))
    with pytest.raises(StoreUnavailable, match="took too long"), call.store:
        pass
    assert errors_of(parts) == 1


@pytest.mark.parametrize(("given", "kept"), [("req-1", True), ("a b", False), ("", False), ("x" * 129, False)])
def test_a_sane_request_id_is_kept(parts: Parts, given: str, kept: bool) -> None:
    call = Call(parts, Request(EnvironBuilder(headers={"X-Request-Id": given}).get_environ()))
    assert (call.id == given) is kept
    assert call.id
