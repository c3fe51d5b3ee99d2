"""A signal handler may raise in the importer at any moment: nothing is blocked, and no row is lost or doubled."""

import queue
import threading
import traceback
from collections.abc import Callable
from dataclasses import replace

import pytest

from batchstatus import Run
from batchstatus.model import rows
from batchstatus.model.messages import Wanted
from batchstatus.worker import outbox, tally
from batchstatus.worker import run as run_module
from batchstatus.worker.outbox import Outbox
from tests.support.bytecodes import interrupted_at
from tests.support.counting import Deliverer, Importer, counting_half_of_a_run, rejected
from tests.support.imports import aside

LONG_S = 60.0
MODULES = (outbox, tally, rows, run_module, threading, queue)


@pytest.mark.parametrize("verb", ["succeeded", "failed", "skipped", "total"])
@pytest.mark.parametrize("flush_rows", [1, 2, 100])
def test_an_interrupted_call_has_counted_all_or_nothing(verb: str, flush_rows: int) -> None:
    step = 1
    while True:
        box = Outbox(flush_rows, max_waiting_rows=1_000)
        importer, deliverer = Importer(box), Deliverer(box)
        importer.do("failed", checkpoint=1)
        if not interrupted_at(step, MODULES, lambda importer=importer: importer.do(verb, 5, checkpoint=2)):  # type: ignore[misc]
            break
        importer.run.failed(rejected("next"), checkpoint=3)
        aside(deliverer.deliver_all).result(LONG_S)
        possible = [
            replace(
                state,
                failures=(*state.failures, "next"),
                checkpoint=3,
                kept=(state.succeeded, (*state.failures, "next"), state.skips),
            )
            for state in importer.passed[-2:]
        ]
        assert deliverer.arrived in possible, f"interrupted before bytecode {step}"
        assert set(box.undelivered().values()) == {0}
        step += 1
    assert step > 20


def test_a_row_left_behind_by_an_interrupted_call_is_not_undelivered() -> None:
    step, more = 0, True
    while more:
        step += 1
        box = Outbox(flush_rows=100, max_waiting_rows=100)
        run, deliverer = counting_half_of_a_run(box), Deliverer(box)
        more = interrupted_at(step, MODULES, lambda run=run: run.failed(rejected("cut short")))  # type: ignore[misc]
        aside(deliverer.deliver_all).result(LONG_S)
        assert set(box.undelivered().values()) == {0}
    assert step > 60


CALLS: dict[str, Callable[[Run], object]] = {
    "too many rows wait": lambda run: run.failed(rejected("blocked")),
    "a pause is wanted": lambda run: run.check(),
}


@pytest.mark.parametrize("because", CALLS)
def test_a_call_that_is_interrupted_while_it_waits_blocks_nobody(
    because: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outbox, "_RECHECK_S", 0.0001)
    for step in range(1, 120):
        box = Outbox(flush_rows=2, max_waiting_rows=1)
        run, deliverer = counting_half_of_a_run(box), Deliverer(box)
        run.failed(rejected("first"))
        box.obey(Wanted.PAUSE)
        assert interrupted_at(step, MODULES, lambda run=run: CALLS[because](run))  # type: ignore[misc]
        assert box.paused == 0
        aside(deliverer.deliver_all).result(LONG_S)
        aside(lambda box=box: box.obey(Wanted.RUN)).result(LONG_S)  # type: ignore[misc]
        aside(run.check).result(LONG_S)
        run.failed(rejected("next"))
        aside(deliverer.deliver_all).result(LONG_S)
        assert deliverer.arrived.failures == ("first", "next")


@pytest.mark.parametrize(
    "call", [lambda run: run.succeeded(), lambda run: run.check()], ids=["succeeded", "check"]
)
def test_an_error_that_is_raised_repeatedly_has_no_growing_traceback(
    call: Callable[[Run], object],
) -> None:
    box = Outbox(flush_rows=2, max_waiting_rows=3)
    run = counting_half_of_a_run(box)
    try:
        raise LookupError("fenced out")
    except LookupError as error:
        box.fail(error)

    def trace() -> list[str]:
        with pytest.raises(LookupError, match="fenced out") as raised:
            call(run)
        return [frame.name for frame in traceback.extract_tb(raised.value.__traceback__)]

    first = trace()
    assert "test_an_error_that_is_raised_repeatedly_has_no_growing_traceback" in first
    assert [trace() for _ in range(5)] == [first] * 5
