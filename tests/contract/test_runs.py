"""Creating and running a job over HTTP (contract §9): what each call answers, and counts once."""

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
import redis
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from batchstatus import Job, JobStore, Status
from batchstatus.settings import StoreSettings
from batchstatus.web import create_app
from tests.conftest import ORG
from tests.support.controls import JOB_ALREADY_TERMINAL, refusal, shown
from tests.support.hostile import JOB_NOT_FOUND, STORE_UNAVAILABLE
from tests.support.http_runs import JOBS, ROW, HttpRuns, details, new_token, run_of
from tests.support.sdk import keys_of
from tests.support.waiting import wait_until

JOB_EXISTS, LEASE_HELD = (409, "JOB_EXISTS"), (409, "LEASE_HELD")
LEASE_LOST, REPORTS_LOST = (409, "LEASE_LOST"), (409, "REPORTS_LOST")


@pytest.fixture
def http(web: FlaskClient, store: JobStore) -> HttpRuns:
    return HttpRuns(web, store)


@pytest.fixture
def job(store: JobStore) -> Job:
    """A queued job that another worker may take over."""
    return store.create(ORG, "transaction_batch", job_id="job_1", takeover_s=600)


def counted(store: JobStore) -> tuple[int, int, int]:
    """Returns the job's counters; asserts that all failed rows are stored."""
    outcome = store.outcome(ORG, "job_1")
    assert (outcome.failures_total, len(outcome.skips)) == (len(outcome.failures), outcome.job.skipped)
    return outcome.job.succeeded, outcome.job.failed, outcome.job.skipped


# Create


def test_create_makes_a_queued_job_and_says_where_it_is_polled(http: HttpRuns, store: JobStore) -> None:
    answer = http.create(totalItems=5, metadata={"fileName": "a.csv"}, takeoverSeconds=60)
    assert (answer.status_code, answer.json["job"]["status"]) == (202, "queued")
    job_id = answer.json["job"]["jobId"]
    assert answer.headers["Location"] == f"{JOBS}/{job_id}"
    assert int(answer.headers["Retry-After"]) in range(2, 6)
    found = store.get(ORG, job_id)
    assert (found.kind, found.total_items, found.metadata) == ("transaction_batch", 5, {"fileName": "a.csv"})


def test_create_again_answers_with_the_first_job_and_other_content_is_refused(http: HttpRuns) -> None:
    content: dict[str, Any] = {"jobId": "november", "totalItems": 5, "metadata": {"a": 1}, "takeoverSeconds": 9}
    first = http.create(**content)
    assert (http.create(**content).status_code, http.create(**content).data) == (202, first.data)
    for other in ({"totalItems": 6}, {"metadata": {}}, {"takeoverSeconds": 8}, {"kind": "user_event_batch"}):
        assert refusal(http.create(**{**content, **other})) == JOB_EXISTS


def test_the_location_of_a_job_is_below_the_prefix_of_the_service(store: JobStore) -> None:
    web = create_app(store).test_client()
    key = HttpRuns(web, store).able
    answer = web.post(
        JOBS,
        json={"kind": "transaction_batch", "jobId": "x"},
        headers={"Authorization": f"Bearer {key}"},
        environ_overrides={"SCRIPT_NAME": "/imports"},
    )
    assert answer.headers["Location"] == f"/imports{JOBS}/x"


# Claim


def test_a_claim_answers_with_the_run_and_the_job(http: HttpRuns, job: Job) -> None:
    answer = http.claim(job.job_id, leaseSeconds=7)
    run, shown_job = answer.json["run"], answer.json["job"]
    assert {**run, "runId": "", "leaseExpiresAt": ""} == {
        "runId": "",
        "part": None,
        "seq": 0,
        "checkpoint": None,
        "control": "run",
        "leaseExpiresAt": "",
    }
    assert (shown_job["status"], shown_job["leaseExpiresAt"]) == ("running", run["leaseExpiresAt"])


def test_a_claim_may_say_who_the_worker_is_and_no_caller_is_told(
    http: HttpRuns, job: Job, store: JobStore, client: "redis.Redis"
) -> None:
    run = http.running(job.job_id, worker="import-3:4711")
    assert client.hget(keys_of(job).job, "worker") == b"import-3:4711"
    assert b"import-3" not in http.get(f"/{job.job_id}").data
    # The next worker says nothing, and does not pass for this one.
    http.finish(run, "released", 0)
    http.running(job.job_id)
    assert client.hget(keys_of(job).job, "worker") is None


def test_a_claim_with_the_same_token_is_the_same_run_and_another_is_told_when_to_come_again(
    http: HttpRuns, job: Job
) -> None:
    token = new_token()
    first = http.claim(job.job_id, token, leaseSeconds=20)
    assert http.claim(job.job_id, token, leaseSeconds=20).json == first.json
    other = http.claim(job.job_id)
    assert refusal(other) == LEASE_HELD
    assert 15 <= int(other.headers["Retry-After"]) <= 20


