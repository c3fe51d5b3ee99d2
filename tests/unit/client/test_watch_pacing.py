"""A watch of a service that does not hold requests: the pauses between polls."""

import pytest

from batchstatus.client import Client
from tests.unit.client.answers import Answer, done, error, ok, tagged, unchanged
from tests.unit.client.service import Clock, Server


def test_watch_pauses_as_retry_after_says(client: Client, server: Server, clock: Clock) -> None:
    server.says(ok({"Retry-After": "3"}), ok({"Retry-After": "5"}), done())
    list(client.watch("J"))
    assert clock.sleeps == [3, 5]


def test_watch_does_not_ask_to_wait_without_an_entity_tag(client: Client, server: Server) -> None:
    server.says(ok(), tagged('"1"'), ok(), done())
    list(client.watch("J"))
    assert server.asked("if-none-match") == [None, None, '"1"', None]
    assert server.asked("prefer") == [None, None, "wait=30", None]


@pytest.mark.parametrize("reply", [unchanged('W/"1"', Retry_After="4"), tagged('W/"1"', {"Retry-After": "4"})])
def test_watch_pauses_where_the_wait_was_not_applied(
    client: Client, server: Server, clock: Clock, reply: Answer
) -> None:
    server.says(tagged('W/"1"', {"Retry-After": "4"}), reply, reply, done())
    assert len(list(client.watch("J"))) == 2
    assert clock.sleeps == [0, 4, 4]


@pytest.mark.parametrize(
    ("retry_after", "pause_s"),
    [
        ("5", 5),
        (" 5 ", 5),
        ("0", 1),
        ("3600", 30),
        ("9" * 500, 30),
        ("", 2),
        ("-3", 2),
        ("2.5", 2),
        ("soon", 2),
        ("²", 2),
        ("Wed, 21 Oct 2026 07:28:00 GMT", 2),
    ],
)
def test_a_pause_is_1_to_30_seconds_and_2_where_retry_after_is_no_number(
    client: Client, server: Server, clock: Clock, retry_after: str, pause_s: float
) -> None:
    server.says(ok({"Retry-After": retry_after}), done())
    list(client.watch("J"))
    assert clock.sleeps == [pause_s]


def test_a_pause_without_retry_after_is_two_seconds(client: Client, server: Server, clock: Clock) -> None:
    server.says(ok(), done())
    list(client.watch("J"))
    assert clock.sleeps == [2]


@pytest.mark.parametrize(("progress_s", "pause_s"), [(0.5, 0.5), (1, 1), (10, 4)])
def test_a_pause_is_at_most_progress_s(
    client: Client, server: Server, clock: Clock, progress_s: float, pause_s: float
) -> None:
    server.says(error(404, "NOT_FOUND"), ok({"Retry-After": "4"}), done())
    list(client.watch("J", progress_s))
    assert clock.sleeps == [pause_s]
