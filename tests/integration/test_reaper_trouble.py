"""The reaper in trouble: damaged jobs, servers that do not answer, and a thread that goes on."""

import logging
import threading
from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

import pytest
import redis

from batchstatus import JobStore, Status, StoreRefused, StoreUnavailable, reaper
from batchstatus.jobs.looks import Leases
from batchstatus.model.keys import BUCKETS, Entry
from batchstatus.reaper import Reaper
from batchstatus.transport.connection import Connection
from tests.support.reaping import KEYS, ORG, SETTINGS, claimed, entry, field, store_ms, stored
from tests.support.waiting import wait_until


class PartlyAway:
    """A client that gets no answer to the commands that `away` picks."""

    def __init__(self, client: "redis.Redis") -> None:
        self.client = client
        self.away: Callable[[str], bool] = lambda _: False

    def execute_command(self, *words: Any) -> Any:
        if self.away(" ".join(map(str, words))):
            raise redis.ConnectionError("connection refused")
        return self.client.execute_command(*words)

    def pipeline(self, **options: Any) -> Any:
        return self.client.pipeline(**options)


@pytest.fixture
def line(client: "redis.Redis") -> PartlyAway:
    return PartlyAway(client)


@pytest.fixture
def store(line: PartlyAway) -> JobStore:
    return JobStore(line, SETTINGS)  # type: ignore[arg-type]


@pytest.fixture
def ids() -> Iterator[str]:
    """Ids of jobs that share the first bucket of the index."""
    numbered = (f"J{number}" for number in count())
    return (each for each in numbered if KEYS.lease_entry(ORG, each).key == KEYS.leases(0))


def settle(store: JobStore) -> None:
    """Look until a job is settled, whatever else is wrong."""
    found = Reaper(store)

    def reap() -> int:
        try:
            return found.reap()
        except StoreUnavailable:
            return found.settled

    assert wait_until(reap) == 1


@pytest.mark.parametrize("name", ["leaseExpiresAt", "takeoverMs", "the whole"])
def test_a_damaged_job_keeps_nobody_from_the_others_and_is_looked_at_again_later(
    redis_client: "redis.Redis", ids: Iterator[str], caplog: pytest.LogCaptureFixture, name: str
) -> None:
    client, store = redis_client, JobStore(redis_client, SETTINGS)
    # Given a damaged job that is the longest overdue, and another in its bucket
    damaged = claimed(store, client, job_id=next(ids))
    other = claimed(store, client, job_id=next(ids))
    key = KEYS.job(ORG, damaged.job_id).job
    if name == "the whole":
        client.delete(key)
        client.rpush(key, "not a hash")
        client.expire(key, 60)
    else:
        client.hset(key, mapping={"suspectAt": 1, name: "soon"})  # two looks are done
    client.zadd(entry(damaged).key, {entry(damaged).member: 1})
    # When the reaper looks
    before = store_ms(client)
    settle(store)
    # Then the other is settled, and someone is told which one is damaged
    assert stored(client, other)["status"] == "interrupted"
    assert client.zscore(*entry(damaged)) >= before + SETTINGS.lease_ms
    (told,) = [each for each in caplog.records if each.levelno == logging.ERROR]
    assert damaged.job_id in told.getMessage()


@pytest.mark.parametrize("member", ["", "no-colon", "org:", "a:b:c", "org:{J}", b"\xff:J"], ids=repr)
def test_an_entry_that_names_no_job_does_neither(
    store: JobStore, client: "redis.Redis", ids: Iterator[str], member: Any
) -> None:
    job = claimed(store, client, job_id=next(ids))
    client.zadd(entry(job).key, {member: 1})
    settle(store)
    assert stored(client, job)["status"] == "interrupted"


@pytest.mark.parametrize("which", ["its bucket", "its job"])
def test_a_server_that_is_away_keeps_nobody_from_what_the_others_have(
    store: JobStore,
    client: "redis.Redis",
    line: PartlyAway,
    ids: Iterator[str],
    monkeypatch: pytest.MonkeyPatch,
    which: str,
) -> None:
    monkeypatch.setattr(Connection, "is_cluster", lambda _: True)
    monkeypatch.setattr(Connection, "server_of", lambda _, key: key)
    # Given two jobs in one bucket or in two, as they may be in a Cluster, and a server that is away
    away = claimed(store, client, job_id=next(ids))
    other = claimed(store, client, job_id=next(ids) if which == "its job" else "elsewhere")
    client.zadd(entry(away).key, {entry(away).member: 1})
    gone = KEYS.job(ORG, away.job_id).job if which == "its job" else f" {entry(away).key} "
    line.away = lambda words: gone in words
    # When the reaper looks
    settle(store)
    # Then the other is settled, and it says that it could not look at all
    assert stored(client, other)["status"] == "interrupted"
    with pytest.raises(StoreUnavailable):
        Reaper(store).reap()
    # And once the server is back, so is the one that it has
    line.away = lambda _: False
    settle(store)
    assert stored(client, away)["status"] == "interrupted"


