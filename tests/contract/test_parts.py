"""Many workers on one job over HTTP (contract §10): splitting it, running parts, reading them."""

from typing import Any

import pytest
import redis
from flask.testing import FlaskClient

from batchstatus import Job, JobStore
from batchstatus.web.permissions import RUN
from tests.conftest import ORG
from tests.support.controls import JOB_ALREADY_TERMINAL, PERMISSIONS, refusal
from tests.support.hostile import FORBIDDEN, INVALID_REQUEST, JOB_NOT_FOUND, UNAUTHENTICATED
from tests.support.http_runs import ROW, HttpRuns, details, new_token, run_of

LEASE_HELD, LEASE_LOST, NOT_SPLITTABLE = (409, "LEASE_HELD"), (409, "LEASE_LOST"), (409, "JOB_NOT_SPLITTABLE")
POLL = "/batch-import/jobs/job_1"


@pytest.fixture
def http(web: FlaskClient, store: JobStore) -> HttpRuns:
    return HttpRuns(web, store)


@pytest.fixture
def job(store: JobStore) -> Job:
    return store.create(ORG, "transaction_batch", job_id="job_1", takeover_s=600, parts=3)


def poll(web: FlaskClient, http: HttpRuns, query: str = "", **headers: str) -> Any:
    return web.get(f"{POLL}{query}", headers={"Authorization": f"Bearer {http.able}", **headers})


# Splitting


def test_a_job_is_split_as_it_is_created_and_again_only_with_as_many_parts(http: HttpRuns) -> None:
    first = http.create(jobId="x", parts=3)
    assert (first.status_code, http.create(jobId="x", parts=3).data) == (202, first.data)
    for others in ({"parts": 4}, {}):
        assert refusal(http.create(jobId="x", **others)) == (409, "JOB_EXISTS")
    assert "part" in http.claim("x", part=3).json["run"]


def test_a_queued_job_is_split_once(http: HttpRuns, store: JobStore) -> None:
    store.create(ORG, "transaction_batch", job_id="job_1")
    first = http.post("/job_1/parts", {"parts": 2})
    assert (first.status_code, first.json["job"]["status"]) == (200, "queued")
    assert http.post("/job_1/parts", {"parts": 2}).data == first.data
    assert refusal(http.post("/job_1/parts", {"parts": 3})) == NOT_SPLITTABLE
    http.running("job_1", part=1)
    assert http.post("/job_1/parts", {"parts": 2}).status_code == 200


def test_a_job_that_a_worker_has_had_is_not_split(http: HttpRuns, store: JobStore) -> None:
    store.create(ORG, "transaction_batch", job_id="job_1")
    run = http.running("job_1")
    assert refusal(http.post("/job_1/parts", {"parts": 2})) == NOT_SPLITTABLE
    http.finish(run, "completed", 0)
    assert refusal(http.post("/job_1/parts", {"parts": 2})) == JOB_ALREADY_TERMINAL


@pytest.mark.parametrize("parts", [None, 0, 1, 1_001, 2.5, "2", True, [2]], ids=repr)
def test_a_number_of_parts_that_cannot_be_is_named(http: HttpRuns, store: JobStore, parts: Any) -> None:
    store.create(ORG, "transaction_batch", job_id="job_1")
    assert details(http.post("/job_1/parts", {"parts": parts})).keys() == {"parts"}
    assert details(http.create(jobId="x", parts=parts)).keys() == {"parts"}
    assert store.get_many(ORG, ["x", "job_1"])["job_1"].parts is None


def test_who_may_split_is_asked_before_the_job_and_the_job_before_the_body(http: HttpRuns, job: Job) -> None:
    reads, runs, theirs = http.key_with(*PERMISSIONS.values()), http.key_with(RUN), http.key_with(RUN, org="other")
    assert refusal(http.post("/no/parts", {"x": 1}, key=None)) == UNAUTHENTICATED
    assert refusal(http.post("/no/parts", {"x": 1}, key=reads)) == FORBIDDEN
    assert refusal(http.post("/no/parts", {"x": 1}, key=runs)) == JOB_NOT_FOUND
    foreign = http.post("/job_1/parts", {"parts": 3}, key=theirs)
    assert (refusal(foreign), foreign.data) == (
        JOB_NOT_FOUND,
        http.post("/no/parts", {"parts": 3}, key=theirs).data,
    )
    assert refusal(http.post("/job_1/parts", {"x": 1}, key=runs)) == INVALID_REQUEST
    assert http.post("/job_1/parts", {"parts": 3}, key=runs).status_code == 200


# Running parts


