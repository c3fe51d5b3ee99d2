"""Scripts that write their job's index entries too: what they are made of, and what they do on a real Valkey."""

import re
from collections.abc import Callable
from typing import Any

import pytest
import redis

from batchstatus import JobCorrupt, JobExists, JobStore, Kind, Status
from batchstatus.model.job import TRANSITIONS, Action
from batchstatus.model.keys import Keys
from batchstatus.model.messages import Ending
from batchstatus.protocol.at_once import composed
from batchstatus.settings import StoreSettings
from batchstatus.transport.connection import Connection
from tests.support.lua import SOURCES

ORG, KIND = "org_acme", Kind.TRANSACTION_BATCH
KEYS = Keys("batchstatus")
STEPS = ["claim", "finish", "control", "settle"]


def listed(client: "redis.Redis", job_id: str) -> dict[str, float]:
    """Returns the time of each of the job's entries in the organization's index, by kind:status."""
    keys = {f"{kind}:{status}": KEYS.index(ORG, kind, status) for kind in Kind for status in Status}
    found: Any = {name: client.zscore(key, job_id) for name, key in keys.items()}
    return {name: score for name, score in found.items() if score is not None}


@pytest.mark.parametrize("verb", ["create", *STEPS])
def test_a_composed_script_has_each_script_unchanged_as_a_function(verb: str) -> None:
    _, source = composed(SOURCES[verb].text)
    parts = {"track", "place", verb} | ({"enter"} if verb == "create" else set())
    for part in parts:
        name = "verb" if part == verb else part
        assert source.count(f"local {name} = function(KEYS, ARGV)\n{SOURCES[part].text}\nend\n") == 1


@pytest.mark.parametrize("verb", ["create", *STEPS])
def test_a_composed_script_fills_in_the_argument_that_the_head_names(verb: str) -> None:
    name = "created_ms" if verb == "create" else "placed"
    number = 1 + [each for each, _ in SOURCES[verb].header.argv].index(name)
    assert re.search(rf"arguments\[{number}\] = ", composed(SOURCES[verb].text)[1])


def test_a_step_leaves_the_entries_that_the_job_may_still_need(store: JobStore, client: "redis.Redis") -> None:
    ends: dict[Status, Callable[[Any, Any], object]] = {
        Status.CANCELLED: lambda steps, _: steps.control(Action.CANCEL),
        Status.RUNNING: lambda _, claim: None,
        **{
            status: lambda steps, claim, status=status: steps.finish(claim, Ending(status), 0)
            for status in (Status.COMPLETED, Status.FAILED)
        },
    }
    for status, end in ends.items():
        job = store.create(ORG, KIND, job_id=status)
        everywhere = {KEYS.index(ORG, kind, each): job.created_ms for kind in (KIND,) for each in Status}
        for key, created_ms in everywhere.items():
            client.zadd(key, {job.job_id: created_ms})
        steps = store.steps(ORG, job.job_id)
        end(steps, None if status is Status.CANCELLED else steps.claim("token"))
        assert set(listed(client, job.job_id)) == {f"{KIND}:{each}" for each in {status} | TRANSITIONS[status]}


def test_a_create_tracks_and_enters_the_job_with_its_own_time(store: JobStore, client: "redis.Redis") -> None:
    job = store.create(ORG, KIND)
    assert listed(client, job.job_id) == {f"{KIND}:queued": job.created_ms}
    due_ms: Any = client.zscore(*KEYS.expiry_entry(ORG, job.job_id))
    assert abs(due_ms - 600_000 - job.created_ms) < 60_000


def test_a_claim_tracks_the_lease(store: JobStore, client: "redis.Redis") -> None:
    job = store.create(ORG, KIND)
    claim = store.steps(ORG, job.job_id).claim("token", 7_000)
    due_ms: Any = client.zscore(*KEYS.lease_entry(ORG, job.job_id))
    assert claim.job.lease_expires_at is not None
    assert abs(due_ms - claim.job.lease_expires_at.timestamp() * 1000) < 6_000


def test_a_create_under_an_id_that_is_taken_leaves_the_index_as_it_was(
    store: JobStore, client: "redis.Redis"
) -> None:
    job = store.create(ORG, KIND, job_id="mine")
    store.steps(ORG, "mine").claim("token")
    before = listed(client, "mine")
    for kind in (KIND, Kind.ENTITY_AUTOMATIC):
        with pytest.raises(JobExists):
            store.create(ORG, kind, job_id="mine", total_items=7)
        assert listed(client, "mine") == before == {f"{KIND}:running": job.created_ms}


def test_a_create_of_a_queued_job_whose_entry_was_lost_heals_it(store: JobStore, client: "redis.Redis") -> None:
    job = store.create(ORG, KIND, job_id="mine")
    client.hset(KEYS.job(ORG, "mine").job, "createdAt", job.created_ms - 5_000)
    client.zrem(KEYS.index(ORG, KIND, Status.QUEUED), "mine")
    store.create(ORG, KIND, job_id="mine")
    assert listed(client, "mine") == {f"{KIND}:queued": job.created_ms - 5_000}


@pytest.mark.parametrize(("field", "value"), [("createdAt", "soon"), ("kind", "unknown"), ("kind", None)])
def test_a_damaged_job_is_not_changed(store: JobStore, client: "redis.Redis", field: str, value: Any) -> None:
    job = store.create(ORG, KIND)
    key = KEYS.job(ORG, job.job_id).job
    if value is None:
        client.hdel(key, field)
    else:
        client.hset(key, field, value)
    before = client.hgetall(key)
    with pytest.raises(JobCorrupt):
        store.steps(ORG, job.job_id).control(Action.CANCEL)
    assert client.hgetall(key) == before


def test_an_index_of_another_type_stops_the_step_before_it_is_taken(
    store: JobStore, client: "redis.Redis"
) -> None:
    job = store.create(ORG, KIND)
    key = KEYS.index(ORG, KIND, Status.CANCELLED)
    client.rpush(key, "no zset")
    with pytest.raises(JobCorrupt):
        store.steps(ORG, job.job_id).control(Action.CANCEL)
    assert store.get(ORG, job.job_id).status == Status.QUEUED
    client.delete(key)


def test_two_prefixes_do_not_mix(client: "redis.Redis") -> None:
    ours, theirs = (JobStore(client, StoreSettings(prefix=prefix)) for prefix in ("ours", "ours:too"))
    ours.create(ORG, KIND, job_id="mine")
    assert [job.job_id for job in ours.list(ORG).jobs] == ["mine"]
    assert theirs.list(ORG).jobs == ()
    assert Connection(client).command("EXISTS", KEYS.job(ORG, "mine").job) == 0