def test_a_claim_of_an_ended_job_is_refused(http: HttpRuns, store: JobStore, job: Job) -> None:
    store.control(ORG, job.job_id, "cancel")
    assert refusal(http.claim(job.job_id)) == JOB_ALREADY_TERMINAL


@pytest.mark.parametrize("seconds", [1, 3600])
def test_a_lease_lasts_as_long_as_the_claim_says_and_each_report_renews_it(
    http: HttpRuns, store: JobStore, job: Job, seconds: int
) -> None:
    run = http.running(job.job_id, leaseSeconds=seconds)
    http.report(run, 0)
    found = store.get(ORG, job.job_id)
    assert found.lease_expires_at is not None
    assert found.heartbeat_at is not None
    assert (found.lease_expires_at - found.heartbeat_at).total_seconds() == seconds


def test_a_dead_workers_job_is_claimed_by_another_which_goes_on_at_the_checkpoint(client: "redis.Redis") -> None:
    store = JobStore(client, StoreSettings(grace_s=0.0))
    http = HttpRuns(create_app(store).test_client(), store)
    store.create(ORG, "transaction_batch", job_id="job_1", takeover_s=600)
    dead = http.running("job_1", leaseSeconds=1)
    http.report(dead, 1, succeeded=2, failures=[ROW], checkpoint={"line": 3})
    http.report(dead, 2, succeeded=4)
    answers: list[Any] = []

    def claimed() -> bool:
        answers.append(http.claim("job_1"))
        return bool(answers[-1].status_code == 201)

    wait_until(claimed)
    assert {refusal(each) for each in answers[:-1]} == {LEASE_HELD}
    run = answers[-1].json["run"]
    assert (run["seq"], run["checkpoint"]) == (0, {"line": 3})
    assert counted(store) == (2, 1, 0)
    assert refusal(http.report(dead, 3, succeeded=1)) == LEASE_LOST
    assert refusal(http.finish(dead, "completed", 2)) == LEASE_LOST


# Report


def test_a_report_counts_its_rows_and_answers_with_the_run(http: HttpRuns, store: JobStore, job: Job) -> None:
    run = http.running(job.job_id)
    skip = {"externalId": "T-8", "code": "SKIPPED_ENTITY_ALREADY_EXISTS"}
    said = run_of(
        http.report(run, 1, succeeded=5, failures=[ROW], skips=[skip], totalItems=9, checkpoint=[7, "x"])
    )
    assert (said["seq"], said["checkpoint"], said["control"], said["part"]) == (1, [7, "x"], "run", None)
    assert run.endswith(f"/{said['runId']}")
    found = store.outcome(ORG, job.job_id)
    assert (found.job.succeeded, found.job.total_items) == (5, 9)
    assert (found.failures, found.skips) == ((ROW,), (skip,))
    assert run_of(http.report(run, 1))["checkpoint"] == [7, "x"]


def test_each_call_sent_again_counts_once(http: HttpRuns, store: JobStore, job: Job) -> None:
    run = http.running(job.job_id)
    for seq in (1, 2):
        for _ in range(3):
            assert run_of(http.report(run, seq, succeeded=5, failures=[ROW], checkpoint=seq))["seq"] == seq
    assert counted(store) == (10, 2, 0)
    ended = [http.finish(run, "completed", 2) for _ in range(3)]
    assert {(each.status_code, each.data) for each in ended} == {(200, ended[0].data)}
    assert shown(ended[0])["status"] == "completed"


def test_a_report_without_content_is_a_heartbeat_under_the_last_number_only(
    http: HttpRuns, store: JobStore, job: Job
) -> None:
    run = http.running(job.job_id, leaseSeconds=60)
    http.report(run, 1, succeeded=1)
    rev = store.get(ORG, job.job_id).rev
    first, again = run_of(http.report(run, 1)), run_of(http.report(run, 1))
    assert again["leaseExpiresAt"] >= first["leaseExpiresAt"]
    assert store.get(ORG, job.job_id).rev == rev
    assert details(http.report(run, 2)).keys() == {"seq"}


@pytest.mark.parametrize("seq", [0, 3, 2**53 - 1])
def test_a_number_that_does_not_follow_the_last_one_is_refused_with_the_last_one(
    http: HttpRuns, store: JobStore, job: Job, seq: int
) -> None:
    run = http.running(job.job_id)
    http.report(run, 1, succeeded=1)
    for answer in (http.report(run, seq, succeeded=1), http.finish(run, "completed", seq)):
        assert refusal(answer) == REPORTS_LOST
        assert answer.json["error"]["details"] == {"seq": 1}
    assert counted(store) == (1, 0, 0)
    assert shown(http.finish(run, "failed", 1))["status"] == "failed"


def test_a_worker_hears_of_control_with_every_answer_and_says_that_it_waits(
    http: HttpRuns, store: JobStore, job: Job
) -> None:
    store.control(ORG, job.job_id, "pause")
    token = new_token()
    assert http.claim(job.job_id, token).json["run"]["control"] == "pause"
    run = http.running(job.job_id, token=token)
    assert run_of(http.report(run, 0, paused=True))["control"] == "pause"
    assert "batchPaused" in store.get(ORG, job.job_id).metadata
    store.control(ORG, job.job_id, "resume")
    assert run_of(http.report(run, 0))["control"] == "run"
    store.control(ORG, job.job_id, "cancel")
    assert run_of(http.report(run, 1, succeeded=1))["control"] == "cancel"
    assert shown(http.finish(run, "completed", 1))["status"] == "cancelled"


