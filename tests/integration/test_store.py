"""Making jobs: what is stored of them, and what making one twice does."""

import json
import re
from collections.abc import Mapping
from contextlib import suppress
from types import MappingProxyType
from typing import Any

import pytest
import redis

from batchstatus import InvalidValue, JobExists, JobNotFound, JobStore, Kind, Status
from batchstatus.settings import StoreSettings
from tests.support.sdk import ORG, enter, fields, keys_of, raises, store_ms
from tests.support.waiting import wait_until

UUID7 = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
BIG = 2**53


def nested(levels: int) -> dict[str, Any]:
    """An object with so many levels, itself the first."""
    value: Any = {}
    for level in range(levels - 1):
        value = [value] if level % 2 else {"in": value}
    return {"in": value} if isinstance(value, list) else value


def circular() -> dict[str, Any]:
    value: dict[str, Any] = {}
    value["self"] = value
    return value


def test_a_new_job_is_queued_with_nothing_done(store: JobStore, client: "redis.Redis") -> None:
    before_ms = store_ms(client)
    job = store.create(ORG, "transaction_batch", metadata={"fileName": "november.csv"})
    assert (job.kind, job.status, job.total_items, job.done) == (Kind.TRANSACTION_BATCH, Status.QUEUED, None, 0)
    assert (job.heartbeat_at, job.lease_expires_at, job.completed_at) == (None, None, None)
    assert (job.worker_error, job.job_failure) == (None, None)
    assert job.metadata == {"fileName": "november.csv"}
    assert before_ms <= job.created_at.timestamp() * 1000 <= store_ms(client)
    assert store.get(ORG, job.job_id) == job


def test_job_ids_are_uuid_7_and_sort_by_their_time(store: JobStore) -> None:
    ids = [store.create(ORG, Kind.USER_EVENT_BATCH).job_id for _ in range(20)]
    assert all(UUID7.fullmatch(each) for each in ids)
    assert len(set(ids)) == 20
    assert [each[:13] for each in ids] == sorted(each[:13] for each in ids)


@pytest.mark.parametrize("kind", [*Kind, *map(str, Kind)])
def test_kinds_are_taken_as_members_and_as_text(store: JobStore, kind: str) -> None:
    assert store.create(ORG, kind).kind is Kind(kind)


def test_creating_again_with_the_same_content_gives_the_first_job(store: JobStore) -> None:
    metadata = {"fileName": "a.csv", "mode": {"strict": True, "columns": ["x", "y"]}}
    turned = {"mode": {"columns": ["x", "y"], "strict": True}, "fileName": "a.csv"}
    first = store.create(ORG, "transaction_batch", job_id="mine", total_items=5, metadata=metadata, takeover_s=60)
    with store.run(ORG, "mine") as run:
        run.total(7)
        run.succeeded(6)
    again = store.create(
        ORG, Kind.TRANSACTION_BATCH, job_id="mine", total_items=5, metadata=turned, takeover_s=60.0
    )
    assert again.created_at == first.created_at
    assert (again.status, again.total_items, again.succeeded) == (Status.COMPLETED, 7, 6)


@pytest.mark.parametrize(
    "other",
    [
        {"kind": "user_event_batch"},
        {"total_items": 6},
        {"total_items": None},
        {"metadata": {"fileName": "b.csv"}},
        {"metadata": None},
        {"metadata": {"fileName": "a.csv", "mode": None}},
        {"takeover_s": 61},
        {"takeover_s": 0},
    ],
    ids=str,
)
def test_creating_again_with_other_content_is_refused_and_changes_nothing(
    store: JobStore, client: "redis.Redis", other: dict[str, Any]
) -> None:
    content = {
        "kind": "transaction_batch",
        "total_items": 5,
        "metadata": {"fileName": "a.csv"},
        "takeover_s": 60,
    }
    job = store.create(ORG, **content, job_id="mine")  # type: ignore[arg-type]
    with store.run(ORG, "mine") as run:
        run.total(6)
    before = fields(client, job)
    with pytest.raises(JobExists, match="mine"):
        store.create(ORG, **content | other, job_id="mine")  # type: ignore[arg-type]
    assert fields(client, job) == before


