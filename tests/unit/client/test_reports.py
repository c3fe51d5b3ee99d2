"""A batch in the reports that the service takes."""

import json

import pytest

from batchstatus.client.reports import MAX_BYTES, MAX_ROWS, reports_of
from batchstatus.model.messages import Batch, Counts
from batchstatus.model.rows import Shaped


def rows(number: int, message: str = "") -> tuple[Shaped, ...]:
    return tuple({"externalId": f"T-{each}", "code": "X1", "message": message} for each in range(number))


def test_a_batch_that_its_checkpoint_covers_is_one_report() -> None:
    batch = Batch(5, rows(2), rows(1), total_items=9, checkpoint={"at": 8})
    (report,) = reports_of(batch)
    assert report == {
        "succeeded": 5,
        "failures": [*rows(2)],
        "skips": [*rows(1)],
        "totalItems": 9,
        "checkpoint": {"at": 8},
    }


@pytest.mark.parametrize("checkpoint", [0, False, ""])
def test_a_checkpoint_that_is_false_is_sent(checkpoint: object) -> None:
    assert reports_of(Batch(1, checkpoint=checkpoint)) == [{"succeeded": 1, "checkpoint": checkpoint}]


def test_rows_that_the_checkpoint_does_not_cover_come_in_a_later_report() -> None:
    failures, skips = rows(3), rows(4)
    first, late = reports_of(Batch(5, failures, skips, checkpoint=7, covered=Counts(2, 1, 4)))
    assert first == {"succeeded": 2, "failures": [failures[0]], "skips": [*skips], "checkpoint": 7}
    assert late == {"succeeded": 3, "failures": [*failures[1:]]}


def test_a_checkpoint_that_covers_nothing_of_the_batch_comes_first() -> None:
    first, late = reports_of(Batch(5, checkpoint=7, covered=Counts(0, 0, 0)))
    assert (first, late) == ({"succeeded": 0, "checkpoint": 7}, {"succeeded": 5})


def test_no_report_has_too_many_rows_and_the_last_has_the_checkpoint() -> None:
    failures, skips = rows(MAX_ROWS + 500), rows(600)
    reports = reports_of(Batch(3, failures, skips, checkpoint=7))
    assert [len(each.get("failures", [])) + len(each.get("skips", [])) for each in reports] == [1000, 1000, 100]
    assert [each.get("checkpoint") for each in reports] == [None, None, 7]
    assert [row for each in reports for row in each.get("failures", [])] == [*failures]
    assert [row for each in reports for row in each.get("skips", [])] == [*skips]


@pytest.mark.parametrize("letter", ["x", "é", "\ud800", "\N{GRINNING FACE}"])
def test_no_report_is_larger_than_the_service_takes(letter: str) -> None:
    reports = reports_of(Batch(1, rows(900, letter * 1_000), checkpoint="c" * 4_000))
    assert sum(len(each["failures"]) for each in reports) == 900
    assert all(len(json.dumps(each)) < MAX_BYTES + 8_192 for each in reports)
