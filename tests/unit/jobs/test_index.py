"""The organization's index: positions and their cursors."""

import base64
import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchstatus import InvalidValue
from batchstatus.model.cursor import Position
from batchstatus.model.keys import ID

positions = st.builds(
    Position,
    st.integers(min_value=0, max_value=10**16 - 1),
    st.from_regex(ID, fullmatch=True, alphabet=st.characters(max_codepoint=127)),
)


@given(positions)
def test_a_cursor_is_safe_in_a_url_and_decodes_to_its_position(position: Position) -> None:
    assert Position.of(position.cursor) == position
    assert set(position.cursor) <= set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_")


@given(positions, positions)
def test_positions_sort_by_time_and_then_by_id(one: Position, other: Position) -> None:
    expected = one.created_ms < other.created_ms or (
        one.created_ms == other.created_ms and one.job_id < other.job_id
    )
    assert (one < other) is expected


def encoded(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


@pytest.mark.parametrize(
    "cursor",
    [
        "",
        "x",
        "é",
        "====",
        "a" * 5_000,
        "a b",
        *map(encoded, ["", "-", "7", "7-", "-job", "7-a:b", "\u0667-job", "7-a\n", "7" * 17 + "-a"]),
    ],
)
def test_a_malformed_cursor_is_refused(cursor: str) -> None:
    with pytest.raises(InvalidValue, match="cursor"):
        Position.of(cursor)


@given(st.text())
def test_any_text_is_a_valid_cursor_or_refused(text: str) -> None:
    with contextlib.suppress(InvalidValue):
        assert ID.fullmatch(Position.of(text).job_id)
