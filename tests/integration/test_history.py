"""`store.list` and `store.get_many`: the organization's jobs, on fakeredis and a real Valkey."""

import contextlib
import itertools
import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
import redis

from batchstatus import InvalidValue, JobAborted, JobStore, Kind, Status, StoreUnavailable
from batchstatus.jobs import transitions
from batchstatus.jobs.index import Index
from batchstatus.model.keys import Keys
from batchstatus.model.kinds import Kinds
from batchstatus.protocol import verbs
from batchstatus.reaper import Reaper
from batchstatus.settings import StoreSettings
from batchstatus.transport.connection import Connection
from tests.support.own_kinds import many_kinds
from tests.support.sdk import TroubledClient, claim_and_vanish, store_ms
from tests.support.waiting import wait_until

ORG = "org_acme"
KEYS = Keys("batchstatus")
KIND = Kind.TRANSACTION_BATCH


def pages(store: JobStore, **asked: Any) -> Iterator[list[str]]:
    """The ids on one page after the other, to the last."""
    cursor = None
    while True:
        page = store.list(ORG, cursor=cursor, **asked)
        yield [job.job_id for job in page.jobs]
        cursor = page.next_cursor
        if cursor is None:
            return


def listed(store: JobStore, **asked: Any) -> list[str]:
    """The ids on all pages."""
    return list(itertools.chain.from_iterable(pages(store, **asked)))


def newest_first(store: JobStore, ids: list[str]) -> list[str]:
    jobs = store.get_many(ORG, ids).values()
    return [job.job_id for job in sorted(jobs, key=lambda job: (job.created_at, job.job_id), reverse=True)]


def entries(client: "redis.Redis") -> set[str]:
    """Every entry of the index, as kind:status:jobId."""
    found: Any = client.keys("batchstatus:index:*")
    return {
        f"{key.decode().partition('}:')[2]}:{member.decode()}"
        for key in found
        for member in client.zrange(key, 0, -1)
    }


def run_to_its_end(store: JobStore, job_id: str, error: Exception | None = None) -> None:
    try:
        with store.run(ORG, job_id):
            if error:
                raise error
    except JobAborted:
        pass


def created_at(client: "redis.Redis", store: JobStore, job_id: str, created_ms: int, kind: str = KIND) -> None:
    """Have a job that was created at this time."""
    store.create(ORG, kind, job_id=job_id)
    client.hset(KEYS.job(ORG, job_id).job, "createdAt", created_ms)
    client.zadd(KEYS.index(ORG, kind, Status.QUEUED), {job_id: created_ms})


# Pages


@pytest.mark.parametrize("limit", [1, 3, 10, 100])
def test_pages_give_every_job_once_the_newest_first(store: JobStore, limit: int) -> None:
    ids = [store.create(ORG, kind).job_id for _ in range(4) for kind in Kind]
    found = list(pages(store, limit=limit))
    assert list(itertools.chain.from_iterable(found)) == newest_first(store, ids)
    assert {len(page) for page in found[:-1]} <= {limit}
    assert found[-1]


def test_an_organization_without_jobs_has_one_empty_page(store: JobStore) -> None:
    store.create("org_other", KIND)
    assert list(pages(store)) == [[]]


def test_a_job_is_there_as_soon_as_it_was_created_as_it_stands(store: JobStore) -> None:
    job = store.create(ORG, KIND, total_items=7, metadata={"fileName": "november.csv"})
    assert store.list(ORG).jobs == (job,)


def test_jobs_of_one_millisecond_come_in_the_order_of_their_ids_and_once_each(
    store: JobStore, client: "redis.Redis"
) -> None:
    ids = [f"job-{number:02}" for number in range(40)]
    for job_id in ids:
        created_at(client, store, job_id, 1_700_000_000_000)
    assert listed(store, limit=3) == ids[::-1]


@pytest.mark.parametrize("limit", [7, 40])
def test_pages_of_many_kinds_give_every_job_once_the_newest_first(client: "redis.Redis", limit: int) -> None:
    kinds = Kinds(many_kinds())
    store = JobStore(client, StoreSettings(kinds=kinds))
    chance = random.Random(7)
    moments = {f"job-{number:03}": 1_700_000_000_000 + chance.randrange(40) for number in range(150)}
    for job_id, created_ms in moments.items():  # some of the same millisecond, and most indexes empty
        created_at(client, store, job_id, created_ms, kind=chance.choice(kinds.names))
    expected = sorted(moments, key=lambda job_id: (moments[job_id], job_id), reverse=True)
    assert listed(store, limit=limit) == expected


def test_a_page_that_ends_at_the_last_job_has_no_next(store: JobStore) -> None:
    for _ in range(5):
        store.create(ORG, KIND)
    assert store.list(ORG, limit=5).next_cursor is None
    assert store.list(ORG, limit=4).next_cursor is not None


