"""The rules on a machine that stands still while they look on."""

import signal
from types import SimpleNamespace
from typing import Any

import pytest

from batchstatus.conformance import rules
from batchstatus.conformance.scene import LEASE_S, LINES, Broken
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
    nothing = {name: lambda *_: None for name in ("until_done", "control", "set_memory", "ends")}
    stored = {"batchPaused": "1", "failed": "1"}
    looks = {"lease_is_alive": clock.lease_is_alive, "stored": lambda: stored, "job": lambda: now}
    worker = SimpleNamespace(send_signal=lambda _: None, poll=lambda: 0)
    return SimpleNamespace(**nothing, **looks, start=lambda **_: worker, lines=LINES)


class Reporting:
    """A worker that had reported thirty rows at the first look, and reports another at each."""

    keys = SimpleNamespace(job="job", failures="failures")
    lines = LINES

    def __init__(self) -> None:
        self.seq, self.signals, self.lost = 30, [], 0
        self.store = SimpleNamespace(connection=self)

    def start(self, row_ms: int) -> "Reporting":
        return self

    def send_signal(self, number: int) -> None:
        self.signals.append(number)

    def poll(self) -> int:
        return 0

    def until_done(self, rows: int) -> None:
        assert rows < self.seq

    def job(self) -> Any:
        return SimpleNamespace(done=self.seq, terminal=False, status=Status.FAILED)

    def stored(self) -> dict[str, str]:
        self.seq += not self.signals
        return {"seq": str(self.seq), "failed": "4", "heartbeatAt": "1", "leaseExpiresAt": "2"}

    def write_together(self, hset: tuple[Any, ...], _: Any) -> None:
        assert self.signals == [signal.SIGSTOP]
        self.lost = self.seq - int(dict(zip(hset[2::2], hset[3::2], strict=True))["seq"])


@pytest.mark.parametrize("rule", ["pauses", "outlives-full-memory"])
def test_a_lease_that_ran_out_is_seen_however_late_the_rule_looks(rule: str, clock: Standstill) -> None:
    with pytest.raises(Broken, match="the lease ran out"):
        rules.RULES[rule](scene(clock))


@pytest.mark.parametrize("late", [{"terminal": True}, {"done": len(LINES)}], ids=["over", "all counted"])
@pytest.mark.parametrize(
    "rule", ["is-killed", "is-taken-over", "is-fenced-out", "wakes-in-time", "tells-of-lost-reports"]
)
def test_a_worker_that_is_put_to_the_test_too_late_does_not_pass(
    rule: str, late: dict[str, Any], clock: Standstill
) -> None:
    counted = scene(clock)
    vars(counted.job()).update(late)
    with pytest.raises(Broken, match="all rows were counted before"):
        rules.RULES[rule](counted)


def test_reports_are_lost_however_late_the_rule_looks_and_before_the_worker_goes_on(clock: Standstill) -> None:
    worker: Any = Reporting()
    rules.RULES["tells-of-lost-reports"](worker)
    assert worker.lost == 2
    assert worker.signals == [signal.SIGSTOP, signal.SIGCONT]
