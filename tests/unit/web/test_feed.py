"""The feed of events, without a store: which news a listener is given."""

import math
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, nullcontext
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from batchstatus.model.errors import StoreUnavailable
from batchstatus.model.job import Job, Status
from batchstatus.model.messages import Seen
from batchstatus.web.live import feed as module
from batchstatus.web.live.feed import AT_ONCE, Feed
from batchstatus.web.live.listeners import Listener

ORG, KIND = "org_acme", "transaction_batch"
CREATED_AT = datetime(2026, 11, 29, tzinfo=UTC)


class StillTicks:
    """Ticks that look at nothing: the test tells of changes, and `reads` are the jobs that are read then."""

    entering = nullcontext()

    def __init__(self) -> None:
        self.reads: dict[str, Job] = {}
        self.store = SimpleNamespace(reader=self, newest=lambda *_: [[*self.reads]])

    def read_each(self, jobs: Any) -> list[Job]:
        return [self.reads[job_id] for _, job_id in jobs]

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
def ticks() -> Any:
    return StillTicks()


@pytest.fixture
def feed(ticks: Any) -> Feed:
    return Feed(ticks, lambda listeners: None)


def changed(feed: Feed, ticks: Any, *numbers: int) -> None:
    """Have the feed look, and find that these jobs, which nobody has read a moment ago, are running now."""
    ticks.reads |= {each.job_id: each for each in map(running, numbers)}
    wanted = [*feed.wanted()]
    seen = {job_id: Seen("running", 1, ticks.reads[job_id].created_ms) for _, job_id in wanted}
    feed.tell({(org, job_id): seen[job_id] for org, job_id in wanted if job_id in map("job-{}".format, numbers)})


def woken_by_newcomers(feed: Feed, *listeners: Listener) -> None:
    """Have the feed wake those who hear of what newcomers have read, once."""
    feed.tell({})
    for each in listeners:
        each.woken.clear()


def running(number: int) -> Job:
    return replace(job(number), status=Status.RUNNING, rev=1)


@pytest.fixture
def listening(feed: Feed, ticks: Any) -> Iterator[Callable[..., Listener]]:
    with ExitStack() as ending:

        def listen(job_id: str | None, *jobs: Job) -> Listener:
            ticks.reads |= {each.job_id: each for each in jobs}
            listener = Listener(ORG, job_id, "", feed.last)
            ending.enter_context(feed.listening(listener, jobs))
            told(feed, listener)
            listener.due_at = math.inf
            return listener

        yield listen


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


def test_a_change_wakes_those_who_listen_to_the_job_or_its_organization_and_nobody_else(
    feed: Feed, ticks: Any, listening: Callable[..., Listener]
) -> None:
    one, two = (listening(f"job-{number}", job(number)) for number in (1, 2))
    all_jobs = listening(None, job(1), job(2))
    woken_by_newcomers(feed, one, two, all_jobs)
    changed(feed, ticks, 1)
    assert [each.woken.is_set() for each in (one, two, all_jobs)] == [True, False, True]
    assert (told(feed, one), told(feed, two), told(feed, all_jobs)) == (["job-1"], [], ["job-1"])


def test_who_is_due_is_woken_whether_or_not_anything_has_changed(
    feed: Feed, listening: Callable[..., Listener]
) -> None:
    due, other = listening("job-1", job(1)), listening("job-2", job(2))
    woken_by_newcomers(feed, due, other)
    due.due_at = 0.0
    feed.tell({})
    assert (due.woken.is_set(), other.woken.is_set()) == (True, False)


def test_what_was_rendered_before_the_store_went_away_is_told(
    feed: Feed, ticks: Any, listening: Callable[..., Listener]
) -> None:
    jobs = [job(number) for number in range(AT_ONCE + 1)]
    all_jobs, first = listening(None, *jobs), listening("job-0", jobs[0])
    read = ticks.read_each

    def once(some: Any) -> Any:
        ticks.read_each = away
        return read(some)

    def away(_: Any) -> Any:
        raise StoreUnavailable("away")

    ticks.read_each = once
    with pytest.raises(StoreUnavailable):
        changed(feed, ticks, *range(AT_ONCE + 1))
    assert all_jobs.woken.is_set()
    assert first.woken.is_set()
    assert len(told(feed, all_jobs)) == AT_ONCE


