"""Waiting for a batch, and waiting for room: who is blocked, and what ends the wait."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

import pytest

from batchstatus.worker.outbox import Outbox
from tests.support.counting import Deliverer, counting_half_of_a_run, name_of, rejected
from tests.support.waiting import wait_until

LONG_S = 60.0


def test_take_returns_the_same_batch_until_it_is_sent() -> None:
    outbox = Outbox(flush_rows=100, max_waiting_rows=100)
    run = counting_half_of_a_run(outbox)
    run.failed(rejected("one"))
    first = outbox.take()
    run.failed(rejected("two"))
    assert outbox.take() is first
    outbox.sent()
    second = outbox.take()
    assert second is not None
    assert [*map(name_of, second.failures)] == ["two"]


def test_undelivered_counts_waiting_rows_and_those_of_the_current_batch() -> None:
    outbox = Outbox(flush_rows=2, max_waiting_rows=100)
    run = counting_half_of_a_run(outbox)
    run.succeeded(5)
    run.failed(rejected("on its way"))
    outbox.take()
    for number in range(3):
        run.failed(rejected(number))
    run.skipped(rejected("waits"))
    with ThreadPoolExecutor(1) as pool:
        pool.submit(run.succeeded, 2).result(LONG_S)
    assert outbox.undelivered() == {"succeeded": 7, "failed": 4, "skipped": 1}


def test_wait_ends_as_soon_as_a_batch_is_full() -> None:
    outbox = Outbox(flush_rows=3, max_waiting_rows=100)
    run, woken = counting_half_of_a_run(outbox), threading.Event()

    def wait() -> None:
        outbox.wait(LONG_S)
        woken.set()

    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(wait)
        run.failed(rejected("one"))
        run.skipped(rejected("two"))
        assert not woken.wait(0.1)
        run.failed(rejected("three"))
        waiting.result(LONG_S / 2)


def test_wait_ends_at_once_while_more_full_batches_wait() -> None:
    outbox = Outbox(flush_rows=2, max_waiting_rows=100)
    run, deliverer = counting_half_of_a_run(outbox), Deliverer(outbox)
    for number in range(4):
        run.failed(rejected(number))
    for _ in range(2):
        with ThreadPoolExecutor(1) as pool:
            pool.submit(outbox.wait, LONG_S).result(LONG_S / 2)
        assert deliverer.deliver()
    assert deliverer.deliver() is None


@contextmanager
def threads_over(outbox: Outbox) -> Iterator[ThreadPoolExecutor]:
    """Threads that work on `outbox`; none stays blocked in it when the test is over."""
    with ThreadPoolExecutor(2) as pool:
        try:
            yield pool
        finally:
            outbox.fail(RuntimeError("the test is over"))


@dataclass
class Adder:
    """A thread that adds failed rows, as many as it may."""

    outbox: Outbox
    added: int = 0

    def add(self, rows: int) -> None:
        run = counting_half_of_a_run(self.outbox)
        for number in range(rows):
            run.failed(rejected(number))
            self.added += 1


def test_adding_a_row_blocks_until_enough_waiting_rows_have_arrived() -> None:
    outbox = Outbox(flush_rows=2, max_waiting_rows=3)
    first, second, deliverer = Adder(outbox), Adder(outbox), Deliverer(outbox)
    with threads_over(outbox) as pool:
        adding = [pool.submit(first.add, 10)]
        wait_until(lambda: first.added == 3)
        assert outbox.take() is not None  # on its way, not there yet: still too many
        adding.append(pool.submit(second.add, 1))
        with pytest.raises(TimeoutError):
            adding[1].result(0.2)
        assert (first.added, second.added) == (3, 0)
        while not all(each.done() for each in adding):
            deliverer.deliver()
        deliverer.deliver_all()
    assert sorted(deliverer.arrived.failures) == sorted(["0", *map(str, range(10))])


def test_an_error_reaches_a_thread_that_is_blocked() -> None:
    outbox = Outbox(flush_rows=2, max_waiting_rows=3)
    adder = Adder(outbox)
    with threads_over(outbox) as pool:
        adding = pool.submit(adder.add, 10)
        wait_until(lambda: adder.added == 3)
        outbox.fail(LookupError("fenced out"))
        with pytest.raises(LookupError, match="fenced out"):
            adding.result(LONG_S)
    assert adder.added == 3


def test_every_call_raises_the_first_error_from_then_on() -> None:
    outbox = Outbox(flush_rows=2, max_waiting_rows=3)
    run = counting_half_of_a_run(outbox)
    run.check()
    outbox.fail(LookupError("the first"))
    outbox.fail(LookupError("the second"))
    for call in (
        run.check,
        run.succeeded,
        lambda: run.total(5),
        lambda: run.failed(rejected(1)),
        lambda: run.skipped(rejected(1)),
    ):
        with pytest.raises(LookupError, match="the first"):
            call()
    assert outbox.take() is None
