"""Validation of arguments, at the limits and beyond."""

import json
from types import MappingProxyType

import pytest

from batchstatus.model import values
from batchstatus.model.errors import InvalidValue
from batchstatus.model.job import MAX_COUNT


def nested(levels: int) -> object:
    """Returns an object in an array in an object …, `levels` levels deep."""
    made: object = 1
    for level in range(levels):
        made = [made] if level % 2 else {"a": made}
    return made


@pytest.mark.parametrize(("value", "least"), [(0, 0), (1, 1), (MAX_COUNT, 0)])
def test_a_count_is_an_integer_up_to_2_to_the_53_minus_1(value, least):
    assert values.count("limit", value, least) == value


@pytest.mark.parametrize(
    ("bad", "least"),
    [(-1, 0), (0, 1), (MAX_COUNT + 1, 0), (1.0, 0), ("1", 0), (True, 0), (None, 0), (float("nan"), 0)],
)
def test_any_other_count_is_refused_naming_the_parameter(bad, least):
    with pytest.raises(InvalidValue, match=r"^limit "):
        values.count("limit", bad, least)


@pytest.mark.parametrize(("seconds", "ms"), [(0, 0), (1, 1000), (0.25, 250), (0.0004, 0), (9e12, 9 * 10**15)])
def test_seconds_become_whole_milliseconds(seconds, ms):
    assert values.seconds_as_ms("wait_s", seconds) == ms


@pytest.mark.parametrize("bad", [-0.1, float("nan"), float("inf"), 1e300, "1", True, None], ids=repr)
def test_an_invalid_duration_is_refused_naming_the_parameter(bad):
    with pytest.raises(InvalidValue, match=r"^wait_s "):
        values.seconds_as_ms("wait_s", bad)


def test_a_text_is_cut_at_1000_characters_not_bytes():
    assert values.text("é" * 1_001) == "é" * 1_000


@pytest.mark.parametrize(("given", "sent"), [("a\ud800b", "a?b"), (ValueError("why"), "why"), (None, "None")])
def test_any_object_becomes_encodable_text(given, sent):
    assert values.text(given) == sent
    assert values.text(given).encode()


@pytest.mark.parametrize("given", [None, {}, MappingProxyType({})], ids=repr)
def test_no_metadata_is_an_empty_object(given):
    assert values.metadata(given) == "{}"


def test_metadata_is_compact_json_without_escaped_letters():
    assert (
        values.metadata({"fileName": "año.csv", "mode": {"dry": True}})
        == '{"fileName":"año.csv","mode":{"dry":true}}'
    )


@pytest.mark.parametrize("reserved", ["batchCancelRequested", "batchPauseRequested", "batchPaused"])
def test_metadata_may_not_set_control_flags(reserved):
    with pytest.raises(InvalidValue, match=rf"^metadata sets {reserved}"):
        values.metadata({reserved: False})


def test_the_names_of_control_flags_are_allowed_in_nested_objects():
    assert values.metadata({"was": {"batchPaused": True}})


@pytest.mark.parametrize(
    "bad",
    [
        *([], "text", 5, {1: "a"}, {None: "a"}, {"a": object()}, {"a": {1, 2}}, {"a": b"b"}),
        *({"a": float("nan")}, {"a": float("inf")}, {"a": "\ud800"}, {"\ud800": 1}),
    ],
    ids=lambda bad: f"{bad!r:.20}",
)
def test_metadata_must_be_a_json_object(bad):
    with pytest.raises(InvalidValue, match=r"^metadata "):
        values.metadata(bad)


@pytest.mark.parametrize(
    "given",
    [
        *({"n": 2**63 - 1}, {"n": -(2**63)}, {"n": 2**70}, {"n": -(2**70)}, {"n": 1e308}, {"n": 5e-324}),
        *({"\0": "\0"}, {"": ""}, {"a": nested(31)}, {"a": {"1": 1}}, {"a": "\u2028😀"}),
    ],
    ids=lambda given: f"{given!r:.30}",
)
def test_the_service_can_answer_with_all_accepted_metadata(store, web, api_key, given):
    try:
        job = store.create("org_acme", "transaction_batch", metadata=given)
    except InvalidValue:
        return
    answer = web.get(f"/batch-import/jobs/{job.job_id}", headers={"Authorization": f"Bearer {api_key}"})
    assert answer.status_code == 200
    assert json.loads(answer.data)["job"]["metadata"] == given


def test_metadata_is_at_most_16_kib_of_utf_8():
    fits = {"a": "é" * ((16 * 1024 - len('{"a":""}')) // 2)}
    assert len(values.metadata(fits).encode()) == 16 * 1024
    with pytest.raises(InvalidValue, match=r"^metadata is 16,385 bytes as JSON; the limit is 16,384$"):
        values.metadata({"a": fits["a"] + "b"})


def test_metadata_is_at_most_32_levels_deep():
    assert json.loads(values.metadata({"a": nested(31)})) == {"a": nested(31)}
    with pytest.raises(InvalidValue, match=r"^metadata is nested deeper than 32 levels$"):
        values.metadata({"a": nested(32)})


def test_metadata_deeper_than_the_recursion_limit_is_refused():
    with pytest.raises(InvalidValue, match=r"^metadata "):
        values.metadata({"a": nested(100_000)})


@pytest.mark.parametrize("given", [0, 17, "cursor", {"line": 5}, [1, 2], True, None])
def test_a_checkpoint_is_any_json(given):
    assert json.loads(values.checkpoint(given)) == given


def test_a_checkpoint_is_at_most_4_kib():
    assert values.checkpoint("x" * 4_094)
    with pytest.raises(InvalidValue, match=r"^checkpoint is 4,097 bytes"):
        values.checkpoint("x" * 4_095)


@pytest.mark.parametrize("bad", [object(), float("nan"), nested(33), "\ud800"], ids=lambda bad: type(bad).__name__)
def test_a_checkpoint_must_be_json(bad):
    with pytest.raises(InvalidValue, match=r"^checkpoint "):
        values.checkpoint(bad)


def test_the_digest_does_not_depend_on_the_order_of_keys():
    assert values.digest("kind", 5, {"a": 1, "b": {"c": 2, "d": 3}}) == values.digest(
        "kind", 5, {"b": {"d": 3, "c": 2}, "a": 1}
    )


@pytest.mark.parametrize(
    "other", [("kind", 6, {"a": 1}), ("other", 5, {"a": 1}), ("kind", 5, {"a": 2}), ("kind", None, {"a": 1})]
)
def test_other_content_has_another_digest(other):
    assert values.digest("kind", 5, {"a": 1}) != values.digest(*other)


def test_all_accepted_metadata_has_a_digest():
    given = {"pages": {1: "one", "two": 2}}
    assert values.metadata(given)
    assert values.digest(given) == values.digest(json.loads(values.metadata(given)))