# Filters


@pytest.fixture
def one_of_each(store: JobStore, client: "redis.Redis") -> dict[str, str]:
    """A job in each status, by status; of each kind there is one more that is queued."""
    jobs = {status: store.create(ORG, KIND) for status in Status}
    ids = {status: job.job_id for status, job in jobs.items()}
    run_to_its_end(store, ids[Status.COMPLETED])
    run_to_its_end(store, ids[Status.FAILED], JobAborted("INVALID_ENTITY_REFERENCES", "no such entity"))
    store.control(ORG, ids[Status.CANCELLED], "cancel")
    claim_and_vanish(client, jobs[Status.INTERRUPTED])
    impatient = JobStore(client, StoreSettings(grace_s=0.01))
    wait_until(lambda: impatient.get(ORG, ids[Status.INTERRUPTED]).terminal)
    claim_and_vanish(client, jobs[Status.RUNNING], lease_ms=1)
    for kind in Kind:
        store.create(ORG, kind, job_id=kind)
    return dict(ids)


def test_each_status_finds_its_own(store: JobStore, one_of_each: dict[str, str]) -> None:
    for status in set(Status) - {Status.QUEUED, Status.RUNNING}:
        assert listed(store, statuses=[status]) == [one_of_each[status]]
    assert set(listed(store, statuses="queued")) == {one_of_each[Status.QUEUED], *Kind}
    ended = [Status.FAILED, "completed", "failed"]
    assert set(listed(store, statuses=ended)) == {one_of_each[Status.COMPLETED], one_of_each[Status.FAILED]}


def test_each_kind_finds_its_own(store: JobStore, one_of_each: dict[str, str]) -> None:
    assert listed(store, kinds=[Kind.ENTITY_AUTOMATIC]) == ["entity_automatic"]
    assert listed(store, kinds=["user_event_batch"], statuses=["completed"]) == []
    assert set(listed(store, kinds=[KIND])) == {*one_of_each.values(), "transaction_batch"}


def test_both_times_are_excluded(store: JobStore, client: "redis.Redis") -> None:
    moment = datetime(2026, 11, 23, 15, tzinfo=UTC)
    for number in range(4):
        created_at(client, store, f"job-{number}", int(moment.timestamp() * 1000) + number)
    millisecond = timedelta(milliseconds=1)
    assert listed(store, created_after=moment, created_before=moment + 3 * millisecond) == ["job-2", "job-1"]
    assert listed(store, created_after=moment + millisecond / 2, limit=1) == ["job-3", "job-2", "job-1"]
    assert listed(store, created_before=moment + millisecond / 2) == ["job-0"]
    assert listed(store, created_after=moment, created_before=moment) == []


def test_a_dead_worker_is_found_by_reading_a_page(store: JobStore, client: "redis.Redis") -> None:
    job = store.create(ORG, KIND)
    claim_and_vanish(client, job)
    impatient = JobStore(client, StoreSettings(grace_s=0.01))
    wait_until(lambda: impatient.list(ORG).jobs[0].status == Status.INTERRUPTED)
    assert listed(store, statuses=["interrupted"]) == [job.job_id]
    assert listed(store, statuses=["running"]) == []


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"kinds": ["parcel"]}, "kind"),
        ({"statuses": ["pending"]}, "status"),
        ({"created_after": datetime(2026, 11, 23)}, "created_after"),  # noqa: DTZ001 - which is what is wrong
        ({"created_before": "2026-11-23"}, "created_before"),
        ({"limit": 0}, "limit"),
        ({"limit": 101}, "limit"),
        ({"cursor": "x"}, "cursor"),
    ],
)
def test_what_makes_no_sense_is_refused_by_its_name(store: JobStore, wrong: dict[str, Any], named: str) -> None:
    with pytest.raises(InvalidValue, match=named):
        store.list(ORG, **wrong)


# While things change


def test_no_job_is_skipped_or_repeated_while_others_come_go_on_and_go(
    store: JobStore, client: "redis.Redis"
) -> None:
    chance = random.Random(7)
    ids = [store.create(ORG, KIND).job_id for _ in range(60)]
    there = newest_first(store, ids)
    gone: set[str] = set()
    seen: list[str] = []
    for page in pages(store, limit=4):
        seen += page
        store.create(ORG, KIND)
        for job_id in chance.sample(ids, 3):
            if store.get_many(ORG, [job_id]) and not store.get(ORG, job_id).terminal:
                run_to_its_end(store, job_id)
        expired = chance.choice(ids)
        client.delete(KEYS.job(ORG, expired).job)
        gone.add(expired)
    assert [each for each in seen if each not in gone] == [each for each in there if each not in gone]
    assert len(set(seen)) == len(seen)