def test_each_part_is_claimed_reported_and_finished_as_a_job_of_its_own(
    http: HttpRuns, store: JobStore, job: Job
) -> None:
    runs = {}
    for part in (1, 2, 3):
        answer = http.claim("job_1", part=part, leaseSeconds=part * 10)
        assert (answer.status_code, answer.json["run"]["part"]) == (201, part)
        runs[part] = f"/job_1/runs/{answer.json['run']['runId']}"
    for part, path in runs.items():
        said = run_of(http.report(path, 1, succeeded=part, failures=[ROW], checkpoint=part, totalItems=part + 1))
        assert (said["part"], said["seq"], said["checkpoint"]) == (part, 1, part)
        repeat = run_of(http.report(path, 1, succeeded=part, failures=[ROW], checkpoint=part, totalItems=part + 1))
        assert repeat["seq"] == 1
    found = store.get(ORG, "job_1")
    assert (found.succeeded, found.failed, found.total_items) == (6, 3, 9)
    assert [http.finish(runs[part], "completed", 1).json["job"]["status"] for part in (2, 3, 1)] == [
        "running",
        "running",
        "completed",
    ]
    assert refusal(http.report(runs[1], 2, succeeded=1)) == LEASE_LOST
    assert http.finish(runs[1], "completed", 1).json["job"]["status"] == "completed"


def test_a_part_is_held_by_one_run_and_the_same_claim_is_the_same_run(http: HttpRuns, job: Job) -> None:
    token = new_token()
    first = http.claim("job_1", token, part=2)
    assert http.claim("job_1", token, part=2).json == first.json
    assert refusal(http.claim("job_1", part=2)) == LEASE_HELD
    assert http.claim("job_1", part=1).status_code == 201


def test_a_part_that_has_completed_is_not_claimed_again(http: HttpRuns, job: Job) -> None:
    http.finish(http.running("job_1", part=2), "completed", 0)
    assert refusal(http.claim("job_1", part=2)) == JOB_ALREADY_TERMINAL


@pytest.mark.parametrize("members", [{}, {"part": 4}, {"part": 1_000}])
def test_a_claim_that_does_not_fit_a_split_job_is_400(
    http: HttpRuns, store: JobStore, job: Job, members: Any
) -> None:
    assert details(http.claim("job_1", **members)).keys() == {"part"}
    assert store.get(ORG, "job_1") == job


@pytest.mark.parametrize("part", [0, -1, 1_001, 1.5, "1", True, None, [1]], ids=repr)
def test_a_part_that_cannot_be_is_named(http: HttpRuns, job: Job, part: Any) -> None:
    assert details(http.claim("job_1", part=part)).keys() == {"part"}


def test_a_part_of_a_job_that_is_not_split_is_400(http: HttpRuns, store: JobStore) -> None:
    store.create(ORG, "transaction_batch", job_id="job_1")
    assert details(http.claim("job_1", part=1)).keys() == {"part"}


def test_a_run_of_one_part_writes_nothing_to_another(http: HttpRuns, store: JobStore, job: Job) -> None:
    path = http.running("job_1", part=2)
    http.running("job_1", part=1)
    before = store.parts(ORG, "job_1")
    parts = ("p1.", "p3.", "p4.", "", "p0.", "p1000.", "p1001.", "p9999.", "p02.", "2.")
    other = [path.replace("/p2.", f"/{part}") for part in parts]
    for each in other:
        assert refusal(http.report(each, 1, succeeded=1)) == LEASE_LOST
        assert refusal(http.finish(each, "failed", 0)) == LEASE_LOST
    assert store.parts(ORG, "job_1") == before


def test_a_part_that_fails_ends_the_job_and_the_others_are_told(http: HttpRuns, job: Job) -> None:
    one, two = (http.running("job_1", part=part) for part in (1, 2))
    ended = http.finish(one, "failed", 0, workerError="disk full")
    assert (ended.json["job"]["status"], ended.json["job"]["workerError"]) == ("failed", "disk full")
    assert refusal(http.report(two, 1, succeeded=1)) == LEASE_LOST
    assert refusal(http.finish(two, "completed", 0)) == LEASE_LOST
    assert refusal(http.claim("job_1", part=3)) == JOB_ALREADY_TERMINAL


def test_control_reaches_every_part(http: HttpRuns, store: JobStore, job: Job) -> None:
    runs = [http.running("job_1", part=part) for part in (1, 2)]
    store.control(ORG, "job_1", "cancel")
    assert [run_of(http.report(run, 0))["control"] for run in runs] == ["cancel", "cancel"]
    assert [http.finish(run, "cancelled", 0).json["job"]["status"] for run in runs] == ["running", "cancelled"]


