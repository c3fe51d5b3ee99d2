"""The rules on a machine that stands still while they look on."""

from types import SimpleNamespace
from typing import Any

import pytest

from batchstatus.conformance import rules
from batchstatus.conformance.scene import LEASE_S, Broken
from batchstatus.model.job import Status


class Standstill:
    """A clock, and a worker whose lease has run out once a lease has passed; each sleep takes an hour."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def monotonic(self) -> float:
        return self.now_s

    def sleep(self, _: float) -> None:
        self.now_s += 3_600

    def lease_is_alive(self) -> bool:
        return self.now_s < LEASE_S


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Standstill:
    clock = Standstill()
    monkeypatch.setattr(rules, "time", clock)
    return clock


def scene(clock: Standstill) -> Any:
    """Returns a scene whose worker is running, and has counted ten rows and stored `batchPaused`."""
    now = SimpleNamespace(done=10, failed=1, terminal=False, status=Status.RUNNING)
    nothing = {name: lambda *_: None for name in ("start", "until_done", "control", "set_memory", "ends")}
    looks = {"lease_is_alive": clock.lease_is_alive, "stored": lambda: {"batchPaused": "1"}, "job": lambda: now}
    return SimpleNamespace(**nothing, **looks)


@pytest.mark.parametrize("rule", ["pauses", "outlives-full-memory"])
def test_a_lease_that_ran_out_is_seen_however_late_the_rule_looks(rule: str, clock: Standstill) -> None:
    with pytest.raises(Broken, match="the lease ran out"):
        rules.RULES[rule](scene(clock))


def test_a_job_that_is_over_before_a_report_is_lost_breaks_the_rule_and_is_left_alone(clock: Standstill) -> None:
    over = scene(clock)
    over.job().terminal = True
    with pytest.raises(Broken, match="over before a report could be lost"):
        rules.RULES["tells-of-lost-reports"](over)
