"""A watch of a service that holds requests: what is asked for, and how long an answer may take."""

import time
from dataclasses import replace

import pytest

from batchstatus.client import Client
from batchstatus.model.errors import InvalidValue
from tests.unit.client.answers import APPLIED, SILENCE, answer, done, error, held, tagged, unchanged
from tests.unit.client.service import KEY, TIMEOUT_S, Clock, Server


def test_ten_minutes_take_under_a_tenth_of_the_requests_of_a_two_second_loop(
    client: Client, server: Server, clock: Clock
) -> None:
    """A job whose counters change all the time, and that ends a little before a wait is over."""
    began_s = clock.now
    working = [replace(tagged(f'W/"{n}"', APPLIED, succeeded=n), held_s=30.0) for n in range(2, 21)]
    last = replace(tagged('W/"21"', APPLIED, status="completed"), held_s=29.9)
    server.says(tagged('W/"1"', succeeded=1), *working, last)
    seen = [job.status for job in client.watch("J")]
    assert (len(seen), seen[-1]) == (21, "completed")
    assert clock.now - began_s == pytest.approx(599.9)
    assert len(server.requests) < (clock.now - began_s) / 2 / 10


def test_watch_asks_to_wait_as_soon_as_it_has_an_entity_tag(client: Client, server: Server, clock: Clock) -> None:
    server.says(tagged('W/"1"'), held('W/"1"'), held('W/"1"'), tagged('W/"2"', APPLIED, succeeded=500), done())
    assert [job.succeeded for job in client.watch("J")] == [412, 500, 412]
    assert server.asked("if-none-match") == [None, 'W/"1"', 'W/"1"', 'W/"1"', 'W/"2"']
    assert server.asked("prefer") == [None, "wait=30", "wait=30", "wait=30", "wait=30"]
    assert set(clock.sleeps) == {0}
    assert server.connections == 1


def test_a_304_without_an_entity_tag_keeps_the_known_one(client: Client, server: Server) -> None:
    server.says(tagged('"1"'), answer(304), tagged('"2"'), unchanged('"3"'), done())
    list(client.watch("J"))
    assert server.asked("if-none-match") == [None, '"1"', '"1"', '"2"', '"3"']


@pytest.mark.parametrize(
    ("progress_s", "prefer"),
    [(1, "wait=1"), (0.2, "wait=1"), (2.9, "wait=2"), (100, "wait=30"), (float("inf"), "wait=30")],
)
def test_progress_s_becomes_a_wait_of_whole_seconds_up_to_30(
    client: Client, server: Server, progress_s: float, prefer: str
) -> None:
    server.says(error(404, "NOT_FOUND"), tagged('W/"1"'), done())
    list(client.watch("J", progress_s))
    assert server.asked("prefer") == [None, None, prefer]


@pytest.mark.parametrize("progress_s", [0, -1, float("nan")])
def test_an_impossible_progress_s_is_refused(client: Client, progress_s: float) -> None:
    with pytest.raises(InvalidValue, match="progress_s"):
        next(client.watch("J", progress_s))


def test_a_held_answer_may_take_longer_than_timeout_s(server: Server, clock: Clock) -> None:
    late = replace(held('W/"1"'), held_s=1, hold=lambda: time.sleep(TIMEOUT_S + 0.1))
    server.says(error(404, "NOT_FOUND"), tagged('W/"1"'), late, done())
    with Client(server.url, KEY, timeout_s=TIMEOUT_S) as client:
        list(client.watch("J", progress_s=1))
    assert (set(clock.sleeps), server.connections) == ({0}, 2)


def test_an_answer_that_is_not_held_must_come_within_timeout_s(server: Server, clock: Clock) -> None:
    server.says(SILENCE, done())
    with Client(server.url, KEY, timeout_s=TIMEOUT_S) as client:
        list(client.watch("J"))
    assert clock.sleeps == [0.25]


def test_a_304_from_a_cache_is_paced(client: Client, server: Server, clock: Clock) -> None:
    from_a_cache = unchanged('W/"1"', Preference_Applied="wait=30", Retry_After="3")
    server.says(tagged('W/"1"'), from_a_cache, from_a_cache, done())
    list(client.watch("J"))
    assert clock.sleeps == [0, 3, 3]
