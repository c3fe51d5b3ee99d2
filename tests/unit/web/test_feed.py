"""The feed of events, without a store: which news a listener is given."""

import threading
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from batchstatus.model import Job, Status
from batchstatus.web.live.feed import Feed, Listener

ORG, KIND = "org_acme", "transaction_batch"
CREATED_AT = datetime(2026, 11, 29, tzinfo=UTC)


class StillTicks:
    """Ticks that look at nothing: the test tells of changes."""

    entering = nullcontext()

    def join(self, audience: Any) -> None:
        """The feed is the only audience."""

    def has_room(self) -> bool:
        return True

    def start(self) -> bool:
        return True


def job(number: int) -> Job:
    times = (None, None, None, CREATED_AT + timedelta(seconds=number))
    return Job(f"job-{number}", KIND, Status.QUEUED, None, 0, 0, 0, *times, None)


@pytest.fixture
def feed() -> Feed:
    ticks: Any = StillTicks()
    return Feed(ticks, lambda listeners: None)


def told(feed: Feed, listener: Listener) -> list[str]:
    return [
        (each.text or b"").decode().partition('"jobId":"')[2].partition('"')[0] for each in feed.news(listener)
    ]


def test_a_listener_is_sent_what_was_told_between_its_first_look_and_its_first_event(feed: Feed) -> None:
    earlier = Listener(ORG, None, "", feed.last)
    with feed.listening(earlier, [job(1)]):
        number, newest = feed.last, [job(1)]  # the look of a second listener
        with feed.listening(Listener(ORG, None, "", feed.last), [job(2)]):  # job-2 comes, and is told
            pass
        later = Listener(ORG, None, "", number)
        with feed.listening(later, newest):
            assert told(feed, later) == ["job-1", "job-2"]
            assert told(feed, later) == []


def test_a_listener_is_not_sent_what_was_told_before_it_looked_and_is_not_among_the_newest(feed: Feed) -> None:
    with feed.listening(Listener(ORG, None, "", 0), [job(1), job(2)]):
        later = Listener(ORG, None, "", feed.last)
        with feed.listening(later, [job(2)]):
            assert told(feed, later) == ["job-2"]


def test_a_listener_is_not_sent_the_tag_that_it_says_it_knows(feed: Feed) -> None:
    with feed.listening(first := Listener(ORG, "job-1", "", 0), [job(1)]):
        (news,) = feed.news(first)
        with feed.listening(again := Listener(ORG, "job-1", news.tag, 0), [job(1)]):
            assert feed.news(again) == []
    assert isinstance(first.woken, threading.Event)
