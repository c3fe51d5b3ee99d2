"""Webhooks in trouble: ids that are used again, a store that refuses, metadata beyond UTF-8, replays, crowds."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
import redis

from batchstatus import JobStore, StoreUnavailable, reaper
from batchstatus.jobs import looks
from batchstatus.model.keys import BUCKETS, Entry
from batchstatus.model.kinds import PUBLISHED, Kinds
from batchstatus.settings import StoreSettings
from batchstatus.webhooks import dispatcher as dispatching
from batchstatus.webhooks.notices import KEPT_MS, Notices, Schedule
from tests.support.notified import KIND, ORG, Notified
from tests.support.own_kinds import PRODUCTS
from tests.support.sdk import store_ms
from tests.support.waiting import wait_until

SETTINGS = StoreSettings(lease_s=0.2, grace_s=0.05, retention_s=60)


@pytest.fixture
def store(client: "redis.Redis") -> JobStore:
    return JobStore(client, SETTINGS)


@pytest.fixture
def notified(store: JobStore) -> Notified:
    return Notified(store)


def expired(notified: Notified, client: "redis.Redis", job_id: str) -> None:
    """Have the job's hash go, as when its retention is over; its notices are kept for longer."""
    client.delete(notified.store.connection.keys.job(ORG, job_id).job)


def test_a_job_under_the_id_of_one_that_has_expired_is_told_too(notified: Notified, client: "redis.Redis") -> None:
    notified.endpoint()
    notified.completed(job_id="weekly")
    notified.send()
    expired(notified, client, "weekly")
    notified.completed(job_id="weekly")
    notified.send()
    assert len({*notified.receiver.ids}) == len(notified.receiver.requests) == 2


def test_the_last_try_for_an_earlier_job_under_the_id_says_nothing_of_the_new_ones(
    notified: Notified, client: "redis.Redis"
) -> None:
    _, endpoint = notified.endpoint()
    notices = Notices(notified.store.connection)
    notified.completed(job_id="weekly")
    notified.reaper.reap()
    late: Any = notices.begin(ORG, "weekly", endpoint, "late", 60_000)
    expired(notified, client, "weekly")
    notified.completed(job_id="weekly")
    notified.reaper.reap()
    notices.end(ORG, "weekly", endpoint, late, "delivered", 0, "HTTP 200")
    notified.send()
    (sent,) = notified.receiver.ids
    assert sent != late.message_id


def test_a_delivery_from_before_a_replay_does_not_count_as_the_replay(notified: Notified) -> None:
    _, endpoint = notified.endpoint()
    notices = Notices(notified.store.connection)
    job = notified.completed()
    notified.reaper.reap()
    before: Any = notices.begin(ORG, job.job_id, endpoint, "before", 60_000)
    notices.replay(ORG, job.job_id)
    notices.end(ORG, job.job_id, endpoint, before, "delivered", 0, "HTTP 200")
    notified.send()
    assert notified.receiver.ids == [before.message_id]


def test_a_replay_is_not_lost_while_a_dispatcher_is_frozen_at_the_end_of_a_look(
    notified: Notified, monkeypatch: pytest.MonkeyPatch
) -> None:
    notified.endpoint()
    job = notified.completed()
    notified.send()
    notices = Notices(notified.store.connection)
    thawed, looked = threading.Event(), Schedule.looked

    def frozen(self: Schedule, entry: Entry, asked_ms: int, next_ms: int | None) -> None:
        notices.replay(ORG, job.job_id)
        thawed.wait(0.05)  # nobody sets it: the store's clock is to go on
        looked(self, entry, asked_ms, next_ms)

    notices.schedule.ask(notified.store.connection.keys.notices_entry(ORG, job.job_id))
    with monkeypatch.context() as patch:
        patch.setattr(Schedule, "looked", frozen)
        notified.dispatcher.dispatch()
    notified.send_until(2)


def test_half_a_surrogate_pair_in_metadata_is_sent_as_json_has_it_and_stops_no_reaper(
    notified: Notified, client: "redis.Redis"
) -> None:
    secret, _ = notified.endpoint()
    job_id = notified.store.create(ORG, KIND).job_id
    # As a worker in another language may write it.
    client.hset(notified.store.connection.keys.job(ORG, job_id).job, "metadata", r'{"fileName":"\ud800.csv"}')
    notified.store.control(ORG, job_id, "cancel")
    notified.send()
    (request,) = notified.receiver.requests
    assert request.verified(secret)["data"]["metadata"] == {"fileName": "\ud800.csv"}


