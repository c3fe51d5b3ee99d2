"""Failed and skipped rows: how each kind's rows are written, and how stored data is read."""

import json

import pytest

from batchstatus.model import rows
from batchstatus.model.errors import InvalidValue
from batchstatus.model.job import Kind
from batchstatus.model.kinds import PUBLISHED

T, U, E = Kind.TRANSACTION_BATCH, Kind.USER_EVENT_BATCH, Kind.ENTITY_AUTOMATIC
NAMED = {T: {"externalId": "T-7"}, U: {"rowKey": "row_5"}, E: {"taxId": "20123456789", "type": "company"}}
REASON = {"code": "VALIDATION_ERROR", "message": "why"}
MARKER = "SKIPPED_DUPLICATE_TAX_ID"


def failure(kind, row):
    """Returns the row as the store gets it."""
    return rows.encode(rows.failure(PUBLISHED[kind], row))


def skip(kind, row):
    """Returns the row as the store gets it."""
    return rows.encode(rows.skip(PUBLISHED[kind], row))


each_kind = pytest.mark.parametrize("kind", Kind)
both_ways = pytest.mark.parametrize("write", [failure, skip], ids=["failure", "skip"])


@pytest.mark.parametrize(
    ("kind", "stored"),
    [
        (T, {"externalId": "T-7", **REASON}),
        (U, {"rowKey": "row_5", **REASON}),
        (E, {"taxId": "20123456789", "type": "company", "outcome": "failed", **REASON}),
    ],
)
def test_a_failed_row_is_stored_in_wire_format_with_ordered_members(kind, stored):
    assert failure(kind, REASON | NAMED[kind]) == json.dumps(stored, separators=(",", ":"))


def test_a_skipped_entity_is_stored_in_wire_format():
    assert json.loads(skip(E, NAMED[E])) == {**NAMED[E], "outcome": "skipped_existing", "code": MARKER}


@each_kind
def test_a_skipped_row_is_stored_without_message(kind):
    assert "message" not in json.loads(skip(kind, {**NAMED[kind], **REASON}))


def test_an_entity_may_set_its_outcome_and_code():
    given = {**NAMED[E], "outcome": "rejected", "code": "SKIPPED_ENTITY_ALREADY_EXISTS"}
    assert json.loads(skip(E, given)) == given
    assert json.loads(failure(E, given))["outcome"] == "rejected"


@each_kind
def test_a_message_may_be_missing(kind):
    assert json.loads(failure(kind, {**NAMED[kind], "code": "AB"}))["message"] == ""


def test_none_is_no_text():
    assert json.loads(failure(T, {**NAMED[T], "code": "AB", "message": None}))["message"] == ""
    assert json.loads(failure(E, {**NAMED[E], "code": "AB", "outcome": None}))["outcome"] == "failed"
    assert json.loads(skip(E, {**NAMED[E], "outcome": None}))["outcome"] == "skipped_existing"


@each_kind
def test_the_members_that_identify_a_row_may_be_none(kind):
    stored = json.loads(failure(kind, dict.fromkeys(NAMED[kind]) | REASON))
    assert {stored[name] for name in NAMED[kind]} == {None}


@each_kind
@both_ways
def test_a_row_needs_the_members_that_identify_it(kind, write):
    for name in NAMED[kind]:
        given = {key: value for key, value in NAMED[kind].items() if key != name} | REASON
        with pytest.raises(InvalidValue, match=rf"^a {kind} row needs {name} "):
            write(kind, given)


@each_kind
@both_ways
def test_a_row_with_unknown_members_is_refused(kind, write):
    with pytest.raises(InvalidValue, match=rf"^a {kind} row has no member line, tax_id; it has "):
        write(kind, {**NAMED[kind], **REASON, "tax_id": "1", "line": 5})


@pytest.mark.parametrize("kind", [T, U])
def test_only_entities_have_an_outcome(kind):
    with pytest.raises(InvalidValue, match="outcome"):
        failure(kind, {**NAMED[kind], **REASON, "outcome": "failed"})


@both_ways
@pytest.mark.parametrize("bad", [None, "text", 5, [("externalId", "T")]], ids=repr)
def test_a_row_is_a_dict(write, bad):
    with pytest.raises(InvalidValue, match=r"^a row is a dict, not \w+$"):
        write(T, bad)


