"""The pace of the example importers: rows per second, pauses, and batches."""

import pytest

from tests.unit.examples.modules import importing


def test_rows_come_at_the_given_rate(clock):
    assert list(importing.paced(range(100), 20, lambda: None)) == list(range(100))
    assert clock.now == pytest.approx(5.0)


def test_rows_come_no_faster_after_a_pause(clock):
    pauses = iter([0, 60])
    for _ in importing.paced(range(100), 20, lambda: clock.sleep(next(pauses, 0))):
        pass
    assert clock.now > 63


def test_a_cancel_is_looked_for_between_slow_rows(clock):
    checks = []
    list(importing.paced(range(2), 0.5, lambda: checks.append(clock.now)))
    assert clock.longest <= 0.1
    assert len(checks) > 30


def test_rate_0_does_not_wait(clock):
    assert list(importing.paced(range(9), 0, lambda: None)) == list(range(9))
    assert clock.now == 0


def test_a_batch_ends_by_its_rows_or_by_its_age(clock, monkeypatch):
    monkeypatch.setattr(importing, "BATCH_ROWS", 4)
    assert list(importing.batches(range(10))) == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    slow = importing.paced(range(5), 8, lambda: None)
    assert list(importing.batches(slow)) == [[0, 1], [2, 3], [4]]