# Finish


def test_a_failed_job_shows_the_reason_that_the_worker_gave(http: HttpRuns, job: Job) -> None:
    run = http.running(job.job_id)
    reason = {"code": "INVALID_ENTITY_REFERENCES", "message": "no such entity", "details": {"rows": [5]}}
    said = shown(http.finish(run, "failed", 0, workerError="KeyError: 5", jobFailure=reason))
    assert (said["status"], said["workerError"], said["jobFailure"]) == ("failed", "KeyError: 5", reason)


@pytest.mark.parametrize(("said", "message"), [("boom", "boom"), (None, "The worker gave no reason.")])
def test_a_failed_job_without_a_reason_gets_one(http: HttpRuns, job: Job, said: Any, message: str) -> None:
    found = shown(http.finish(http.running(job.job_id), "failed", 0, workerError=said))
    assert (found["workerError"], found["jobFailure"]) == (said, {"code": "WORKER_ERROR", "message": message})


def test_a_released_job_is_claimed_at_once_and_a_repeated_release_changes_nothing(
    http: HttpRuns, store: JobStore, job: Job
) -> None:
    run = http.running(job.job_id)
    http.report(run, 1, succeeded=3, checkpoint=3)
    for _ in range(2):
        released = shown(http.finish(run, "released", 1))
        assert (released["status"], released["metadata"]) == ("running", {"batchAwaitingWorker": True})
    next_run = http.claim(job.job_id)
    assert next_run.json["run"]["checkpoint"] == 3
    assert shown(http.finish(run, "released", 1))["status"] == "running"
    assert refusal(http.report(run, 1)) == LEASE_LOST
    assert refusal(http.claim(job.job_id)) == LEASE_HELD


def test_a_worker_of_the_sdk_goes_on_where_one_over_http_stopped_and_the_other_way_round(
    http: HttpRuns, store: JobStore, job: Job
) -> None:
    run = http.running(job.job_id)
    http.report(run, 1, succeeded=3, failures=[ROW], checkpoint=4)
    http.finish(run, "released", 1)
    with suppress(SystemExit), store.run(ORG, job.job_id) as sdk:
        assert sdk.checkpoint == 4
        sdk.succeeded(2, checkpoint=6)
        raise SystemExit
    answer = http.claim(job.job_id)
    assert answer.json["run"]["checkpoint"] == 6
    http.report(f"/job_1/runs/{answer.json['run']['runId']}", 1, succeeded=1)
    assert shown(http.finish(f"/job_1/runs/{answer.json['run']['runId']}", "completed", 1))["succeeded"] == 6
    assert counted(store) == (6, 1, 0)


def test_a_job_that_is_gone_is_404_in_every_call(http: HttpRuns, store: JobStore) -> None:
    for answer in (
        http.claim("job_1"),
        http.report("/job_1/runs/x", 1),
        http.finish("/job_1/runs/x", "failed", 1),
    ):
        assert refusal(answer) == JOB_NOT_FOUND


def test_a_run_of_a_job_settled_meanwhile_is_over(client: "redis.Redis") -> None:
    store = JobStore(client, StoreSettings(grace_s=0.0))
    http = HttpRuns(create_app(store).test_client(), store)
    store.create(ORG, "transaction_batch", job_id="job_1")
    run = http.running("job_1", leaseSeconds=1)
    wait_until(lambda: store.get(ORG, "job_1").status is Status.INTERRUPTED)
    assert refusal(http.report(run, 1, succeeded=1)) == LEASE_LOST
    assert refusal(http.finish(run, "completed", 0)) == LEASE_LOST


def test_with_too_few_replicas_each_call_is_503_and_counts_once_when_it_is_sent_again(
    real_store: JobStore, redis_url: str
) -> None:
    lonely = JobStore.open(redis_url, StoreSettings(min_replicas=1))
    able = HttpRuns(create_app(real_store).test_client(), real_store)
    refused = HttpRuns(create_app(lonely).test_client(), real_store)

    def twice(send: Callable[[HttpRuns], TestResponse]) -> Any:
        """Send a call where no replica confirms it, and then, the same, where none has to."""
        assert refusal(send(refused)) == STORE_UNAVAILABLE
        again = send(able)
        assert again.status_code in {200, 201, 202}, again.text
        return again.json

    twice(lambda http: http.create(jobId="job_1", totalItems=3))
    token = new_token()
    claimed = twice(lambda http: http.claim("job_1", token))
    run = f"/job_1/runs/{claimed['run']['runId']}"
    twice(lambda http: http.report(run, 1, succeeded=2, failures=[ROW], checkpoint=3))
    assert counted(real_store) == (2, 1, 0)
    assert twice(lambda http: http.finish(run, "completed", 1))["job"]["status"] == "completed"
    lonely.close()