def test_the_same_id_in_another_organization_is_another_job(store: JobStore) -> None:
    ours = store.create(ORG, "transaction_batch", job_id="same", total_items=1)
    theirs = store.create("org_other", "user_event_batch", job_id="same", total_items=2)
    enter(store, ours)
    assert store.get("org_other", "same") == theirs
    assert store.get(ORG, "same").status is Status.INTERRUPTED


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("kind", each) for each in ("", "transactions", None, 5, ["transaction_batch"])),
        *(("total_items", each) for each in (-1, BIG, 1.0, "5", True, float("nan"))),
        *(("takeover_s", each) for each in (-1, float("nan"), float("inf"), "60", None, True, 30 * 86_400 + 1)),
        *(("job_id", each) for each in ("", "a b", "a/b", "a:b", "{a}", "x" * 65, "é", "a\n", "\u0661", 5)),
        *(("org", each) for each in ("", "a b", "x}", "x" * 65, "é", "org\n", None)),
    ],
)
def test_a_value_that_makes_no_sense_is_refused_by_its_name(
    store: JobStore, client: "redis.Redis", name: str, value: Any
) -> None:
    arguments: dict[str, Any] = {"org": ORG, "kind": "transaction_batch", name: value}
    with pytest.raises(InvalidValue, match=name):
        store.create(**arguments)
    assert client.keys() == []


@pytest.mark.parametrize(
    ("metadata", "why"),
    [
        ({"x": "a" * (16 * 1024)}, "16,384"),
        ({"x": "ü" * (8 * 1024)}, "16,384"),
        (nested(33), "32 levels"),
        (nested(100_000), "metadata"),
        ({"batchCancelRequested": False}, "batchCancelRequested"),
        ({"batchPauseRequested": True}, "batchPauseRequested"),
        ({"a": 1, "batchPaused": None}, "batchPaused"),
        ({"x": float("nan")}, "JSON"),
        ({"x": [float("-inf")]}, "JSON"),
        (circular(), "JSON"),
        ({"x": {1, 2}}, "JSON"),
        ({"x": object()}, "JSON"),
        ({"x": b"bytes"}, "JSON"),
        ({"x": "\ud800"}, "JSON"),
        ({5: "five"}, "text keys"),
        (["fileName"], "mapping"),
        ("fileName", "mapping"),
    ],
    ids=lambda value: str(value)[:40] if isinstance(value, str) else None,
)
def test_metadata_that_cannot_be_kept_is_refused(
    store: JobStore, client: "redis.Redis", metadata: Any, why: str
) -> None:
    with pytest.raises(InvalidValue, match=why):
        store.create(ORG, "transaction_batch", metadata=metadata)
    assert client.keys() == []


@pytest.mark.parametrize(
    "metadata",
    [
        {},
        {"x": "a" * (16 * 1024 - 8)},
        nested(32),
        {"batchcancelrequested": True, "batch": {"batchPaused": True}},
        {"ü": "😀", "": None, "number": 1e300, "big": 2**70, "list": [1, [True]]},
        MappingProxyType({"fileName": "a.csv"}),
    ],
    ids=lambda value: str(value)[:40],
)
def test_metadata_is_given_back_as_it_was_given(store: JobStore, metadata: Mapping[str, Any]) -> None:
    job = store.create(ORG, "transaction_batch", metadata=metadata)
    assert store.get(ORG, job.job_id).metadata == metadata
    assert store.create(ORG, "transaction_batch", metadata=metadata, job_id=job.job_id) == job


def test_metadata_whose_keys_are_no_text_further_down_never_surprises(store: JobStore) -> None:
    with suppress(InvalidValue):
        job = store.create(ORG, "transaction_batch", metadata={"sheets": {1: "a", "b": "c"}})
        assert store.get(ORG, job.job_id).metadata == {"sheets": {"1": "a", "b": "c"}}


@pytest.mark.parametrize("takeover_s", [0, 0.25, 60, 30 * 86_400])
def test_a_takeover_window_may_be_a_fraction_and_as_long_as_the_retention(
    store: JobStore, client: "redis.Redis", takeover_s: float
) -> None:
    job = store.create(ORG, "transaction_batch", takeover_s=takeover_s)
    assert fields(client, job)["takeoverMs"] == str(round(takeover_s * 1000))


def test_a_job_is_gone_when_its_retention_is_over(client: "redis.Redis") -> None:
    store = JobStore(client, StoreSettings(lease_s=0.01, grace_s=0, retention_s=0.05))
    job = store.create(ORG, "transaction_batch")
    left_ms = client.pttl(keys_of(job).job)
    assert left_ms <= 50
    assert left_ms != -1  # for ever; a slow machine may find it gone already, which is -2
    wait_until(lambda: raises(JobNotFound, lambda: store.get(ORG, job.job_id)))


def test_what_is_stored_is_json_text_that_any_language_reads(store: JobStore, client: "redis.Redis") -> None:
    job = store.create(ORG, "transaction_batch", metadata={"fileName": "ünïcode.csv"}, total_items=3)
    stored = fields(client, job)
    assert json.loads(stored["metadata"]) == {"fileName": "ünïcode.csv"}
    assert (stored["orgId"], stored["jobId"], stored["status"]) == (ORG, job.job_id, "queued")
    assert (stored["totalItems"], stored["succeeded"], stored["fence"]) == ("3", "0", "0")
