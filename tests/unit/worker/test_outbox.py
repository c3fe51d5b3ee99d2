"""The outbox's batches: each batch and its checkpoint are of one moment of the importer."""

import gc
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from functools import partial
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from batchstatus.worker import outbox as outbox_module
from batchstatus.worker import run as worker_module
from batchstatus.worker.outbox import Outbox
from tests.support.bytecodes import at_bytecode
from tests.support.counting import Deliverer, Importer, counting_half_of_a_run, rejected

CHECKPOINTS = st.none() | st.integers(0, 5) | st.builds(lambda n: {"line": n}, st.integers(0, 3))
STEPS = st.lists(
    st.tuples(st.just("succeeded"), st.integers(0, 3), CHECKPOINTS)
    | st.tuples(st.sampled_from(["failed", "skipped"]), st.just(1), CHECKPOINTS)
    | st.tuples(st.just("total"), st.integers(0, 9), st.none())
    | st.just(("deliver", 0, None)),
    max_size=60,
)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(steps=STEPS, flush_rows=st.integers(1, 5))
def test_the_delivered_batches_always_add_up_to_a_state_of_the_importer(steps: list[Any], flush_rows: int) -> None:
    outbox = Outbox(flush_rows, max_waiting_rows=1_000)
    importer, deliverer = Importer(outbox), Deliverer(outbox)
    seen = 0
    for verb, value, checkpoint in steps:
        if verb != "deliver":
            importer.do(verb, value, checkpoint)
            continue
        deliverer.deliver()
        assert deliverer.arrived in importer.passed[seen:]
        seen = importer.passed.index(deliverer.arrived, seen)
    deliverer.deliver_all()
    assert deliverer.arrived == importer.passed[-1]
    assert all(len(batch.failures) + len(batch.skips) <= flush_rows for batch in deliverer.batches)
    assert set(outbox.undelivered().values()) == {0}


@pytest.mark.parametrize("verb", ["succeeded", "failed", "skipped", "total"])
@pytest.mark.parametrize("flush_rows", [1, 2, 100])
def test_a_batch_taken_in_the_middle_of_a_call_is_consistent(verb: str, flush_rows: int) -> None:
    step, more = 0, True
    with ThreadPoolExecutor(1) as reporter:
        while more:
            step += 1
            outbox = Outbox(flush_rows, max_waiting_rows=1_000)
            importer, deliverer = Importer(outbox), Deliverer(outbox)
            importer.do("failed", checkpoint=1)
            taken: list[Future[Any]] = []

            def take(deliverer: Deliverer = deliverer, taken: list[Future[Any]] = taken) -> None:
                taken.append(reporter.submit(deliverer.deliver))
                wait(taken, timeout=0.002)  # where it has to wait for a lock, it goes on later

            counting = partial(importer.do, verb, 5, checkpoint=2)
            more = at_bytecode(step, (outbox_module, worker_module), counting, take)
            wait(taken)
            assert deliverer.arrived in importer.passed
            importer.do("succeeded", 1, checkpoint=3)
            deliverer.deliver_all()
            assert deliverer.arrived == importer.passed[-1], f"taken before bytecode {step}"
    assert step > 20


@pytest.mark.parametrize("rows", [1, 5])
def test_rows_added_while_a_batch_is_taken_make_no_batch_too_large(rows: int) -> None:
    step, more = 0, True
    while more:
        step += 1
        outbox = Outbox(flush_rows=3, max_waiting_rows=1_000)
        importer, deliverer = Importer(outbox), Deliverer(outbox)
        for number in range(2):
            importer.do("failed", checkpoint=number)

        def add(importer: Importer = importer) -> None:
            for number in range(rows):
                importer.do("failed", checkpoint=2 + number)

        more = at_bytecode(step, (outbox_module,), deliverer.deliver, add)
        assert deliverer.arrived in importer.passed
        deliverer.deliver_all()
        assert deliverer.arrived == importer.passed[-1], f"added before bytecode {step}"
        assert all(len(batch.failures) <= 3 for batch in deliverer.batches), f"added before bytecode {step}"
    assert step > 50


