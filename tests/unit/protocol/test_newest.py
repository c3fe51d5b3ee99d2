"""The newest members of many indexes: those that a page needs are there, and few others."""

import fakeredis
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchstatus.protocol.newest import newest
from batchstatus.transport.connection import Connection

MEMBERS = st.dictionaries(st.sampled_from("abcdefgh"), st.integers(0, 9), max_size=8)


def filled(client: fakeredis.FakeRedis, indexes: list[dict[str, int]]) -> list[str]:
    """Make an index of each; returns their keys."""
    client.flushall()
    keys = [f"index:{number}" for number in range(len(indexes))]
    for key, members in zip(keys, indexes, strict=True):
        if members:
            client.zadd(key, members)
    return keys


@given(st.lists(MEMBERS, min_size=1, max_size=9), st.integers(1, 5), st.integers(0, 9), st.integers(0, 9))
def test_all_members_are_found_down_to_the_bound_or_to_the_number_wanted_of_their_index(
    indexes: list[dict[str, int]], many: int, lowest: int, highest: int
) -> None:
    with fakeredis.FakeRedis() as client:
        keys = filled(client, indexes)
        found = newest(Connection(client), keys, f"({highest}", str(lowest), many)
    there = [
        sorted(((score, name.encode()) for name, score in each.items() if lowest <= score < highest), reverse=True)
        for each in indexes
    ]
    least = lowest if found.least is None else found.least
    lists = [[(score, name) for name, score in each if score >= least] for each in found.lists]
    expected = [[entry for entry in each if entry[0] >= least][:many] for each in there]
    assert [each for each in lists if each] == [each for each in expected if each]
    # The bound leaves as many as are wanted
    assert found.least is None or sum(score >= least for each in there for score, _ in each) >= many


@pytest.mark.parametrize(("indexes", "many"), [(192, 21), (18, 21), (18, 6), (192, 101), (2, 21)])
def test_little_more_is_read_than_is_wanted(indexes: int, many: int) -> None:
    with fakeredis.FakeRedis() as client:
        keys = filled(client, [{f"{n}": 1_000 * n + number for n in range(many)} for number in range(indexes)])
        found = newest(Connection(client), keys, "+inf", "-inf", many)
    assert many <= sum(map(len, found.lists)) <= 4 * max(many, indexes)


def test_a_time_is_told_exactly() -> None:
    now_ms = 1_796_000_000_123
    with fakeredis.FakeRedis() as client:
        keys = filled(client, [{"a": now_ms}, {"b": now_ms - 1}])
        assert newest(Connection(client), keys, "+inf", "-inf", 1).least == now_ms
