"""Nothing is left of a job that has expired, on fakeredis and a real Valkey."""

import hashlib
import re
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import redis

from batchstatus import JobStore, Kind, Status, StoreUnavailable
from batchstatus.jobs import retention, transitions
from batchstatus.jobs.index import Index
from batchstatus.model.keys import Keys
from batchstatus.model.kinds import PUBLISHED, Kinds
from batchstatus.protocol import verbs
from batchstatus.reaper import Reaper
from batchstatus.settings import StoreSettings
from tests.support.own_kinds import PRODUCTS
from tests.support.sdk import UNHURRIED, TroubledClient, store_ms
from tests.support.waiting import wait_until

ORG = "org_acme"
SETTINGS = StoreSettings(prefix="retention", lease_s=0.2, grace_s=0.05, retention_s=0.7, **UNHURRIED)
KEYS = Keys(SETTINGS.prefix)
SOON_MS = 300


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Entries without a job are old after 0.3 s, and not after ten minutes."""
    monkeypatch.setattr(retention, "DANGLING_MS", SOON_MS)
    monkeypatch.setattr(transitions, "DANGLING_MS", SOON_MS)


@pytest.fixture
def short_lived(client: "redis.Redis") -> JobStore:
    return JobStore(client, SETTINGS)


def entries(client: "redis.Redis", job_id: str) -> list[str]:
    """The keys of all indexes that have this job."""
    found: Any = client.keys("retention:*")
    indexes = [key for key in found if client.type(key) == b"zset"]
    here = {job_id.encode(), f"{ORG}:{job_id}".encode()}
    return sorted(key.decode() for key in indexes if here & set(client.zrange(key, 0, -1)))


def test_nothing_is_left_of_expired_jobs_however_they_ended(short_lived: JobStore, client: "redis.Redis") -> None:
    for kind in Kind:
        ids = [short_lived.create(ORG, kind).job_id for _ in range(4)]
        for job_id, leaving in zip(ids, (None, ValueError("boom"), SystemExit()), strict=False):
            with suppress(ValueError, SystemExit), short_lived.run(ORG, job_id) as run:
                run.failed({"taxId": "1", "externalId": "2", "rowKey": "3", "type": "person", "code": "X1"})
                if leaving:
                    raise leaving
        short_lived.control(ORG, ids[3], "cancel")
    assert client.keys("retention:*")
    reaper = Reaper(short_lived)
    measured = short_lived.connection.keys.measured().encode()  # goes by itself
    wait_until(lambda: (reaper.reap(), Reaper(short_lived).sweep(), client.keys("retention:*") == [measured])[-1])


def test_a_job_that_lives_on_keeps_its_entry_and_is_looked_at_when_it_would_expire(
    client: "redis.Redis",
) -> None:
    store = JobStore(client, StoreSettings(prefix="retention", retention_s=3_600))
    job = store.create(ORG, Kind.TRANSACTION_BATCH)
    entry = KEYS.expiry_entry(ORG, job.job_id)
    assert client.zscore(*entry) == pytest.approx(store_ms(client) + SOON_MS, abs=SOON_MS)
    wait_until(lambda: Reaper(store).sweep() or client.zscore(*entry) > store_ms(client) + 3_000_000)
    assert store.list(ORG).jobs == (job,)


def test_a_job_that_nobody_starts_is_cancelled_after_queued_at_most_s(client: "redis.Redis") -> None:
    store = JobStore(client, StoreSettings(prefix="retention", queued_at_most_s=1.5))
    started, waiting = (store.create(ORG, "transaction_batch", takeover_s=60).job_id for _ in range(2))
    with suppress(SystemExit), store.run(ORG, started):
        raise SystemExit
    reaper = Reaper(store)
    wait_until(lambda: reaper.sweep() or store.get(ORG, waiting).terminal)
    job = store.get(ORG, waiting)
    assert job.status == "cancelled"
    assert job.completed_at
    assert (job.completed_at - job.created_at).total_seconds() >= 1.5
    assert store.get(ORG, started).status == "running"  # it was started once, and awaits another worker
    assert [each.job_id for each in store.list(ORG, statuses=["cancelled"]).jobs] == [waiting]


def test_a_job_that_is_claimed_as_its_time_is_up_goes_on(
    client: "redis.Redis", monkeypatch: pytest.MonkeyPatch
) -> None:
    store = JobStore(client, StoreSettings(prefix="retention", queued_at_most_s=0.001))
    job = store.create(ORG, "transaction_batch")
    client.zadd(KEYS.expiry_entry(ORG, job.job_id).key, {KEYS.expiry_entry(ORG, job.job_id).member: 0})
    run, clock_ms = store.run(ORG, job.job_id), store.connection.clock_ms

    def claimed_meanwhile(*key: str) -> float:
        monkeypatch.undo()  # once
        run.__enter__()
        return clock_ms(*key) + 1_000

    monkeypatch.setattr(type(store.connection), "clock_ms", lambda _, *key: claimed_meanwhile(*key))
    Reaper(store).sweep()
    assert store.get(ORG, job.job_id).state == "running"
    run.__exit__(None, None, None)
    assert store.get(ORG, job.job_id).status == "completed"


def test_a_queued_job_stays_without_the_setting_and_while_it_is_young(client: "redis.Redis") -> None:
    for setting in (0.0, 3_600.0):
        store = JobStore(client, StoreSettings(prefix="retention", queued_at_most_s=setting))
        job = store.create(ORG, "transaction_batch")
        entry = KEYS.expiry_entry(ORG, job.job_id)
        wait_until(lambda: Reaper(store).sweep() or client.zscore(*entry) > store_ms(client) + 3_000_000)  # noqa: B023
        left_ms = client.zscore(*entry) - store_ms(client)
        assert left_ms > 3_600_001 if setting == 0 else left_ms <= 3_600_000
        assert store.get(ORG, job.job_id).status == "queued"


def test_an_entry_whose_job_was_never_made_is_removed_but_not_while_the_job_may_be_on_its_way(
    short_lived: JobStore, client: "redis.Redis"
) -> None:
    entry, index = KEYS.expiry_entry(ORG, "never"), KEYS.index(ORG, Kind.TRANSACTION_BATCH, Status.QUEUED)
    client.zadd(entry.key, {entry.member: 0})
    client.zadd(index, {"never": store_ms(client) + 60_000})
    Reaper(short_lived).sweep()
    assert entries(client, "never") == [entry.key, index]
    assert client.zscore(*entry) > store_ms(client)
    client.zadd(entry.key, {entry.member: 0})
    client.zadd(index, {"never": store_ms(client) - SOON_MS})
    Reaper(short_lived).sweep()
    assert entries(client, "never") == []


def test_entries_of_a_kind_that_is_no_longer_declared_stay_until_their_keys_are_deleted(
    client: "redis.Redis",
) -> None:
    before, after = (JobStore(client, replace(SETTINGS, kinds=each)) for each in (Kinds([PRODUCTS]), PUBLISHED))
    for org in (ORG, "acme.com"):
        with before.run(org, before.create(org, PRODUCTS.name, job_id="mine").job_id):
            pass
    reaper = Reaper(after)
    wait_until(lambda: (reaper.reap(), reaper.sweep(), not client.keys("retention:[el]*:{[0-9]*"))[-1])
    left = [KEYS.index(org, PRODUCTS.name, Status.COMPLETED).encode() for org in (ORG, "acme.com")]
    found: Any = client.keys("retention:index:*")
    assert sorted(found) == sorted(left)
    assert after.list(ORG).jobs == before.list(ORG).jobs == ()
    # The remedy, as documented
    page = (Path(__file__).parents[2] / "docs" / "kinds.md").read_text()
    (pattern,) = re.findall(r"--pattern 'batchstatus:([^']*)'", page)
    client.delete(*client.scan_iter(f"retention:{pattern}"))
    assert client.keys("retention:*") in ([], [KEYS.measured().encode()])


def test_what_a_crash_between_two_writes_has_left_is_put_right(client: "redis.Redis") -> None:
    store = JobStore(client, StoreSettings(prefix="retention"))
    job = store.create(ORG, Kind.TRANSACTION_BATCH)
    with store.run(ORG, job.job_id):
        pass
    completed = KEYS.index(ORG, job.kind, Status.COMPLETED)
    client.zadd(KEYS.index(ORG, job.kind, Status.RUNNING), {job.job_id: job.created_ms})
    client.zrem(completed, job.job_id)
    wait_until(lambda: Reaper(store).sweep() or client.zscore(completed, job.job_id))
    index = [key for key in entries(client, job.job_id) if ":index:" in key]
    assert index == [completed]
    assert client.zscore(completed, job.job_id) == job.created_ms


def test_an_entry_that_cannot_be_worked_off_does_not_keep_the_others_of_its_bucket(client: "redis.Redis") -> None:
    troubled = TroubledClient(client)
    store = JobStore(troubled, SETTINGS)  # type: ignore[arg-type]
    job = store.create(ORG, Kind.TRANSACTION_BATCH)
    first = KEYS.expiry_entry(ORG, job.job_id)
    client.zadd(first.key, {first.member: 0, **{f"{ORG}:gone-{number}": 1 for number in range(5)}})
    place = verbs.PLACE.source, hashlib.sha1(verbs.PLACE.source.encode()).hexdigest()

    def refuse(words: Any) -> bool:
        if words[1] in place:
            raise redis.exceptions.OutOfMemoryError("command not allowed when used memory > 'maxmemory'")
        return False

    troubled.refuses = refuse
    with pytest.raises(StoreUnavailable):
        Reaper(store).sweep()
    assert client.zrange(first.key, 0, -1) == [first.member.encode()]


def test_a_job_that_goes_its_way_while_it_is_swept_stays_in_the_index(
    client: "redis.Redis", monkeypatch: pytest.MonkeyPatch
) -> None:
    store = JobStore(client, StoreSettings(prefix="retention"))
    job = store.create(ORG, Kind.TRANSACTION_BATCH)
    place = Index.place

    def meanwhile(history: Index, *where: Any) -> None:
        monkeypatch.setattr(Index, "place", place)
        with store.run(ORG, job.job_id):
            pass
        place(history, *where)

    monkeypatch.setattr(Index, "place", meanwhile)
    wait_until(lambda: Reaper(store).sweep() or store.get(ORG, job.job_id).terminal)
    assert [each.job_id for each in store.list(ORG, statuses=["completed"]).jobs] == [job.job_id]


def test_a_damaged_job_is_looked_at_again_later_and_harms_nobody_else(
    client: "redis.Redis", caplog: pytest.LogCaptureFixture
) -> None:
    store = JobStore(client, StoreSettings(prefix="retention"))
    jobs = [store.create(ORG, Kind.TRANSACTION_BATCH) for _ in range(8)]
    client.hset(KEYS.job(ORG, jobs[0].job_id).job, "createdAt", "yesterday")
    expiries = [KEYS.expiry_entry(ORG, job.job_id) for job in jobs]
    wait_until(
        lambda: (
            Reaper(store).sweep() or all(client.zscore(*entry) > store_ms(client) + 1_000 for entry in expiries)
        )
    )
    assert jobs[0].job_id in caplog.text
    assert "createdAt" in caplog.text
