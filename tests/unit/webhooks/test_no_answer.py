"""A try without a usable answer ends in time, and says why."""

import pytest

from batchstatus.webhooks.sending import Answer
from tests.support.receivers import (
    HOST,
    SMALL_BUFFER,
    Behaviour,
    accepting_nobody,
    answers,
    closes_at_once,
    drips,
    floods,
    hangs,
    reads_nothing,
    receiver,
    says,
)
from tests.unit.webhooks.posting import IN_TIME, LARGE, outcome, post, post_briefly


@pytest.mark.parametrize(
    "behaviour",
    [
        pytest.param(reads_nothing, id="reads nothing"),
        pytest.param(hangs(), id="hangs after the request"),
        pytest.param(hangs(b"HTTP/1.1 200 OK\r\nContent-Le"), id="hangs in the middle of the head"),
        pytest.param(hangs(b"HTTP/1.1 200"), id="hangs in the middle of the status"),
        pytest.param(hangs(b"HTTP/1.1 100 Continue\r\n\r\n"), id="hangs after 100"),
        pytest.param(drips(b"HTTP/1.1 200 OK\r\nX-Drip: " + b"a" * 1000), id="drips"),
    ],
)
def test_whoever_gives_no_answer_is_left_in_time(behaviour: Behaviour) -> None:
    with receiver(behaviour) as r:
        assert post_briefly(r.url) == Answer(None, IN_TIME)


def test_whoever_never_reads_a_large_request_is_left_in_time() -> None:
    with receiver(reads_nothing, buffer=SMALL_BUFFER) as r:
        assert post_briefly(r.url, LARGE) == Answer(None, IN_TIME)


def test_whoever_never_accepts_is_left_in_time() -> None:
    with accepting_nobody() as port:
        assert post_briefly(f"http://{HOST}:{port}/") == Answer(None, IN_TIME)


@pytest.mark.parametrize(
    ("start", "again"),
    [
        (b"HTTP/1.1 200 OK\r\n", b"X-More: of the same\r\n"),
        (b"HTTP/1.1 200 OK\r\nX-Long: ", b"a" * 1000),
        (b"", b"a" * 1000),
        (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    ],
    ids=["headers", "one header", "one line", "announcements"],
)
def test_an_endless_head_is_read_to_its_limit(start: bytes, again: bytes) -> None:
    assert outcome(floods(start, again)) == Answer(None, "the head of the answer has more than 16,384 bytes")


@pytest.mark.parametrize(
    "garbage",
    [
        *(b"SSH-2.0-OpenSSH_9.2\r\n", b"\r\n\r\n", b"\x00\xff\n", b"<html>\n", b"ICY 200 OK\r\n\r\n"),
        *(b"HTTP/1.1 OK\r\n\r\n", b"HTTP/1.1 020 OK\r\n\r\n", b"HTTP/1.1 2000\r\n\r\n", b"HTTP/2 200\r\n\r\n"),
    ],
)
def test_what_is_not_http_is_no_answer_though_the_connection_stays_open(garbage: bytes) -> None:
    assert outcome(hangs(garbage)) == Answer(None, "the answer is not HTTP")


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        (b"", "closed the connection without an answer"),
        (b"HTTP/1.1 200 OK\r\n", "closed the connection in the middle of an answer"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n", "closed the connection in the middle of an answer"),
    ],
)
def test_an_answer_that_is_cut_short_is_none(said: bytes, reason: str) -> None:
    assert outcome(says(said)) == Answer(None, reason)


def test_a_receiver_that_closes_without_reading_gives_no_answer() -> None:
    answer = outcome(closes_at_once)
    assert (answer.status, answer.delivered) == (None, False)
    assert answer.reason in (
        "the connection failed: Connection reset by peer",
        "closed the connection without an answer",
    )


def test_a_receiver_that_is_down_is_a_failed_connection() -> None:
    with receiver(answers(200)) as r:
        pass
    assert post(r) == Answer(None, "the connection failed: Connection refused")