def test_a_server_that_does_not_answer_is_asked_once_and_then_passed_over(
    store: JobStore,
    client: "redis.Redis",
    line: PartlyAway,
    ids: Iterator[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Given jobs on a server that is away, which are due first, and one on another
    there = [claimed(store, client, job_id=next(ids)) for _ in range(5)]
    for number, job in enumerate(there):
        client.zadd(entry(job).key, {entry(job).member: number})
    other = claimed(store, client, job_id=next(ids))
    tags = [entry(job).job_tag for job in there]
    monkeypatch.setattr(Connection, "is_cluster", lambda _: True)
    monkeypatch.setattr(Connection, "server_of", lambda _, key: "away" if key in tags else "here")
    asked: list[str] = []

    def away(words: str) -> bool:
        found = any(tag in words for tag in tags)
        asked.extend([words] * found)
        return found

    line.away = away
    # When the reaper looks, it asks it once, and is done with the other
    with pytest.raises(StoreUnavailable):
        Reaper(store).reap()
    assert len(asked) == 1
    settle(store)
    assert stored(client, other)["status"] == "interrupted"


def test_a_damaged_bucket_keeps_nobody_in_the_others(store: JobStore, client: "redis.Redis") -> None:
    job = claimed(store, client)
    damaged = next(each for each in map(KEYS.leases, range(BUCKETS)) if each != entry(job).key)
    client.set(damaged, "text", ex=60)
    settle(store)
    assert stored(client, job)["status"] == "interrupted"


def test_a_full_store_has_its_looks_put_off_all_the_same(store: JobStore, redis_client: "redis.Redis") -> None:
    living = Entry(KEYS.leases(0), f"{ORG}:J")
    leases = Leases(Connection(redis_client, SETTINGS))
    redis_client.zadd(living.key, {living.member: 1})
    redis_client.config_set("maxmemory", 1)
    try:
        leases.put_off(living, 60_000)
        assert redis_client.zscore(*living) > 1
        leases.move(living, 7)
        assert redis_client.zscore(*living) == 7
        with pytest.raises(StoreRefused):
            leases.track(Entry(living.key, f"{ORG}:K"), 1)
    finally:
        redis_client.config_set("maxmemory", 0)


# The thread


@pytest.fixture
def reaping(store: JobStore, monkeypatch: pytest.MonkeyPatch) -> Iterator[Reaper]:
    """A reaper that looks all the time, in its thread."""
    monkeypatch.setattr(reaper, "INTERVAL_S", 0.01)
    found = Reaper(store)
    found.start()
    yield found
    found.stop()


def threads() -> list[threading.Thread]:
    return [each for each in threading.enumerate() if each.name.startswith("batchstatus reaper")]


def test_the_thread_settles_what_is_due(store: JobStore, client: "redis.Redis", reaping: Reaper) -> None:
    jobs = [claimed(store, client) for _ in range(3)]
    wait_until(lambda: reaping.settled == len(jobs))
    assert {stored(client, job)["status"] for job in jobs} == {"interrupted"}


def test_an_outage_is_told_once_and_does_not_end_it(
    store: JobStore,
    client: "redis.Redis",
    line: PartlyAway,
    reaping: Reaper,
    caplog: pytest.LogCaptureFixture,
) -> None:
    for outages in (1, 2):
        tries: list[str] = []
        line.away = lambda words, tries=tries: not tries.append(words)  # type: ignore[misc]
        wait_until(lambda tries=tries: len(tries) > 200)  # type: ignore[misc]
        line.away = lambda _: False
        job = claimed(store, client)
        wait_until(lambda job=job: stored(client, job)["status"] == "interrupted")  # type: ignore[misc]
        told = [each.getMessage() for each in caplog.records if each.levelno >= logging.WARNING]
        assert len(told) == outages
        assert "connection refused" in told[-1]


def test_neither_does_an_error_that_nobody_thought_of(
    store: JobStore, client: "redis.Redis", reaping: Reaper, monkeypatch: pytest.MonkeyPatch
) -> None:
    raised = threading.Event()

    def work_off(_: object) -> None:
        raised.set()
        raise ZeroDivisionError

    with monkeypatch.context() as patched:
        patched.setattr(reaping._leases, "work_off", work_off)
        assert raised.wait(60)
    claimed(store, client)
    wait_until(lambda: reaping.settled == 1)


def test_stopping_ends_it(store: JobStore, client: "redis.Redis", reaping: Reaper) -> None:
    assert len(threads()) == 2  # one looks, the other sweeps
    reaping.stop()
    assert threads() == []
    job = claimed(store, client)
    assert reaping.reap() == 0  # it can still be asked
    assert field(client, job, "suspectAt") > 0


def test_a_reaper_that_was_never_started_can_be_stopped(store: JobStore) -> None:
    Reaper(store).stop()


def test_a_job_that_others_settle_is_not_counted(store: JobStore, client: "redis.Redis") -> None:
    job, found = claimed(store, client), Reaper(store)
    found.reap()
    wait_until(lambda: store.get(ORG, job.job_id).status is Status.INTERRUPTED)
    assert wait_until(lambda: found.reap() == 0 and not client.exists(entry(job).key))
    assert found.settled == 0
