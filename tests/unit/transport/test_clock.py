"""The estimate of the store's clock: early by a round trip at most, never late, and seldom asked for."""

from types import SimpleNamespace
from typing import Any

import pytest

from batchstatus.transport import clock as clock_module
from batchstatus.transport.clock import REFRESH_S, StoreClock

STORE_AHEAD_MS = 1_763_910_245_000


class Store:
    """A store whose clock is `STORE_AHEAD_MS` ahead of the monotonic one, and both go as we say."""

    def __init__(self) -> None:
        self.now_s = 100.0
        self.out_s = self.back_s = 0.0
        self.questions = 0

    @property
    def now_ms(self) -> float:
        return self.now_s * 1000 + STORE_AHEAD_MS

    def server_of(self, key: str) -> str:
        return ""

    def clock_ms(self, key: str) -> float:
        self.questions += 1
        self.now_s += self.out_s
        answer = self.now_ms
        self.now_s += self.back_s
        return answer


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Store:
    made = Store()
    # Only the clock's own: threads of other tests may still ask for the time.
    monkeypatch.setattr(clock_module, "time", SimpleNamespace(monotonic=lambda: made.now_s))
    return made


@pytest.fixture
def clock(store: Any) -> StoreClock:
    return StoreClock(store)


def test_a_moment_has_passed_once_the_clock_reaches_it(store, clock):
    moment = int(store.now_ms)
    assert clock.passed(moment - 1)
    assert clock.passed(moment)
    assert not clock.passed(moment + 1)
    store.now_s += 0.001
    assert clock.passed(moment + 1)


def test_the_store_is_asked_only_when_the_clock_is_read(store, clock):
    assert store.questions == 0
    clock.passed(0)
    assert store.questions == 1


def test_the_store_is_asked_again_only_after_a_few_seconds(store, clock):
    clock.passed(0)
    store.now_s += REFRESH_S - 0.01
    clock.passed(0)
    assert store.questions == 1
    store.now_s += 0.01
    clock.passed(0)
    assert store.questions == 2


def test_a_jump_of_the_stores_clock_shows_at_the_next_refresh(store, clock, monkeypatch):
    moment = int(store.now_ms) + 60_000
    assert not clock.passed(moment)
    monkeypatch.setattr(Store, "now_ms", property(lambda self: self.now_s * 1000 + STORE_AHEAD_MS + 60_000))
    assert not clock.passed(moment)
    store.now_s += REFRESH_S
    assert clock.passed(moment)


@pytest.mark.parametrize(("out_s", "back_s"), [(0.3, 0.0), (0.0, 0.3), (0.2, 0.1)])
def test_a_slow_answer_makes_the_estimate_early_never_late(store, clock, out_s, back_s):
    store.out_s, store.back_s = out_s, back_s
    clock.passed(0)
    assert clock.passed(int(store.now_ms))
    assert not clock.passed(int(store.now_ms) + 301)


def test_an_error_of_the_store_is_raised(store, clock, monkeypatch):
    monkeypatch.setattr(store, "clock_ms", lambda *_: (_ for _ in ()).throw(ConnectionError("away")))
    with pytest.raises(ConnectionError):
        clock.passed(0)
