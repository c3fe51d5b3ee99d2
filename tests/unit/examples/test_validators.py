"""The validators of the example importers: which cell gets which code."""

import pytest

from tests.unit.examples.modules import COMPANY, KINDS, PERSON, STRANGER, codes, fields, record


@pytest.mark.parametrize("kind", KINDS)
def test_a_good_row_is_accepted(importer, kind):
    assert codes(importer(kind), record(kind)) == ["ok"]


@pytest.mark.parametrize(
    ("kind", "column", "cell", "wanted"),
    [
        ("transactions", "external_id", "", "VALIDATION_ERROR"),
        ("transactions", "external_id", "=1+1", "VALIDATION_ERROR"),
        ("transactions", "external_id", "-1", "VALIDATION_ERROR"),
        ("transactions", "external_id", "T\n1", "VALIDATION_ERROR"),
        ("transactions", "external_id", "x" * 65, "VALIDATION_ERROR"),
        ("transactions", "external_id", "x" * 64, "ok"),
        ("transactions", "entity_tax_id", STRANGER, "ENTITY_NOT_FOUND"),
        ("transactions", "entity_tax_id", "20900000008", "VALIDATION_ERROR"),
        ("transactions", "entity_tax_id", f" {PERSON} ", "ok"),
        ("transactions", "amount", "12,50", "VALIDATION_ERROR"),
        ("transactions", "amount", "abc", "VALIDATION_ERROR"),
        ("transactions", "amount", "-1.00", "VALIDATION_ERROR"),
        ("transactions", "amount", "0", "VALIDATION_ERROR"),
        ("transactions", "amount", "1e9", "VALIDATION_ERROR"),
        ("transactions", "amount", "1_000", "VALIDATION_ERROR"),
        ("transactions", "amount", "NaN", "VALIDATION_ERROR"),
        ("transactions", "amount", "Infinity", "VALIDATION_ERROR"),
        ("transactions", "amount", "١٢", "VALIDATION_ERROR"),
        ("transactions", "amount", "1.005", "VALIDATION_ERROR"),
        ("transactions", "amount", "1000000000000", "VALIDATION_ERROR"),
        ("transactions", "amount", "999999999999.99", "ok"),
        ("transactions", "booked_at", "2026-02-29T00:00:00Z", "VALIDATION_ERROR"),
        ("transactions", "booked_at", "2026-03-01T09:30:00", "VALIDATION_ERROR"),
        ("transactions", "booked_at", "2026-03-01", "VALIDATION_ERROR"),
        ("transactions", "booked_at", "0001-01-01T00:00:00+14:00", "VALIDATION_ERROR"),
        ("transactions", "booked_at", "9999-12-31T23:59:59-05:00", "VALIDATION_ERROR"),
        ("transactions", "currency", "usd", "VALIDATION_ERROR"),
        ("transactions", "direction", "sideways", "VALIDATION_ERROR"),
        ("transactions", "counterparty", "\n", "VALIDATION_ERROR"),
        ("transactions", "counterparty", "x" * 201, "VALIDATION_ERROR"),
        ("transactions", "description", "=SUM(A1:A9)", "ok"),
        ("entities", "tax_id", "2012345678", "VALIDATION_ERROR"),
        ("entities", "tax_id", "30111222333", "VALIDATION_ERROR"),
        ("entities", "tax_id", COMPANY, "TAX_ID_TYPE_MISMATCH"),
        ("entities", "type", "company", "TAX_ID_TYPE_MISMATCH"),
        ("entities", "type", "", "VALIDATION_ERROR"),
        ("entities", "name", "   ", "VALIDATION_ERROR"),
        ("entities", "country", "Peru", "VALIDATION_ERROR"),
        ("entities", "onboarded_on", "2021-02-29", "VALIDATION_ERROR"),
        ("user_events", "user_id", "@anna", "VALIDATION_ERROR"),
        ("user_events", "entity_tax_id", STRANGER, "ENTITY_NOT_FOUND"),
        ("user_events", "type", "teleported", "VALIDATION_ERROR"),
        ("user_events", "occurred_at", "yesterday", "VALIDATION_ERROR"),
        ("user_events", "ip", "10.0.0.256", "VALIDATION_ERROR"),
        ("user_events", "ip", "10.0.0.25", "ok"),
    ],
)
def test_a_cell_gets_its_code(importer, kind, column, cell, wanted):
    assert codes(importer(kind), record(kind, **{column: cell})) == [wanted]


@pytest.mark.parametrize("kind", KINDS)
def test_a_row_of_another_length_than_the_header_is_rejected(importer, kind):
    assert codes(importer(kind), record(kind, fits=False)) == ["VALIDATION_ERROR"]


def test_a_long_cell_is_cut_in_the_message(importer):
    [rejected] = importer("transactions").import_batch([record("transactions", amount="9" * 5_000)])
    assert len(str(rejected)) < 200


def test_without_known_entities_every_well_formed_reference_is_accepted(importer):
    batch = [record("transactions", entity_tax_id=STRANGER), record("transactions", 2, entity_tax_id="nobody")]
    assert codes(importer("transactions", known=None), *batch) == ["ok", "VALIDATION_ERROR"]


def test_an_empty_list_of_entities_rejects_every_reference(importer):
    assert codes(importer("transactions", known=frozenset()), record("transactions")) == ["ENTITY_NOT_FOUND"]


def test_money_is_stored_in_cents_and_times_in_utc(importer):
    an_importer = importer("transactions")
    an_importer.import_batch([record("transactions", amount="0.29", booked_at="2026-03-01T22:30:00-05:00")])
    stored = an_importer.database.execute("SELECT amount_cents, booked_at FROM transactions").fetchone()
    assert stored == (29, "2026-03-02T03:30:00+00:00")


def test_the_check_digit_is_the_one_that_the_tax_office_of_peru_computes():
    assert fields.is_tax_id("20131312955")  # its own, and published
    assert not fields.is_tax_id("20131312954")


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("transactions", {"externalId": "T-1"}),
        ("entities", {"taxId": PERSON, "type": "person"}),
        ("user_events", {"rowKey": "row_5"}),
    ],
)
def test_a_row_is_named_as_the_contract_says(importer, kind, name):
    assert importer(kind).name(record(kind, 4)) == name