def test_a_job_is_looked_at_as_long_as_anybody_listens_to_it(feed: Feed, ticks: Any) -> None:
    ticks.reads["job-3"] = job(3)
    with feed.listening(Listener(ORG, "job-1", "", 0), [job(1)]):
        with feed.listening(Listener(ORG, "job-1", "", 0), [job(1)]):
            with feed.listening(Listener(ORG, "job-2", "", 0), [job(2)]):
                assert {*feed.wanted()} == {(ORG, "job-1"), (ORG, "job-2")}
            assert [*feed.wanted()] == [(ORG, "job-1")]
        assert [*feed.wanted()] == [(ORG, "job-1")]
        with feed.listening(Listener(ORG, None, "", 0), []):
            assert {*feed.wanted()} == {(ORG, "job-1"), (ORG, "job-3")}
        assert [*feed.wanted()] == [(ORG, "job-1")]
    assert [*feed.wanted()] == []


def test_what_a_newcomer_has_read_is_told_to_those_who_listen_already(
    feed: Feed, listening: Callable[..., Listener]
) -> None:
    one, other, all_jobs = listening("job-1", job(1)), listening("job-2", job(2)), listening(None, job(1))
    woken_by_newcomers(feed, one, other, all_jobs)
    listening("job-1", running(1))  # the newcomer was the first to see the change
    feed.tell({})
    assert [each.woken.is_set() for each in (one, other, all_jobs)] == [True, False, True]
    assert (told(feed, one), told(feed, all_jobs)) == (["job-1"], ["job-1"])


def test_who_comes_while_the_members_of_others_are_sought_keeps_its_own(
    feed: Feed, ticks: Any, listening: Callable[..., Listener]
) -> None:
    listening(None, job(1))
    newest, of_other = ticks.store.newest, Listener("org_other", None, "", 0)
    with ExitStack() as ending:

        def meanwhile(*asked: Any) -> Any:
            ticks.store.newest = newest
            ending.enter_context(feed.listening(of_other, [job(2)]))
            return newest(*asked)

        ticks.store.newest = meanwhile
        assert ("org_other", "job-2") in {*feed.wanted()}
        assert told(feed, of_other) == ["job-2"]


def test_an_end_is_told_although_a_look_failed_when_the_job_had_left_the_newest(
    feed: Feed, ticks: Any, listening: Callable[..., Listener], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MEMBERS_S", 0)  # each look is for new members too
    all_jobs = listening(None, job(1))
    feed.wanted()
    feed.tell({})
    ended = ticks.reads.pop("job-1")
    feed.wanted()
    feed.lost()  # the look at the jobs fails
    assert [*feed.wanted()] == [(ORG, "job-1")]
    ticks.reads["job-1"] = replace(ended, status=Status.CANCELLED, rev=1)
    feed.tell({(ORG, "job-1"): Seen("cancelled", 1, ended.created_ms)})
    assert told(feed, all_jobs) == ["job-1"]


def test_a_job_that_was_read_a_moment_ago_is_not_let_go_before_a_look_at_its_end(
    feed: Feed, ticks: Any, listening: Callable[..., Listener], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MEMBERS_S", 0)
    monkeypatch.setattr(module, "LEAST_S", 3_600)
    all_jobs = listening(None, job(1))
    changed(feed, ticks, 1)
    ended = replace(ticks.reads.pop("job-1"), status=Status.CANCELLED, rev=2)
    for _ in range(3):
        assert [*feed.wanted()] == []  # not so soon after it was read
        feed.tell({})
    feed._entries[ORG, "job-1"].not_before = 0
    assert [*feed.wanted()] == [(ORG, "job-1")]
    ticks.reads["job-1"] = ended
    feed.tell({(ORG, "job-1"): Seen("cancelled", 2, ended.created_ms)})
    assert told(feed, all_jobs) == ["job-1"]


@pytest.mark.parametrize("changes", [False, True], ids=["quiet", "changing all the time"])
def test_a_job_that_newer_ones_push_out_is_let_go_after_one_more_look(
    feed: Feed, ticks: Any, listening: Callable[..., Listener], monkeypatch: pytest.MonkeyPatch, changes: bool
) -> None:
    monkeypatch.setattr(module, "MEMBERS_S", 0)
    monkeypatch.setattr(module, "LEAST_S", 0)
    listening(None, job(1))
    for look in range(2):
        assert [*feed.wanted()] == [(ORG, "job-1")]
        ticks.reads["job-1"] = replace(job(1), rev=look if changes else 0)
        feed.tell({(ORG, "job-1"): Seen("queued", look if changes else 0, job(1).created_ms)})
        ticks.store.newest = lambda *_: [[]]
    assert [*feed.wanted()] == []
