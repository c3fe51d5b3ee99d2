"""A watch in trouble: what may pass, what is final, the back-off, and giving up."""

import pytest

from batchstatus.client import Client
from batchstatus.model.errors import InvalidValue, JobNotFound, Refused, ServiceUnavailable
from tests.unit.client.answers import (
    NO_ANSWER,
    Answer,
    answer,
    cut,
    done,
    error,
    held,
    ok,
    page,
    tagged,
    unchanged,
)
from tests.unit.client.service import KEY, Clock, Server


@pytest.mark.parametrize(
    "trouble",
    [
        NO_ANSWER,
        Answer(b"HTTP/1.1 200 OK\r\nContent-Ty", cut=True),
        Answer(b"what?\r\n\r\n", cut=True),
        cut(ok(), 1),
        answer(body=b'{"success": true, "jo'),
        answer(body=b"[" * 200_000),
        ok(status="exploded"),
        page(200),
        page(404),
        page(502),
        answer(404, b'{"detail": "Not Found"}'),
        answer(204),
        answer(304),
        answer(408),
        error(408, "BAD_REQUEST"),
        error(429, "SLOW_DOWN"),
        error(500, "INTERNAL_ERROR"),
        error(503, "STORE_UNAVAILABLE"),
    ],
)
def test_watch_survives_trouble_that_may_pass(
    client: Client, server: Server, clock: Clock, trouble: Answer
) -> None:
    server.says(trouble, done())
    assert [job.status for job in client.watch("J")] == ["completed"]
    assert clock.sleeps == [0.25]


@pytest.mark.parametrize(
    ("final", "raised"),
    [
        (error(401, "UNAUTHENTICATED"), Refused),
        (error(403, "FORBIDDEN"), Refused),
        (page(403), Refused),
        (error(404, "JOB_NOT_FOUND"), JobNotFound),
        (error(404, "NOT_FOUND"), ServiceUnavailable),
        (error(400, "INVALID_REQUEST"), InvalidValue),
        (error(400, "BAD_REQUEST"), ServiceUnavailable),
        (answer(302, headers={"Location": "https://login.example.com"}), ServiceUnavailable),
    ],
)
def test_a_final_answer_ends_the_watch_at_once(
    client: Client, server: Server, clock: Clock, final: Answer, raised: type[Exception]
) -> None:
    server.says(tagged('W/"1"'), final)
    jobs = client.watch("J")
    next(jobs)
    with pytest.raises(raised):
        next(jobs)
    assert clock.sleeps == [0]


def test_the_back_off_doubles_with_full_jitter(client: Client, server: Server, clock: Clock) -> None:
    server.says(*[NO_ANSWER] * 7, done())
    list(client.watch("J"))
    assert clock.sleeps == [0.25, 0.5, 1, 2, 4, 5, 5]
    assert clock.jitters == [(0, most) for most in clock.sleeps]


def test_the_back_off_is_no_shorter_than_retry_after(client: Client, server: Server, clock: Clock) -> None:
    unavailable = [error(503, "STORE_UNAVAILABLE", {"Retry-After": text}) for text in ("4", "3600", "soon")]
    server.says(*unavailable, done())
    list(client.watch("J"))
    assert clock.sleeps == [4.25, 30.5, 1]


def test_the_back_off_starts_anew_after_a_usable_answer(client: Client, server: Server, clock: Clock) -> None:
    server.says(page(502), page(502), ok(), page(502), done())
    list(client.watch("J"))
    assert clock.sleeps == [0.25, 0.5, 2, 0.25]


def test_the_first_poll_after_trouble_does_not_wait(client: Client, server: Server, clock: Clock) -> None:
    server.says(tagged('"1"'), page(504), unchanged('"1"', Retry_After="3"), held('"1"'), done())
    list(client.watch("J"))
    assert server.asked("prefer") == [None, "wait=30", None, "wait=30", "wait=30"]
    assert server.asked("if-none-match") == [None, '"1"', '"1"', '"1"', '"1"']
    assert clock.sleeps == [0, 0.25, 3, 0]


def test_watch_gives_up_after_give_up_s_and_names_the_last_trouble(server: Server, clock: Clock) -> None:
    server.says(*[page(502)] * 4, error(503, "STORE_UNAVAILABLE"))
    with Client(server.url, KEY, give_up_s=3) as client, pytest.raises(ServiceUnavailable) as caught:
        list(client.watch("J"))
    assert "503 STORE_UNAVAILABLE: 'because'; nothing better for 3 s" in str(caught.value)
    assert clock.sleeps == [0.25, 0.5, 1, 1.25]
    assert type(caught.value) is ServiceUnavailable


def test_watch_gives_up_on_a_missing_server_after_a_minute(nowhere: str, clock: Clock) -> None:
    with Client(nowhere, KEY) as client, pytest.raises(ServiceUnavailable, match="ConnectionRefused"):
        list(client.watch("J"))
    assert sum(clock.sleeps) == 60


def test_watch_with_give_up_s_0_gives_up_at_once(nowhere: str, clock: Clock) -> None:
    with Client(nowhere, KEY, give_up_s=0) as client, pytest.raises(ServiceUnavailable):
        list(client.watch("J"))
    assert clock.sleeps == []


def test_trouble_counts_from_the_moment_of_the_request(server: Server, clock: Clock) -> None:
    server.says(Answer(b"", cut=True, held_s=3))
    with Client(server.url, KEY, give_up_s=3) as client, pytest.raises(ServiceUnavailable):
        list(client.watch("J"))
    assert clock.sleeps == []


def test_the_time_of_a_wait_that_fails_late_is_no_trouble(server: Server, clock: Clock) -> None:
    late = Answer(page(504).raw, held_s=29)
    server.says(tagged('"1"'), late, done())
    with Client(server.url, KEY, give_up_s=3) as client:
        assert [job.status for job in client.watch("J")] == ["running", "completed"]


def test_a_wait_that_fails_early_is_trouble_from_then_on(server: Server, clock: Clock) -> None:
    server.says(tagged('"1"'), *[page(502)] * 5)
    with Client(server.url, KEY, give_up_s=3) as client, pytest.raises(ServiceUnavailable):
        list(client.watch("J"))
    assert sum(clock.sleeps) == 3


def test_give_up_s_starts_anew_with_each_usable_answer(server: Server, clock: Clock) -> None:
    server.says(*[answer for _ in range(5) for answer in (page(502), page(502), ok())], done())
    with Client(server.url, KEY, give_up_s=1) as client:
        list(client.watch("J"))
    assert sum(clock.sleeps) > 10
