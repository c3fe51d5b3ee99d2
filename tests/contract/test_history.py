"""`GET /batch-import/jobs` (contract §7): a page of history, and several jobs by id."""

from collections.abc import Callable
from typing import Any

import pytest
import redis
from flask.testing import FlaskClient
from marshmallow import Schema
from werkzeug.test import TestResponse

from batchstatus import JobStore, Kind
from batchstatus.model.keys import Keys
from batchstatus.schemas import HistoryResponseSchema, JobsResponseSchema

ORG = "org_acme"
PATH = "/batch-import/jobs"
Ask = Callable[..., TestResponse]


@pytest.fixture
def ask(web: FlaskClient, api_key: str) -> Ask:
    """Returns a function that requests jobs with these parameters."""
    headers = {"Authorization": f"Bearer {api_key}"}
    return lambda query="", **asked: web.get(f"{PATH}{query}", query_string=asked or None, headers=headers)


def ids(answer: TestResponse) -> list[str]:
    assert answer.status_code == 200, answer.json
    return [job["jobId"] for job in answer.json["jobs"]]


def fits(schema: Schema, body: Any) -> bool:
    return (
        not schema.validate({name: value for name, value in body.items() if name != "success"}) and body["success"]
    )


# A page


def test_a_page_matches_the_contract(ask: Ask, web: FlaskClient, store: JobStore, api_key: str) -> None:
    jobs = [store.create(ORG, kind, metadata={"fileName": f"{kind}.csv"}) for kind in Kind]
    answer = ask()
    assert list(answer.json) == ["success", "jobs", "nextCursor"]
    assert fits(HistoryResponseSchema(), answer.json)
    assert set(ids(answer)) == {job.job_id for job in jobs}
    assert answer.json["nextCursor"] is None
    assert answer.headers["Cache-Control"] == "private, no-cache"
    # Each job has the same members as in a poll
    polled = web.get(f"{PATH}/{jobs[0].job_id}", headers={"Authorization": f"Bearer {api_key}"})
    assert polled.json["job"] in answer.json["jobs"]


def test_pages_follow_each_other_to_the_last(ask: Ask, store: JobStore) -> None:
    made = {store.create(ORG, "transaction_batch").job_id for _ in range(7)}
    answer, found = ask(limit=3), []
    while True:
        found += ids(answer)
        if answer.json["nextCursor"] is None:
            break
        answer = ask(limit=3, cursor=answer.json["nextCursor"])
    assert set(found) == made
    assert len(found) == 7


def test_a_page_has_20_jobs_unless_a_limit_is_given(ask: Ask, store: JobStore) -> None:
    for _ in range(21):
        store.create(ORG, "transaction_batch")
    assert len(ids(ask())) == 20
    assert len(ids(ask(limit=100))) == 21


def test_filters_accept_lists_and_times(ask: Ask, store: JobStore) -> None:
    first = store.create(ORG, "transaction_batch")
    other = store.create(ORG, "entity_automatic")
    store.control(ORG, other.job_id, "cancel")
    assert ids(ask(kind="transaction_batch,user_event_batch")) == [first.job_id]
    assert ids(ask(status="cancelled,failed")) == [other.job_id]
    assert ids(ask(kind="transaction_batch", status="cancelled")) == []
    assert ids(ask(createdAfter="2999-01-01T00:00:00Z")) == []
    assert set(ids(ask(createdBefore="2999-01-01T00:00:00.000+05:30"))) == {first.job_id, other.job_id}


def test_a_page_has_no_jobs_of_other_organizations(ask: Ask, store: JobStore) -> None:
    store.create("org_other", "transaction_batch")
    assert ids(ask()) == []


@pytest.mark.parametrize(
    ("asked", "named"),
    [
        *(
            ({"limit": limit}, "limit")
            for limit in ("0", "101", "-1", "1_0", "\u0661\u0662", " 1", "1.0", "", "9" * 5_000)
        ),
        *(({"cursor": cursor}, "cursor") for cursor in ("", "x", "é", "MTI", "A" * 5_000, "a\0")),
        *(({"kind": kind}, "kind") for kind in ("", "parcel", "transaction_batch,", "TRANSACTION_BATCH", "a\0")),
        *(({"status": status}, "status") for status in ("", "pending", "running, failed", "Running")),
        *(
            ({"createdAfter": time}, "createdAfter")
            for time in ("", "yesterday", "2026-11-23T15:04:05", "1763996580")
        ),
        *(({"createdBefore": time}, "createdBefore") for time in ("2026-13-01T00:00:00Z", "2026-11-23T25:00:00Z")),
        ({"stauts": "failed"}, "stauts"),
        ({"ids": "a", "limit": "1"}, "limit"),
        ({"ids": ""}, "ids"),
        ({"ids": ","}, "ids"),
        ({"ids": ",".join(str(number) for number in range(101))}, "ids"),
    ],
)
def test_a_bad_parameter_is_400_and_named(ask: Ask, asked: dict[str, str], named: str) -> None:
    answer = ask(**asked)
    assert answer.status_code == 400
    assert answer.json["error"]["code"] == "INVALID_REQUEST"
    assert list(answer.json["error"]["details"]) == [named]


