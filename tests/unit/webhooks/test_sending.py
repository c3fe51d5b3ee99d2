"""What comes of a try: the receiver's answer, and how long it wants to be left alone."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchstatus.webhooks import sending
from batchstatus.webhooks.sending import Answer
from tests.support.receivers import SMALL_BUFFER, answers, drips, floods, receiver, refuses_unread, says
from tests.unit.webhooks.posting import LARGE, outcome, post


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
def test_a_2xx_is_delivered(status: int) -> None:
    answer = outcome(answers(status))
    assert answer == Answer(status, f"HTTP {status}")
    assert (answer.delivered, answer.gone) == (True, False)


@pytest.mark.parametrize("status", [400, 404, 429, 500, 503, 999])
def test_any_other_status_is_not_delivered(status: int) -> None:
    answer = outcome(answers(status))
    assert answer == Answer(status, f"HTTP {status}")
    assert (answer.delivered, answer.gone) == (False, False)


def test_a_410_means_that_the_receiver_is_gone() -> None:
    answer = outcome(answers(410))
    assert (answer.status, answer.delivered, answer.gone) == (410, False, True)


def test_a_redirect_is_an_answer_and_its_location_is_never_asked() -> None:
    with receiver(answers(200)) as elsewhere:
        answer = outcome(answers(302, f"Location: {elsewhere.url}"))
        assert elsewhere.connections == 0
    assert answer == Answer(302, "HTTP 302, a redirect, which is not followed")
    assert not answer.delivered


def test_a_receiver_may_take_its_time_within_the_limit() -> None:
    assert outcome(answers(200, after_s=0.3)).delivered


def test_an_answer_may_come_in_pieces() -> None:
    assert outcome(drips(b"HTTP/1.1 204 No Content\r\n\r\n")) == Answer(204, "HTTP 204")


def test_answers_that_only_announce_the_answer_are_passed_over() -> None:
    announced = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
    assert outcome(says(announced, b"HTTP/1.1 204 No Content\r\n\r\n")) == Answer(204, "HTTP 204")
    assert outcome(says(announced)).status is None


@pytest.mark.parametrize(
    "head", [b"HTTP/1.0 200\r\n\r\n", b"HTTP/1.1 200 OK\n\n", b"HTTP/1.1 200 \r\nA: b\r\n\r\n"]
)
def test_a_plain_or_old_head_is_understood(head: bytes) -> None:
    assert outcome(says(head)) == Answer(200, "HTTP 200")


def test_of_a_huge_body_no_more_than_the_start_is_read() -> None:
    assert outcome(floods(b"HTTP/1.1 200 OK\r\n\r\n", bytes(65_536))).delivered


def test_an_answer_counts_though_the_request_was_not_read() -> None:
    with receiver(refuses_unread, buffer=SMALL_BUFFER) as r:
        assert post(r, LARGE).gone


# Retry-After


def test_retry_after_is_read_as_seconds() -> None:
    assert outcome(answers(429, "Retry-After: 7")) == Answer(429, "HTTP 429", 7.0)
    assert outcome(answers(503, "RETRY-AFTER:\t7 ", "Retry-After: 9")).retry_after_s == 7.0


@pytest.mark.parametrize("zone", ["GMT", "", "+0100"])
def test_retry_after_is_read_as_a_date(zone: str) -> None:
    until = datetime.now(UTC) + timedelta(minutes=10, hours=1 if zone == "+0100" else 0)
    text = format_datetime(until).removesuffix("+0000") + zone
    found = outcome(answers(429, f"Retry-After: {text}")).retry_after_s
    assert found is not None
    assert 500 < found <= 600


@pytest.mark.parametrize("text", ["9999999", "9" * 5000, "Fri, 31 Dec 9999 23:59:59 GMT"])
def test_nobody_may_put_off_a_notice_for_more_than_a_day(text: str) -> None:
    assert outcome(answers(429, f"Retry-After: {text}")).retry_after_s == 86_400


@pytest.mark.parametrize(
    "text", ["", "0", "-7", "7.5", "soon", "7 s", "\xb2", "inf", "nan", "Sun, 29 Nov 2020 12:00:00 GMT"]
)
def test_a_retry_after_without_sense_is_ignored(text: str) -> None:
    assert outcome(says(f"HTTP/1.1 429 No\r\nRetry-After: {text}\r\n\r\n".encode("latin-1"))) == Answer(
        429, "HTTP 429"
    )


@given(st.binary(max_size=60))
def test_no_retry_after_does_harm(text: bytes) -> None:
    found = sending._retry_after_s(b"HTTP/1.1 429 No\r\nRetry-After: " + text + b"\r\n\r\n")
    assert found is None or 0 < found <= 86_400
