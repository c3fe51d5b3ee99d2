"""The dirty rows of the samples: every kind of dirt is there, on purpose, and gets its code."""

import re

import pytest

from tests.unit.examples.modules import KINDS

DIRT = {
    "transactions": {
        "no id": ("VALIDATION_ERROR", "external_id: missing"),
        "a formula for an id": ("VALIDATION_ERROR", "external_id: '=HYPERLINK"),
        "a phone number for an id": ("VALIDATION_ERROR", r"external_id: '\+51"),
        "a duplicate id": ("DUPLICATE_EXTERNAL_ID", "another transaction"),
        "no entity": ("VALIDATION_ERROR", "entity_tax_id: missing"),
        "an unknown entity": ("ENTITY_NOT_FOUND", "entity_tax_id: there is no"),
        "a mistyped entity": ("VALIDATION_ERROR", r"entity_tax_id: '\d+'"),
        "no amount": ("VALIDATION_ERROR", "amount: missing"),
        "a decimal comma": ("VALIDATION_ERROR", r"amount: '\d+,\d\d'"),
        "a word for an amount": ("VALIDATION_ERROR", "amount: 'abc'"),
        "a negative amount": ("VALIDATION_ERROR", "amount: '-"),
        "a huge amount": ("VALIDATION_ERROR", "amount: '9999999999999"),
        "an amount of nothing": ("VALIDATION_ERROR", "amount: '0.00'"),
        "an impossible day": ("VALIDATION_ERROR", "booked_at: '2026-02-30"),
        "a day that comes first": ("VALIDATION_ERROR", "booked_at: '31/01"),
        "a time without its zone": ("VALIDATION_ERROR", r"booked_at: '.{19}'"),
        "no time": ("VALIDATION_ERROR", "booked_at: missing"),
        "an unknown currency": ("VALIDATION_ERROR", "currency: '@@@'"),
        "no counterparty": ("VALIDATION_ERROR", "counterparty: missing"),
        "a row of another length": ("VALIDATION_ERROR", "more or fewer cells"),
    },
    "entities": {
        "a duplicate tax id": ("SKIPPED_DUPLICATE_TAX_ID", "earlier row"),
        "a duplicate id": ("DUPLICATE_EXTERNAL_ID", "another entity"),
        "a tax id of the other type": ("TAX_ID_TYPE_MISMATCH", "not the tax id of a"),
        "an unknown type": ("VALIDATION_ERROR", "type: 'trust'"),
        "no tax id": ("VALIDATION_ERROR", "tax_id: missing"),
        "a mistyped tax id": ("VALIDATION_ERROR", r"tax_id: '\d+'"),
        "a formula for a tax id": ("VALIDATION_ERROR", "tax_id: '="),
        "no name": ("VALIDATION_ERROR", "name: missing"),
        "the name of a country": ("VALIDATION_ERROR", "country: 'Perú'"),
        "an impossible day": ("VALIDATION_ERROR", "onboarded_on: '2025-13-01'"),
    },
    "user_events": {
        "no user": ("VALIDATION_ERROR", "user_id: missing"),
        "a mention for a user": ("VALIDATION_ERROR", "user_id: '@"),
        "an unknown entity": ("ENTITY_NOT_FOUND", "entity_tax_id: there is no"),
        "a mistyped entity": ("VALIDATION_ERROR", r"entity_tax_id: '\d+'"),
        "an unknown type": ("VALIDATION_ERROR", "type: 'teleported'"),
        "an impossible hour": ("VALIDATION_ERROR", "occurred_at: '2026-03-01T25"),
        "no time": ("VALIDATION_ERROR", "occurred_at: missing"),
        "an impossible address": ("VALIDATION_ERROR", "ip: '10.0.0.256'"),
    },
}


@pytest.mark.parametrize(
    ("kind", "wanted", "message"),
    [
        pytest.param(kind, *found, id=f"{kind}-{name}")
        for kind, dirt in DIRT.items()
        for name, found in dirt.items()
    ],
)
def test_every_kind_of_dirt_is_in_the_samples_and_gets_its_code(judged, kind, wanted, message):
    rejections = [rejected for rejected in judged[kind] if rejected and re.match(f".*{message}", str(rejected))]
    assert rejections
    assert {rejected.code for rejected in rejections} == {wanted}


@pytest.mark.parametrize("kind", KINDS)
def test_every_dirty_sample_row_is_dirty_on_purpose(judged, kind):
    meant = [re.compile(f".*{message}") for _, message in DIRT[kind].values()]
    for rejected in filter(None, judged[kind]):
        assert any(pattern.match(str(rejected)) for pattern in meant), rejected


@pytest.mark.parametrize("kind", KINDS)
def test_one_to_three_percent_of_the_sample_rows_are_dirty(judged, kind):
    dirty = sum(rejected is not None for rejected in judged[kind])
    assert 0.01 < dirty / len(judged[kind]) < 0.03
