"""The lease index: when to look at which job, on fakeredis and a real Valkey."""

import zlib
from collections import Counter
from itertools import count, islice

import pytest
import redis

from batchstatus import InvalidValue, StoreUnavailable
from batchstatus.jobs.looks import Leases
from batchstatus.model.keys import BUCKETS, Entry, Keys
from batchstatus.settings import StoreSettings
from batchstatus.transport.connection import Connection

ORG = "org_acme"
KEYS = Keys("batchstatus")


@pytest.fixture
def leases(client: "redis.Redis") -> Leases:
    return Leases(Connection(client))


def entry(job_id: str = "J", org: str = ORG) -> Entry:
    return KEYS.lease_entry(org, job_id)


def in_one_bucket(many: int) -> list[Entry]:
    """Entries of different jobs that share a bucket."""
    numbered = (entry(f"J{number}") for number in count())
    return list(islice((each for each in numbered if each.key == KEYS.leases(0)), many))


def due(leases: Leases, limit: int = 100) -> list[Entry]:
    return [each for bucket in range(BUCKETS) for each in leases.due(bucket, limit=limit)]


def store_ms(client: "redis.Redis") -> int:
    seconds, microseconds = client.time()
    return int(seconds) * 1000 + int(microseconds) // 1000


def test_a_tracked_job_is_due_a_lease_later_by_the_stores_clock(leases: Leases, client: "redis.Redis") -> None:
    before = store_ms(client)
    leases.track(entry(), 30_000)
    assert before + 30_000 <= client.zscore(*entry()) <= store_ms(client) + 30_000
    assert client.keys() == [entry().key.encode()]


def test_tracking_a_job_again_leaves_one_entry(leases: Leases, client: "redis.Redis") -> None:
    leases.track(entry(), 30_000)
    leases.track(entry(), 30_000)
    assert client.zcard(entry().key) == 1


def test_tracking_a_job_again_may_advance_its_look_and_never_puts_it_off(
    leases: Leases, client: "redis.Redis"
) -> None:
    leases.track(entry(), 60_000)
    leases.track(entry(), 30_000)
    sooner = client.zscore(*entry())
    assert sooner <= store_ms(client) + 30_000
    leases.track(entry(), 60_000)
    assert client.zscore(*entry()) == sooner


def test_a_look_can_be_put_off(leases: Leases, client: "redis.Redis") -> None:
    leases.track(entry(), 0)
    before = store_ms(client)
    leases.put_off(entry(), 30_000)
    assert before + 30_000 <= client.zscore(*entry()) <= store_ms(client) + 30_000


def test_only_looks_whose_time_has_come_are_due(leases: Leases) -> None:
    leases.track(entry("now"), 0)
    leases.track(entry("later"), 30_000)
    assert due(leases) == [entry("now")]


def test_reading_the_due_entries_removes_none(leases: Leases, client: "redis.Redis") -> None:
    leases.track(entry(), 0)
    assert due(leases) == due(leases) == [entry()]


def test_the_longest_overdue_entries_of_a_bucket_come_first(leases: Leases, client: "redis.Redis") -> None:
    entries = in_one_bucket(5)
    for score, each in enumerate(entries):
        client.zadd(each.key, {each.member: 1_000 - score})
    assert leases.due(0, limit=3) == entries[:1:-1]
    assert leases.due(1, 3) == []


def test_due_entries_come_from_every_bucket(leases: Leases) -> None:
    entries = {entry(f"J{number}", f"org_{number}") for number in range(200)}
    assert len({each.key for each in entries}) == BUCKETS
    for each in entries:
        leases.track(each, 0)
    assert set(due(leases)) == entries


def test_a_look_can_be_moved(leases: Leases, client: "redis.Redis") -> None:
    leases.track(entry(), 0)
    leases.move(entry(), 4_000_000_000_000)
    assert client.zscore(*entry()) == 4_000_000_000_000
    assert due(leases) == []


def test_a_dropped_job_is_not_tracked_again_by_a_move(leases: Leases, client: "redis.Redis") -> None:
    leases.track(entry(), 0)
    leases.drop(entry())
    leases.move(entry(), 1)
    leases.put_off(entry(), 0)
    leases.drop(entry())
    assert client.keys() == []


def test_the_index_is_below_the_prefix(client: "redis.Redis") -> None:
    ours, theirs = (Leases(Connection(client, StoreSettings(prefix=prefix))) for prefix in ("ours", "theirs"))
    ours.track(Keys("ours").lease_entry(ORG, "J"), 0)
    assert due(theirs) == []
    assert [each.job for each in due(ours)] == [(ORG, "J")]


def test_a_store_that_is_away_is_store_unavailable() -> None:
    def away() -> "redis.Redis":
        raise redis.ConnectionError("connection refused")

    leases = Leases(Connection(away))
    with pytest.raises(StoreUnavailable):
        leases.track(entry(), 0)
    with pytest.raises(StoreUnavailable):
        leases.due(0, 100)


# The entries


def test_an_entry_is_in_the_bucket_of_its_checksum() -> None:
    for number in range(50):
        bucket = zlib.crc32(f"{ORG}:J{number}".encode()) % 16
        assert entry(f"J{number}") == (f"batchstatus:leases:{{{bucket}}}", f"{ORG}:J{number}")
    assert entry("0199f3a1").key == "batchstatus:leases:{9}"  # fixed for workers in other languages


def test_jobs_spread_evenly_over_the_buckets() -> None:
    counts = Counter(entry(f"{number:08x}").key for number in range(16_000))
    assert len(counts) == BUCKETS
    assert min(counts.values()) > 800
    assert max(counts.values()) < 1_200


@pytest.mark.parametrize("job", [("org", "J"), ("-", "_"), ("o" * 64, "j" * 64)])
def test_an_entry_names_its_job(job: tuple[str, str]) -> None:
    assert KEYS.lease_entry(*job).job == job


@pytest.mark.parametrize("job", [("a:b", "J"), ("org", "a:b"), ("org", "{J}"), ("", "J"), ("org", "J\n")])
def test_no_id_forges_an_entry(job: tuple[str, str]) -> None:
    with pytest.raises(InvalidValue):
        KEYS.lease_entry(*job)