def test_a_released_part_is_taken_over_at_its_checkpoint(http: HttpRuns, job: Job) -> None:
    first = http.running("job_1", part=1)
    http.report(first, 1, succeeded=5, checkpoint={"line": 5})
    http.finish(first, "released", 1)
    again = http.claim("job_1", part=1)
    assert (again.json["run"]["checkpoint"], again.json["job"]["succeeded"]) == ({"line": 5}, 5)
    assert refusal(http.report(first, 2, succeeded=1)) == LEASE_LOST


# Reading


def test_the_parts_are_in_the_body_only_where_they_are_asked_for(
    web: FlaskClient, http: HttpRuns, job: Job
) -> None:
    http.report(http.running("job_1", part=2), 1, succeeded=2, failures=[ROW], totalItems=9)
    plain, parts = poll(web, http), poll(web, http, "?include=parts")
    assert {name: value for name, value in parts.json.items() if name != "parts"} == plain.json
    assert [each["part"] for each in parts.json["parts"]] == [1, 2, 3]
    waiting, at_work, _ = parts.json["parts"]
    assert waiting == {
        "part": 1,
        "status": "queued",
        "totalItems": None,
        "succeeded": 0,
        "failed": 0,
        "skipped": 0,
        "heartbeatAt": None,
        "leaseExpiresAt": None,
    }
    assert {**at_work, "heartbeatAt": "", "leaseExpiresAt": ""} == {
        "part": 2,
        "status": "running",
        "totalItems": 9,
        "succeeded": 2,
        "failed": 1,
        "skipped": 0,
        "heartbeatAt": "",
        "leaseExpiresAt": "",
    }
    assert at_work["leaseExpiresAt"] == plain.json["job"]["leaseExpiresAt"]


def test_parts_and_progress_go_together_and_failures_alone(web: FlaskClient, http: HttpRuns, job: Job) -> None:
    both = poll(web, http, "?include=parts,progress").json
    assert ("progress" in both["job"], len(both["parts"])) == (True, 3)
    assert "progress" not in poll(web, http, "?include=parts").json["job"]
    assert refusal(poll(web, http, "?include=parts,failures")) == INVALID_REQUEST


def test_a_job_that_is_not_split_has_no_parts(web: FlaskClient, http: HttpRuns, store: JobStore) -> None:
    store.create(ORG, "transaction_batch", job_id="job_1")
    assert poll(web, http, "?include=parts").json["parts"] == []


def test_parts_have_the_jobs_entity_tag(web: FlaskClient, http: HttpRuns, job: Job) -> None:
    run = http.running("job_1", part=2)
    tag = poll(web, http, "?include=parts").headers["ETag"]
    assert tag == poll(web, http).headers["ETag"]
    http.report(run, 0)
    assert poll(web, http, "?include=parts", **{"If-None-Match": tag}).status_code == 304
    http.report(run, 1, succeeded=1)
    assert poll(web, http, "?include=parts", **{"If-None-Match": tag}).status_code == 200


def test_the_rows_of_all_parts_are_in_json_and_csv(web: FlaskClient, http: HttpRuns, job: Job) -> None:
    for part in (3, 1):
        http.report(http.running("job_1", part=part), 1, failures=[{**ROW, "externalId": f"T-{part}"}])
    body = poll(web, http, "?include=failures").json
    assert ([row["externalId"] for row in body["failures"]], body["failuresTotal"]) == (["T-1", "T-3"], 2)
    path = "/batch-import/transaction-jobs/job_1/failures.csv"
    csv = web.get(path, headers={"Authorization": f"Bearer {http.able}"}).text
    assert [line.partition(",")[0] for line in csv.splitlines()] == ["external_id", "T-1", "T-3"]


def test_a_split_job_whose_worker_vanished_is_interrupted_by_polls(
    web: FlaskClient, http: HttpRuns, store: JobStore, client: "redis.Redis"
) -> None:
    store.create(ORG, "transaction_batch", job_id="job_1", parts=2)
    http.running("job_1", part=1)
    http.running("job_1", part=2)
    job = store.connection.keys.parts(ORG, "job_1")
    for key in (job.job, job.part(2).job):
        client.hset(key, "leaseExpiresAt", 1)
    client.zadd(job.leases, {"2": 1})
    assert poll(web, http).json["job"]["status"] == "running"
    client.hset(job.part(2).job, "suspectAt", 1)
    assert poll(web, http).json["job"]["status"] == "interrupted"
    statuses = [part["status"] for part in poll(web, http, "?include=parts").json["parts"]]
    assert statuses == ["interrupted", "interrupted"]