def test_an_entry_that_leads_nowhere_is_passed_over(store: JobStore, client: "redis.Redis") -> None:
    ids = [store.create(ORG, KIND).job_id for _ in range(5)]
    now = store.get(ORG, ids[-1]).created_ms
    dangling = {f"gone-{number}": now + 1 for number in range(300)} | {"a:b": now + 1}
    client.zadd(KEYS.index(ORG, KIND, Status.QUEUED), dangling)
    client.zadd(KEYS.index(ORG, KIND, Status.COMPLETED), {ids[0]: now})
    assert listed(store, limit=2) == newest_first(store, ids)
    assert listed(store, statuses=["completed"]) == []


def test_a_page_looks_only_so_far_and_the_next_goes_on_from_there(store: JobStore, client: "redis.Redis") -> None:
    old = [store.create(ORG, KIND).job_id for _ in range(3)]
    wait_until(lambda: store_ms(client) > store.get(ORG, old[-1]).created_ms + 2)
    now = store_ms(client)
    key = KEYS.index(ORG, KIND, Status.COMPLETED)
    for start in range(0, 12_000, 2_000):
        client.zadd(key, {f"gone-{number}": now for number in range(start, start + 2_000)})
    new = store.create(ORG, KIND).job_id
    found = list(pages(store, limit=2))
    assert found[0] == [new]
    assert [each for page in found for each in page] == [new, *newest_first(store, old)]
    assert 2 < len(found) < 6


def test_no_status_and_no_kind_is_no_job(store: JobStore) -> None:
    store.create(ORG, KIND)
    assert listed(store, statuses=[]) == listed(store, kinds=()) == []


def test_a_damaged_job_does_not_keep_the_others_from_view(
    store: JobStore, client: "redis.Redis", caplog: pytest.LogCaptureFixture
) -> None:
    ids = [store.create(ORG, KIND).job_id for _ in range(3)]
    client.hset(KEYS.job(ORG, ids[0]).job, "succeeded", "many")
    client.delete(KEYS.job(ORG, ids[1]).job)
    client.rpush(KEYS.job(ORG, ids[1]).job, "no hash")
    client.expire(KEYS.job(ORG, ids[1]).job, 60)
    assert listed(store) == [ids[2]]
    assert "succeeded" in caplog.text


# The index


def test_a_job_that_has_ended_has_one_entry(
    store: JobStore, client: "redis.Redis", one_of_each: dict[str, str]
) -> None:
    ended = set(Status) - {Status.QUEUED, Status.RUNNING}
    expected = {f"{KIND}:{status}:{one_of_each[status]}" for status in ended}
    assert {
        each for each in entries(client) if each.rpartition(":")[2] in {one_of_each[s] for s in ended}
    } == expected