def test_ends_that_cannot_be_noted_keep_the_reaper_from_no_dead_worker(
    notified: Notified, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(looks, "SLICE", 1)
    notified.endpoint()
    told = 3 * 16  # some in each bucket of the index
    for _ in range(told):
        notified.store.control(ORG, notified.store.create(ORG, KIND).job_id, "cancel")
    dead = notified.store.create(ORG, KIND).job_id
    notified.store.steps(ORG, dead).claim("token", 1)

    def settled() -> int:
        with suppress(StoreUnavailable):
            notified.reaper.reap()
        return notified.reaper.settled

    with monkeypatch.context() as patch:
        patch.setattr(Notices, "note", _refused)
        with pytest.raises(StoreUnavailable, match="refused"):
            notified.reaper.reap()
        wait_until(settled, 20)
    notified.send_until(told + 1)
    assert len({*notified.receiver.ids}) == told + 1


def _refused(*_: object) -> None:
    raise StoreUnavailable("refused")


def test_a_round_of_the_reaper_notes_ends_for_so_long_at_most_and_the_others_in_later_rounds(
    notified: Notified, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reaper, "NOTE_LATER_MS", 1)
    hurried = reaper.Reaper(notified.store, notes_s=0)
    notified.endpoint()
    job_id = notified.completed().job_id
    dead = notified.store.create(ORG, KIND).job_id
    notified.store.steps(ORG, dead).claim("token", 1)
    wait_until(hurried.reap)
    notices = Notices(notified.store.connection)
    assert notices.deliveries(ORG) == []
    notified.send_until(2)
    assert {each.job_id for each in notices.deliveries(ORG)} == {job_id, dead}


def test_the_more_notices_find_an_endpoint_busy_the_longer_they_are_left(
    notified: Notified, client: "redis.Redis", monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dispatching, "APART_MS", 1_000)
    _, endpoint = notified.endpoint("https://slow.example.com")
    hanging = notified.receiver.hanging[endpoint.url] = threading.Event()
    many = 10
    for _ in range(many):
        notified.completed()
    notified.reaper.reap()
    notified.dispatcher.dispatch()
    try:
        keys = notified.store.connection.keys
        looks: list[float] = []
        for each in range(16):
            looks += [at for _, at in client.zrange(keys.notices(each), 0, -1, withscores=True)]
        waiting = sorted(looks)[: many - dispatching.MOST_OF_ENDPOINT]
        assert waiting[-1] - waiting[0] > 4_000  # five times a second, but for the time that the looks took
    finally:
        hanging.set()
    wait_until(lambda: not notified.dispatcher.under_way())


def test_a_reaper_that_does_not_know_a_kind_leaves_its_ends_and_the_turn_to_one_that_does(
    client: "redis.Redis", monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(reaper, "NOTE_LATER_MS", 50)
    new, old = (
        JobStore(client, replace(SETTINGS, lease_s=30, kinds=each)) for each in (Kinds([PRODUCTS]), PUBLISHED)
    )
    notified = Notified(new)
    notified.endpoint()
    turn, _ = new.connection.keys.turns()
    with reaping(old):
        wait_until(lambda: client.exists(turn))
        job_id = new.create(ORG, PRODUCTS.name).job_id
        new.control(ORG, job_id, "cancel")
        wait_until(lambda: not client.exists(turn))
        assert caplog.text.count("kind 'product_import' is not declared here") == 1
        with reaping(new):
            wait_until(lambda: notified.notices.deliveries(ORG, job_id=job_id))


@contextmanager
def reaping(store: JobStore) -> Iterator[None]:
    found = reaper.Reaper(store)
    found.start()
    try:
        yield
    finally:
        found.stop()


def test_looks_that_no_dispatcher_takes_are_forgotten_once_their_notices_are_gone(
    notified: Notified, client: "redis.Redis"
) -> None:
    keys = notified.store.connection.keys
    notified.endpoint()
    old, new = notified.completed().job_id, notified.completed().job_id
    notified.reaper.reap()
    entry, kept = keys.notices_entry(ORG, old), keys.notices_entry(ORG, new)
    long_ago_ms = store_ms(client) - SETTINGS.retention_ms - KEPT_MS
    client.zadd(entry.key, {entry.member: long_ago_ms - 1})
    client.zadd(kept.key, {kept.member: long_ago_ms + 60_000})
    for _ in range(BUCKETS):
        notified.reaper.sweep()
    assert client.zscore(*entry) is None
    assert client.zscore(*kept) == long_ago_ms + 60_000


def test_where_clocks_may_differ_an_endpoint_hears_also_of_an_end_just_before_it_was_added(
    notified: Notified, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = notified.completed()
    assert job.completed_at
    _, endpoint = notified.endpoint()
    before = replace(job, completed_at=endpoint.created_at - timedelta(seconds=1))
    assert not endpoint.wants(before)
    monkeypatch.setattr(type(notified.store.connection), "has_many_servers", lambda _: True)
    _, endpoint = notified.endpoint()
    assert endpoint.wants(before)
