"""Rows that are imported again, as after a takeover: the same outcome, and stored once."""

import pytest

from tests.unit.examples.modules import COMPANY, KINDS, SAMPLES, code, codes, record, records, sample, table


@pytest.mark.parametrize("kind", KINDS)
def test_repeated_sample_rows_have_the_same_outcome_and_are_stored_once(importer, judged, kind):
    an_importer = importer(kind, known=records.known_entities(SAMPLES / "entities.csv"))
    rows = sample(kind)[:5_000]
    for start in range(0, len(rows), 500):
        redone = slice(max(0, start - 700), start + 500)  # as after a crash: from a checkpoint that lags behind
        outcomes = an_importer.import_batch(rows[redone])
        assert list(map(code, outcomes)) == list(map(code, judged[kind][redone]))
    stored = [row[-1] for row in table(an_importer, kind)]
    taken = [row.number for row, rejected in zip(rows, judged[kind], strict=False) if rejected is None]
    assert sorted(stored) == taken


def test_a_second_transaction_with_the_same_id_stays_a_duplicate_when_repeated(importer):
    an_importer = importer("transactions")
    batch = [record("transactions", 1), record("transactions", 2, amount="7.00")]
    for _ in range(2):
        assert codes(an_importer, *batch) == ["ok", "DUPLICATE_EXTERNAL_ID"]
    assert codes(an_importer, batch[1]) == ["DUPLICATE_EXTERNAL_ID"]
    assert [row[3] for row in table(an_importer, "transactions")] == [125_000]


def test_a_transaction_imported_by_another_job_is_a_duplicate(importer):
    first = importer("transactions")
    second = importer("transactions", first.database, job_id="job-2")
    assert codes(first, record("transactions")) == ["ok"]
    assert codes(second, record("transactions")) == ["DUPLICATE_EXTERNAL_ID"]


def test_two_equal_events_are_both_stored(importer):
    an_importer = importer("user_events")
    assert codes(an_importer, record("user_events", 1), record("user_events", 2)) == ["ok", "ok"]
    assert len(table(an_importer, "user_events")) == 2


def test_a_known_entity_is_skipped_and_a_taken_id_fails(importer):
    an_importer = importer("entities")
    batch = [
        record("entities", 1),
        record("entities", 2, external_id="E-2"),
        record("entities", 3, tax_id=COMPANY, type="company"),
    ]
    for _ in range(2):
        assert codes(an_importer, *batch) == ["ok", "SKIPPED_DUPLICATE_TAX_ID", "DUPLICATE_EXTERNAL_ID"]
    assert len(table(an_importer, "entities")) == 1


def test_an_entity_imported_by_an_earlier_job_is_skipped_with_a_code_of_its_own(importer):
    first = importer("entities")
    second = importer("entities", first.database, job_id="job-2")
    assert codes(first, record("entities")) == ["ok"]
    assert codes(second, record("entities", 7)) == ["SKIPPED_ENTITY_ALREADY_EXISTS"]


def test_a_repeated_row_is_not_judged_by_later_rows(importer):
    an_importer = importer("entities")
    taken_id = record("entities", 2, tax_id=COMPANY, type="company")
    batch = [
        record("entities", 1),
        taken_id,
        taken_id._replace(number=3, cells=taken_id.cells | {"external_id": "E-3"}),
    ]
    for _ in range(2):
        assert codes(an_importer, *batch) == ["ok", "DUPLICATE_EXTERNAL_ID", "ok"]
