"""`include=progress` (contract §11): on one job, on a page of history, and on jobs by id."""

import pytest
from flask.testing import FlaskClient

from batchstatus import JobStore
from batchstatus.schemas import HistoryResponseSchema, JobResponseSchema, JobsResponseSchema
from tests.support.wire import ORG, STATES, get, job_in

NULLS = {"rowsPerSecond": None, "secondsLeft": None, "secondsLeftLow": None, "secondsLeftHigh": None}


@pytest.fixture
def path(store: JobStore) -> str:
    """The path of a running job with 40 of 100 rows in 20 s, 10 of them in the last 5 s."""
    store.create(ORG, "transaction_batch", job_id="job-1", total_items=100)
    key = store.connection.keys.job(ORG, "job-1").job
    pace = "1764000000000 1764000016000 38 1764000015000 30 1764000000000 0"
    running = {"status": "running", "succeeded": 40, "heartbeatAt": 1764000020000, "claimedAt": 1764000000000}
    later = {"leaseExpiresAt": 9_000_000_000_000, "pace": pace, "rev": 7, "token": "t", "fence": 1}
    store.connection.command("HSET", key, *[word for each in (running | later).items() for word in each])
    return "/batch-import/jobs/job-1"


def test_the_job_has_its_pace_and_the_time_left(web: FlaskClient, api_key: str, path: str) -> None:
    body = get(web, f"{path}?include=progress", api_key).json
    plain = get(web, path, api_key).json
    progress = body["job"].pop("progress")
    assert body == plain
    assert list(progress) == ["startedAt", *NULLS]
    assert (progress["startedAt"], progress["rowsPerSecond"], progress["secondsLeft"]) == (
        *("2025-11-24T16:00:00.000Z", 2.0),
        30.0,
    )
    assert progress["secondsLeftLow"] < 30 < progress["secondsLeftHigh"]
    assert JobResponseSchema().validate({**body, "job": {**body["job"], "progress": progress}}) == {}


def test_it_is_the_last_member_and_absent_unless_asked_for(web: FlaskClient, api_key: str, path: str) -> None:
    assert [*get(web, f"{path}?include=progress", api_key).json["job"]][-1] == "progress"
    assert "progress" not in get(web, path, api_key).json["job"]


def test_it_does_not_change_the_entity_tag(web: FlaskClient, api_key: str, path: str) -> None:
    with_it, without = get(web, f"{path}?include=progress", api_key), get(web, path, api_key)
    assert with_it.headers["ETag"] == without.headers["ETag"]
    headers = {"Authorization": f"Bearer {api_key}", "If-None-Match": without.headers["ETag"]}
    assert web.get(f"{path}?include=progress", headers=headers).status_code == 304


@pytest.mark.parametrize("state", STATES)
def test_what_is_not_known_is_null(web: FlaskClient, store: JobStore, api_key: str, state: str) -> None:
    with job_in(state, store, "transaction_batch") as job:
        found = get(web, f"/batch-import/jobs/{job.job_id}?include=progress", api_key).json["job"]
    progress = found["progress"]
    assert (progress.pop("startedAt") is None) == (found["heartbeatAt"] is None)
    assert progress == NULLS


@pytest.mark.parametrize("query", ["include=progress,failures", "include=failures&include=progress"])
def test_failures_stand_alone(web: FlaskClient, api_key: str, path: str, query: str) -> None:
    refused = get(web, f"{path}?{query}", api_key)
    assert refused.status_code == 400
    assert list(refused.json["error"]["details"]) == ["include"]


@pytest.mark.parametrize(
    "query", ["include=progress,progress", "include=,progress", "include=progress&include=progress"]
)
def test_repeats_change_nothing(web: FlaskClient, api_key: str, path: str, query: str) -> None:
    assert get(web, f"{path}?{query}", api_key).data == get(web, f"{path}?include=progress", api_key).data


def test_lists_have_it_where_asked_for(web: FlaskClient, api_key: str, path: str) -> None:
    alone = get(web, f"{path}?include=progress", api_key).json["job"]
    page = get(web, "/batch-import/jobs?include=progress", api_key).json
    assert page["jobs"] == [alone]
    assert HistoryResponseSchema().validate(page) == {}
    by_id = get(web, "/batch-import/jobs?ids=job-1,x&include=progress", api_key).json
    assert (by_id["jobs"], by_id["notFound"]) == ([alone], ["x"])
    assert JobsResponseSchema().validate(by_id) == {}
    for query in ("", "?ids=job-1"):
        assert "progress" not in get(web, f"/batch-import/jobs{query}", api_key).json["jobs"][0]


@pytest.mark.parametrize(
    "query", ["include=failures", "include=", "include=progress,failures", "ids=job-1&include=x"]
)
def test_a_list_includes_progress_and_nothing_else(web: FlaskClient, api_key: str, path: str, query: str) -> None:
    refused = get(web, f"/batch-import/jobs?{query}", api_key)
    assert (refused.status_code, list(refused.json["error"]["details"])) == (400, ["include"])


def test_a_damaged_note_makes_no_job_unreadable(
    web: FlaskClient, store: JobStore, api_key: str, path: str
) -> None:
    key = store.connection.keys.job(ORG, "job-1").job
    store.connection.command("HSET", key, "pace", "nonsense", "claimedAt", "yesterday")
    assert get(web, f"{path}?include=progress", api_key).json["job"]["progress"] == {"startedAt": None, **NULLS}