@pytest.mark.parametrize("code", [None, "", "lower", "A", "A B", "AB\n", 5, "Ä" * 5, "A" * 65], ids=repr)
def test_a_malformed_code_is_refused(code):
    with pytest.raises(InvalidValue, match=r"^code "):
        failure(T, {**NAMED[T], "code": code})


def test_a_failed_row_needs_a_code():
    with pytest.raises(InvalidValue, match=r"^code None "):
        failure(T, {**NAMED[T], "message": "why"})


def test_a_worker_may_report_codes_of_its_own():
    assert json.loads(failure(T, {**NAMED[T], "code": "MY_OWN_CODE_2"}))["code"] == "MY_OWN_CODE_2"


@pytest.mark.parametrize("member", ["externalId", "message"])
def test_a_text_is_cut_at_1000_characters(member):
    stored = json.loads(failure(T, {**NAMED[T], **REASON, member: "x" * 5_000}))
    assert stored[member] == "x" * 1_000


@pytest.mark.parametrize("name", [7, 7.5, True, "\ud800"], ids=repr)
def test_a_value_that_identifies_a_row_becomes_text(name):
    stored = failure(T, {**REASON, "externalId": name})
    assert json.loads(stored.encode())["externalId"] == ("?" if name == "\ud800" else str(name))


@both_ways
def test_an_outcome_is_made_encodable(write):
    assert write(E, {**NAMED[E], "code": "AB", "outcome": "\ud800"}).encode()


@both_ways
@pytest.mark.parametrize("letter", ["x", "é", "€", "😀", "\x00", '"'])
@pytest.mark.parametrize("length", [900, 1_000, 100_000])
def test_a_row_is_at_most_4_kib_and_keeps_its_code(write, letter, length):
    long = letter * length
    given = {"taxId": long, "type": long, "outcome": long, "code": "A" * 64, "message": long}
    stored = write(E, given).encode()
    assert len(stored) <= 4 * 1024
    assert json.loads(stored)["code"] == "A" * 64


def test_a_row_that_is_too_large_keeps_its_short_texts():
    stored = json.loads(failure(E, {**NAMED[E], "outcome": "x" * 50_000, **REASON}))
    assert stored == {**NAMED[E], "outcome": stored["outcome"], **REASON}


# Reading


@each_kind
@both_ways
def test_a_row_reads_as_it_was_written(kind, write):
    written = write(kind, {**NAMED[kind], "code": "AB"})
    assert rows.decode(PUBLISHED[kind], written.encode(), skipped=write is skip) == json.loads(written)


@each_kind
@pytest.mark.parametrize(
    "stored",
    [b"row 5 is bad", b"", b"5", b'"text"', b"[1]", b"null", b"{broken", b"\xff\xfe", b"[" * 100_000],
    ids=lambda stored: repr(stored[:12]),
)
def test_free_text_becomes_a_message(kind, stored):
    row = rows.decode(PUBLISHED[kind], stored)
    assert row["message"] == stored.decode("utf-8", "replace")
    assert row["code"] == "PROCESSING_ERROR"
    assert {row[name] for name in NAMED[kind]} == {None}


@each_kind
@pytest.mark.parametrize("code", [{}, {"code": None}, {"code": ""}], ids=repr)
def test_a_row_without_a_code_reads_as_a_processing_error(kind, code):
    assert rows.decode(PUBLISHED[kind], json.dumps({**NAMED[kind], **code}).encode())["code"] == "PROCESSING_ERROR"


def test_unknown_members_of_a_stored_row_are_kept():
    assert rows.decode(PUBLISHED[T], b'{"externalId":"T-7","code":"AB","line":5}')["line"] == 5


@both_ways
def test_changing_a_row_after_the_call_has_no_effect(write):
    shaped = rows.failure if write is failure else rows.skip
    name = ["T", 7]
    row = {"externalId": name, **REASON}
    kept = shaped(PUBLISHED[T], row)
    name.append(8)
    row["code"] = "OTHER"
    assert (kept["externalId"], kept["code"]) == ("['T', 7]", "VALIDATION_ERROR")