def test_all_bad_parameters_are_named_at_once(ask: Ask) -> None:
    answer = ask(limit="x", kind="parcel", createdAfter="now")
    assert set(answer.json["error"]["details"]) == {"limit", "kind", "createdAfter"}


def test_a_list_is_the_same_with_commas_and_with_its_name_before_each_value(ask: Ask, store: JobStore) -> None:
    made = {kind: store.create(ORG, kind).job_id for kind in Kind}
    store.control(ORG, made[Kind.USER_EVENT_BATCH], "cancel")
    for query, found in {
        "kind=transaction_batch&kind=entity_automatic": {Kind.TRANSACTION_BATCH, Kind.ENTITY_AUTOMATIC},
        "kind=transaction_batch,user_event_batch&kind=entity_automatic": set(Kind),
        "status=cancelled&status=completed": {Kind.USER_EVENT_BATCH},
        "status=queued&kind=user_event_batch&status=cancelled": {Kind.USER_EVENT_BATCH},
        "include=progress&include=progress": set(Kind),
    }.items():
        assert set(ids(ask(f"?{query}"))) == {made[kind] for kind in found}, query
    many = [*made.values(), *(f"none-{number}" for number in range(97))]
    repeated = ask("?" + "&".join(f"ids={each}" for each in many))
    assert (ids(repeated), repeated.json) == ([*made.values()], ask(ids=",".join(many)).json)
    assert list(ask("?kind=transaction_batch&kind=parcel").json["error"]["details"]) == ["kind"]
    assert list(ask("?" + "&".join(["ids=a"] * 133)).json["error"]["details"]) == ["query"]


@pytest.mark.parametrize("query", ["?limit=1&limit=2", "?createdAfter=now&createdAfter=now", "?cursor=a&cursor=b"])
def test_a_repeated_parameter_that_is_no_list_is_400(ask: Ask, query: str) -> None:
    answer = ask(query)
    assert (answer.status_code, list(answer.json["error"]["details"])) == (400, [query[1:].partition("=")[0]])


# Several by id


def test_jobs_by_id_come_in_the_order_of_the_request(ask: Ask, store: JobStore) -> None:
    jobs = [store.create(ORG, kind).job_id for kind in Kind]
    foreign = store.create("org_other", "transaction_batch").job_id
    asked = [jobs[2], "unknown", jobs[0], "mal:formed", foreign, jobs[2], "", "é"]
    answer = ask(ids=",".join(asked))
    assert list(answer.json) == ["success", "jobs", "notFound"]
    assert fits(JobsResponseSchema(), answer.json)
    assert ids(answer) == [jobs[2], jobs[0]]
    assert answer.json["notFound"] == ["unknown", "mal:formed", foreign, "", "é"]


def test_several_jobs_are_one_round_trip_to_the_store(redis_client: "redis.Redis", real_store: JobStore) -> None:
    jobs = [real_store.create(ORG, "transaction_batch").job_id for _ in range(100)]
    before: Any = redis_client.info("stats")
    real_store.get_many(ORG, jobs)
    after: Any = redis_client.info("stats")
    # The server reads its socket a few times per round trip, but not a hundred times.
    assert after["total_reads_processed"] - before["total_reads_processed"] <= 6


def test_a_damaged_job_among_the_ids_is_500(ask: Ask, store: JobStore, client: "redis.Redis") -> None:
    job_id = store.create(ORG, "transaction_batch").job_id
    client.hset(Keys("batchstatus").job(ORG, job_id).job, "failed", "nan")
    assert ask(ids=job_id).status_code == 500
    assert ids(ask()) == []


# Access


def test_history_needs_a_key_with_a_read_permission(web: FlaskClient, store: JobStore) -> None:
    key, _ = store.api_keys.create(ORG, ["reports:read"])
    for headers, status in ({}, 401), ({"Authorization": f"Bearer {key}"}, 403):
        assert web.get(f"{PATH}?limit=x", headers=headers).status_code == status


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE", "OPTIONS"])
def test_other_methods_are_405(web: FlaskClient, method: str) -> None:
    answer = web.open(PATH, method=method)
    assert answer.status_code == 405
    assert set(answer.headers["Allow"].split(", ")) == {"GET", "HEAD", "POST"}