@pytest.fixture
def impatient_threads() -> Iterator[None]:
    """Threads give way to each other as often as the interpreter can make them."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


@pytest.mark.usefixtures("impatient_threads")
def test_threads_that_count_while_another_takes_lose_and_double_no_row() -> None:
    threads, rounds = 6, 150
    outbox = Outbox(flush_rows=7, max_waiting_rows=50)
    run, deliverer = counting_half_of_a_run(outbox), Deliverer(outbox)

    def count(thread: int) -> None:
        for number in range(rounds):
            run.succeeded()
            run.succeeded(3)
            run.failed(rejected(f"f {thread} {number}"))
            run.skipped(rejected(f"s {thread} {number}"))

    with ThreadPoolExecutor(threads) as pool:
        counting = [pool.submit(count, thread) for thread in range(threads)]
        while not all(each.done() for each in counting):
            deliverer.deliver()
    deliverer.deliver_all()
    assert [each.exception() for each in counting] == [None] * threads
    assert deliverer.arrived.succeeded == threads * rounds * 4
    assert max(len(batch.failures) + len(batch.skips) for batch in deliverer.batches) < 7 + threads
    for name, arrived in {"f": deliverer.arrived.failures, "s": deliverer.arrived.skips}.items():
        for thread in range(threads):
            mine = [each for each in arrived if each.startswith(f"{name} {thread} ")]
            assert mine == [f"{name} {thread} {number}" for number in range(rounds)]
        assert len(arrived) == threads * rounds


@pytest.mark.usefixtures("impatient_threads")
def test_checkpoints_of_alternating_threads_cover_the_rows_of_all_threads() -> None:
    threads, rounds = 4, 150
    outbox = Outbox(flush_rows=7, max_waiting_rows=10_000)
    run, deliverer = counting_half_of_a_run(outbox), Deliverer(outbox)
    turn, done = threading.Lock(), 0

    def count(_: int) -> None:
        nonlocal done
        for number in range(rounds):
            with turn:
                done += 1
                if number % 3:
                    run.succeeded(checkpoint=done)
                else:
                    run.failed(rejected(done), checkpoint=done)

    with ThreadPoolExecutor(threads) as pool:
        counting = [pool.submit(count, thread) for thread in range(threads)]
        while not all(each.done() for each in counting) or deliverer.deliver():
            deliverer.deliver()
            arrived = deliverer.arrived
            assert arrived.succeeded + len(arrived.failures) == (arrived.checkpoint or 0)
    assert deliverer.arrived.checkpoint == done == threads * rounds


def test_a_thread_may_begin_to_count_during_a_garbage_collection() -> None:
    """A collection may come in the middle of a cut; a finalizer, or a callback as here, lets other threads run."""
    outbox = Outbox(flush_rows=1_000, max_waiting_rows=1_000)
    run, deliverer, over = counting_half_of_a_run(outbox), Deliverer(outbox), threading.Event()
    threads: list[threading.Thread] = []

    def count(name: int, counted: threading.Event) -> None:
        run.failed(rejected(name))
        counted.set()
        over.wait()  # or the next thread would be known under the same number

    def another_begins(phase: str, _: dict[str, int]) -> None:
        if phase == "start" and len(threads) < 100:
            counted = threading.Event()
            threads.append(threading.Thread(target=count, args=(len(threads), counted)))
            threads[-1].start()
            counted.wait()

    gc.callbacks.append(another_begins)
    before = gc.get_threshold()
    try:
        gc.set_threshold(1)
        while len(threads) < 100:
            deliverer.deliver()
    finally:
        gc.set_threshold(*before)
        gc.callbacks.remove(another_begins)
        over.set()
    deliverer.deliver_all()
    assert sorted(deliverer.arrived.failures, key=int) == [str(number) for number in range(len(threads))]