@pytest.fixture(params=[pytest.param(False, id="one server"), pytest.param(True, id="a Cluster")])
def many_servers(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """True if each index entry is written by itself, as in a Cluster; False if all are written in one script."""
    if request.param:
        monkeypatch.setattr(Connection, "is_cluster", lambda _: True)
    return bool(request.param)


@pytest.mark.parametrize("step", ["claim", "finish", "cancel", "settle"])
def test_the_entry_is_written_before_the_status_is(client: "redis.Redis", step: str, many_servers: bool) -> None:
    troubled = TroubledClient(client)
    store = JobStore(troubled, StoreSettings(grace_s=0.0))  # type: ignore[arg-type]
    job = store.create(ORG, KIND)
    seen: list[tuple[str, set[str]]] = []

    def note(words: tuple[Any, ...]) -> bool:
        status = client.hget(KEYS.job(ORG, job.job_id).job, "status").decode()
        seen.append((status, {each.split(":")[1] for each in entries(client)}))
        return False

    seen.append(("queued", {"queued"}))

    troubled.loses_answer_to = note
    if step == "cancel":
        store.control(ORG, job.job_id, "cancel")
    elif step == "settle":
        claim_and_vanish(client, job)
        wait_until(lambda: store.get(ORG, job.job_id).terminal)
    else:
        run_to_its_end(store, job.job_id)
    assert len({status for status, _ in seen}) > 1
    assert all(status in placed for status, placed in seen if (step, status) != ("settle", "running"))


def test_a_job_is_listed_whatever_the_moment_at_which_its_creator_dies(
    client: "redis.Redis", many_servers: bool
) -> None:
    for survives in range(6):
        troubled = TroubledClient(client)
        store = JobStore(troubled)  # type: ignore[arg-type]
        steps = itertools.count()
        troubled.refuses = lambda _, steps=steps, survives=survives: next(steps) >= survives
        with contextlib.suppress(StoreUnavailable):
            store.create(ORG, KIND, job_id=f"job-{survives}")
    whole = JobStore(client)
    made = [f"job-{number}" for number in range(6) if client.exists(KEYS.job(ORG, f"job-{number}").job)]
    assert set(listed(whole)) == set(made) != set()
    assert len(made) < 6


@pytest.mark.parametrize("step", ["enter", "place"])
def test_a_step_into_the_index_writes_also_when_it_is_repeated(
    real_store: JobStore, redis_client: "redis.Redis", step: str
) -> None:
    """Or else a WAIT after the repeat would say nothing about the first."""
    job = real_store.create(ORG, KIND)
    connection, keys = Connection(redis_client), (KEYS.index(ORG, KIND, Status.QUEUED),)
    repeat = {
        "enter": lambda: verbs.enter(connection, keys, job.job_id),
        "place": lambda: verbs.place(connection, keys, job.job_id, job.created_ms),
    }[step]
    before: Any = redis_client.info("persistence")
    repeat()
    after: Any = redis_client.info("persistence")
    assert after["rdb_changes_since_last_save"] > before["rdb_changes_since_last_save"]
    assert redis_client.zscore(keys[0], job.job_id) == job.created_ms
    assert redis_client.ttl(keys[0]) == -1


def test_a_job_is_not_made_where_the_clocks_of_two_servers_are_too_far_apart(
    store: JobStore, client: "redis.Redis", monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Connection, "is_cluster", lambda _: True)
    monkeypatch.setattr(verbs, "enter", lambda *_, **__: store_ms(client) - verbs.FRESH_MS - 60_000)
    with pytest.raises(StoreUnavailable, match="clocks"):
        store.create(ORG, KIND, job_id="mine")
    assert not client.exists(KEYS.job(ORG, "mine").job)


def test_a_creator_that_was_stopped_between_two_entries_makes_both_anew(
    store: JobStore, client: "redis.Redis", monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Connection, "is_cluster", lambda _: True)
    moments = iter([0.0, 3_600.0, 7_200.0, 7_200.1])
    monkeypatch.setattr(transitions, "time", SimpleNamespace(monotonic=lambda: next(moments)))
    job = store.create(ORG, KIND)
    assert list(moments) == []
    assert store.list(ORG).jobs == (job,)


def test_a_cluster_that_has_lost_the_slot_of_the_index_goes_on_and_puts_it_right_later(
    client: "redis.Redis", monkeypatch: pytest.MonkeyPatch
) -> None:
    store = JobStore(client)
    job = store.create(ORG, KIND)
    monkeypatch.setattr(Connection, "is_cluster", lambda _: True)
    place, tidy = Index.place, Index.tidy

    def away(*_: Any) -> None:
        raise StoreUnavailable("CLUSTERDOWN")

    monkeypatch.setattr(Index, "place", away)
    monkeypatch.setattr(Index, "tidy", away)
    run_to_its_end(store, job.job_id)
    assert store.get(ORG, job.job_id).status == Status.COMPLETED
    monkeypatch.setattr(Index, "place", place)
    monkeypatch.setattr(Index, "tidy", tidy)
    assert listed(store, statuses=["completed"]) == []
    Reaper(store).sweep()
    assert listed(store, statuses=["completed"]) == [job.job_id]


def test_creating_a_job_again_moves_nothing(store: JobStore, client: "redis.Redis", many_servers: bool) -> None:
    first = store.create(ORG, KIND, job_id="mine")
    wait_until(lambda: store_ms(client) > first.created_ms)
    store.create(ORG, KIND)
    assert store.create(ORG, KIND, job_id="mine") == first
    assert listed(store)[-1] == "mine"
    run_to_its_end(store, "mine")
    again = store.create(ORG, KIND, job_id="mine")
    assert (again.status, again.created_at) == (Status.COMPLETED, first.created_at)
    assert {each for each in entries(client) if each.endswith(":mine")} == {f"{KIND}:completed:mine"}


def test_an_id_that_is_used_again_after_its_job_expired_is_a_new_job(
    store: JobStore, client: "redis.Redis", many_servers: bool
) -> None:
    first = store.create(ORG, KIND, job_id="mine")
    # Given the job has expired, and its entry is as old as that makes it
    client.delete(KEYS.job(ORG, "mine").job)
    client.zadd(KEYS.index(ORG, KIND, Status.QUEUED), {"mine": first.created_ms - 3_600_000})
    again = store.create(ORG, KIND, job_id="mine")
    assert again.created_at >= first.created_at
    assert store.list(ORG).jobs == (again,)


# Several at once


def test_many_jobs_are_given_by_id_and_unknown_ones_left_out(store: JobStore) -> None:
    jobs = [store.create(ORG, kind) for kind in Kind]
    other = store.create("org_other", KIND)
    found = store.get_many(ORG, [jobs[2].job_id, "unknown", jobs[0].job_id, other.job_id, jobs[2].job_id])
    assert found == {jobs[2].job_id: jobs[2], jobs[0].job_id: jobs[0]}
    assert store.get_many(ORG, []) == {}
