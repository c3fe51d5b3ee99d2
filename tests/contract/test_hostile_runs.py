"""Hostile workers: who may not run a job, run ids that are not theirs, too much of everything, wrong rows."""

from typing import Any

import pytest
from flask.testing import FlaskClient

from batchstatus import Job, JobStore, Kind
from batchstatus.web import access
from batchstatus.web.permissions import RUN
from batchstatus.web.views import runs as module
from tests.conftest import ORG
from tests.support.controls import PERMISSIONS, refusal
from tests.support.hostile import (
    FORBIDDEN,
    INVALID_REQUEST,
    JOB_NOT_FOUND,
    PAYLOAD_TOO_LARGE,
    UNAUTHENTICATED,
)
from tests.support.http_runs import ROW, HttpRuns, details, new_token, run_of

LEASE_LOST, TOO_MANY_ROWS = (409, "LEASE_LOST"), (400, "TOO_MANY_ROWS")
MEBIBYTE = 1024 * 1024


@pytest.fixture
def http(web: FlaskClient, store: JobStore) -> HttpRuns:
    return HttpRuns(web, store)


@pytest.fixture
def job(store: JobStore) -> Job:
    return store.create(ORG, "transaction_batch", job_id="job_1", takeover_s=600)


@pytest.fixture
def run(http: HttpRuns, job: Job) -> str:
    """The path of a run of the job."""
    return http.running(job.job_id)


def calls_of(run: str) -> dict[str, dict[str, Any]]:
    """Returns a good body for each path of a run."""
    return {
        run.rpartition("/")[0]: {"token": new_token()},
        f"{run.partition('/runs')[0]}/parts": {"parts": 2},
        f"{run}/reports": {"seq": 1, "succeeded": 1},
        f"{run}/finish": {"status": "completed", "seq": 0},
    }


# Who may


def test_the_checks_come_in_the_order_401_403_404_400(http: HttpRuns, run: str) -> None:
    reads, runs = http.key_with(*PERMISSIONS.values()), http.key_with(RUN)
    for path in calls_of(run):
        unknown = path.replace("job_1", "unknown")
        assert refusal(http.post(unknown, {"x": 1}, key=None)) == UNAUTHENTICATED
        assert refusal(http.post(unknown, {"x": 1}, key=reads)) == FORBIDDEN
        assert refusal(http.post(unknown, {"x": 1}, key=runs)) == JOB_NOT_FOUND
        assert refusal(http.post(path, {"x": 1}, key=runs)) == INVALID_REQUEST


def test_only_who_may_run_jobs_runs_them_and_needs_nothing_else(http: HttpRuns, job: Job) -> None:
    runs = http.key_with(RUN)
    claimed = http.post("/job_1/runs", {"token": new_token()}, key=runs)
    assert claimed.status_code == 201
    for path, body in calls_of(f"/job_1/runs/{claimed.json['run']['runId']}").items():
        assert refusal(http.post(path, body, key=http.key_with(*PERMISSIONS.values()))) == FORBIDDEN
        assert http.post(path, body, key=runs).status_code in {200, 409}


@pytest.mark.parametrize("kind", Kind)
@pytest.mark.parametrize("permission", [*PERMISSIONS.values(), RUN])
def test_to_create_a_job_needs_the_permission_of_its_kind(
    http: HttpRuns, store: JobStore, kind: Kind, permission: str
) -> None:
    answer = http.post("", {"kind": kind, "jobId": "x"}, key=http.key_with(permission))
    if permission == PERMISSIONS[kind]:
        assert answer.status_code == 202
    else:
        assert refusal(answer) == FORBIDDEN
        assert store.get_many(ORG, ["x"]) == {}


def test_another_organizations_job_is_answered_like_an_unknown_one(
    http: HttpRuns, store: JobStore, run: str
) -> None:
    theirs, before = http.key_with(RUN, org="org_other"), store.get(ORG, "job_1")
    for path, body in calls_of(run).items():
        foreign, unknown = (
            http.post(path, body, key=theirs),
            http.post(path.replace("job_1", "no"), body, key=theirs),
        )
        assert refusal(foreign) == JOB_NOT_FOUND
        assert foreign.data == unknown.data
    assert store.get(ORG, "job_1") == before


def test_a_key_revoked_while_the_body_arrives_is_refused(
    http: HttpRuns, store: JobStore, run: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(access, "KNOWN_FOR_S", 0.0)
    before = store.get(ORG, "job_1")
    for path, body in calls_of(run).items():
        key, record = store.api_keys.create(ORG, [RUN])

        def slowly(*_: Any, _id: str = record.id, _body: Any = body) -> Any:
            store.api_keys.revoke(_id)
            return _body

        with monkeypatch.context() as patch:
            patch.setattr(module, "json_body", slowly)
            assert refusal(http.post(path, body, key=key)) == UNAUTHENTICATED
    assert store.get(ORG, "job_1") == before


# Whose run


def altered(run: str, number: int, value: str) -> str:
    """Returns the path of a run with one part of its id replaced."""
    path, _, run_id = run.rpartition("/")
    parts = run_id.split(".")
    parts[number] = value
    return f"{path}/{'.'.join(parts)}"


def test_a_run_id_that_is_another_ones_stale_or_forged_writes_nothing(
    http: HttpRuns, store: JobStore, job: Job, run: str
) -> None:
    other_job = store.create(ORG, "transaction_batch", job_id="job_2")
    foreign = http.running(other_job.job_id).replace("job_2", "job_1")
    forged = [altered(run, 0, "2"), altered(run, 2, "user_event_batch"), altered(run, 3, new_token())]
    malformed = [altered(run, 0, "0"), altered(run, 1, "0"), altered(run, 2, "no_such_kind"), "/job_1/runs/x"]
    before = store.outcome(ORG, "job_1")
    for path in (foreign, *forged, *malformed, f"{run}x", "/job_1/runs/%00", f"/job_1/runs/{'9' * 3_000}"):
        assert refusal(http.report(path, 1, succeeded=1)) == LEASE_LOST
        assert refusal(http.report(path, 0)) == LEASE_LOST
        assert refusal(http.finish(path, "failed", 0)) == LEASE_LOST
    assert store.outcome(ORG, "job_1") == before


def test_rows_of_another_kind_are_not_written_by_a_run_id_with_that_kind(
    http: HttpRuns, store: JobStore, run: str
) -> None:
    row = {"rowKey": "row_5", "code": "VALIDATION_ERROR"}
    forged = altered(run, 2, "user_event_batch")
    assert refusal(http.report(forged, 1, failures=[row])) == LEASE_LOST
    assert details(http.report(run, 1, failures=[row])).keys() == {"failures[0]"}
    assert store.get(ORG, "job_1").failed == 0


# Too much


@pytest.mark.parametrize(("failed", "skipped"), [(1_001, 0), (500, 501), (0, 1_001)])
def test_more_than_1000_rows_are_refused_and_nothing_is_counted(
    http: HttpRuns, store: JobStore, run: str, failed: int, skipped: int
) -> None:
    rows = {
        "failures": [ROW] * failed,
        "skips": [{"externalId": "T-8", "code": "SKIPPED_DUPLICATE_TAX_ID"}] * skipped,
    }
    assert refusal(http.report(run, 1, succeeded=1, **rows)) == TOO_MANY_ROWS
    assert store.get(ORG, "job_1").done == 0
    assert run_of(http.report(run, 1, failures=[ROW] * 1_000))["seq"] == 1
    assert store.get(ORG, "job_1").failed == 1_000


def test_a_body_of_one_mebibyte_is_read_and_one_byte_more_is_refused(
    http: HttpRuns, store: JobStore, run: str
) -> None:
    body = b'{"seq": 1, "succeeded": 7}'
    large = http.post(f"{run}/reports", data=body.ljust(MEBIBYTE + 1))
    assert refusal(large) == PAYLOAD_TOO_LARGE
    assert large.json["error"]["message"] == "The request body is larger than 1024 KiB."
    assert run_of(http.post(f"{run}/reports", data=body.ljust(MEBIBYTE)))["seq"] == 1
    assert refusal(http.post("", data=body.ljust(MEBIBYTE + 1))) == PAYLOAD_TOO_LARGE
    assert store.get(ORG, "job_1").succeeded == 7


# Wrong bodies

TEXT = "not a text"
WRONG_ROWS = {
    "failures[0]": ["a row", 7, None, [], {"externalId": "T", "code": "X1", "sku": "7"}, {"code": "NO_NAME"}],
    "failures[0].code": [{"externalId": "T"}, {"externalId": "T", "code": "lower"}],
    "failures[0].externalId": [
        {"externalId": 7, "code": "X1"},
        {"externalId": {"a": 1}, "code": "X1"},
        {"externalId": True, "code": "X1"},
    ],
    "failures[0].message": [{"externalId": "T", "code": "X1", "message": None}],
}


@pytest.mark.parametrize("name", WRONG_ROWS)
def test_a_wrong_row_is_named_by_its_number_and_nothing_is_counted(
    http: HttpRuns, store: JobStore, run: str, name: str
) -> None:
    for row in WRONG_ROWS[name]:
        answer = http.report(run, 1, succeeded=1, failures=[row])
        assert details(answer).keys() == {name}
        later = http.report(run, 1, succeeded=1, failures=[ROW, ROW, ROW, row])
        assert details(later).keys() == {name.replace("[0]", "[3]")}
        assert details(http.report(run, 1, skips=[{"externalId": "T", "code": "lower"}])).keys() == {
            "skips[0].code"
        }
    assert store.get(ORG, "job_1").done == 0


def test_of_very_many_wrong_rows_the_first_are_named(http: HttpRuns, run: str) -> None:
    assert len(details(http.report(run, 1, failures=[{}] * 1_000))) == 32


WRONG_REPORTS: dict[str, list[Any]] = {
    "seq": [None, -1, 1.5, "1", True, 2**53],
    "succeeded": [None, -1, 0.5, "1", True, 10**9 + 1],
    "totalItems": [-1, "9", 2**53, False],
    "failures": [None, {}, "T-7", 3],
    "skips": [None, {}, "T-7", 3],
    "checkpoint": ["x" * 4_096, float("nan"), {"\ud800": 1}],
    "paused": [None, 1, "true", "yes"],
    "unknown": [1],
}


@pytest.mark.parametrize("name", WRONG_REPORTS)
def test_each_bad_member_of_a_report_is_named(http: HttpRuns, store: JobStore, run: str, name: str) -> None:
    for value in WRONG_REPORTS[name]:
        assert details(http.post(f"{run}/reports", {"seq": 1, "succeeded": 1, name: value})).keys() == {name}
    assert store.get(ORG, "job_1").done == 0


WRONG_ENDS: dict[str, list[dict[str, Any]]] = {
    "status": [{"status": each} for each in (None, "interrupted", "running", "done", 1)],
    "seq": [{"seq": each} for each in (None, -1, "0")],
    "workerError": [{"workerError": "x"}, {"status": "failed", "workerError": 5}],
    "jobFailure": [
        {"jobFailure": {"code": "X1", "message": ""}},
        {"status": "failed", "jobFailure": {"code": "X1", "message": "m", "details": "x" * 16_384}},
    ],
    "jobFailure.code": [{"status": "failed", "jobFailure": {"code": "lower", "message": "m"}}],
    "jobFailure.message": [{"status": "failed", "jobFailure": {"code": "X1"}}],
}


@pytest.mark.parametrize("name", WRONG_ENDS)
def test_each_bad_member_of_an_end_is_named(http: HttpRuns, store: JobStore, run: str, name: str) -> None:
    for members in WRONG_ENDS[name]:
        answer = http.post(f"{run}/finish", {"status": "completed", "seq": 0, **members})
        assert details(answer).keys() == {name}
    assert store.get(ORG, "job_1").status == "running"


WRONG_CLAIMS: dict[str, list[Any]] = {
    "token": [None, "", "short", "x" * 129, "a b" * 8, "caf\xe9" * 8, "a.b" * 8, 5],
    "leaseSeconds": [None, 0, -1, 3_601, 1.5, "30", True],
    "part": [None, 0, 1_001, "1", 1],
    "worker": [None, "", "x" * 101, "a\nb", "caf\xe9", "\x1b[2J", 5],
}


@pytest.mark.parametrize("name", WRONG_CLAIMS)
def test_each_bad_member_of_a_claim_is_named(http: HttpRuns, store: JobStore, job: Job, name: str) -> None:
    for value in WRONG_CLAIMS[name]:
        assert details(http.post("/job_1/runs", {"token": new_token(), name: value})).keys() == {name}
    assert store.get(ORG, "job_1") == job


WRONG_JOBS: dict[str, list[Any]] = {
    "kind": [None, "no_such_kind", 5],
    "jobId": [None, "", "a b", "x" * 65, "x\n", 5],
    "totalItems": [-1, 1.5, "5", 2**53],
    "metadata": [None, [], {"a": "x" * 16_384}, {"batchPaused": True}, {"a": float("inf")}],
    "takeoverSeconds": [None, -1, 10**9, "5"],
    "parts": [None, 1, 1_001, "2", 2.5],
}


@pytest.mark.parametrize("name", WRONG_JOBS)
def test_each_bad_member_of_a_new_job_is_named(http: HttpRuns, store: JobStore, name: str) -> None:
    for value in WRONG_JOBS[name]:
        assert details(http.create(**{"jobId": "new", name: value})).keys() == {name}
    assert store.list(ORG).jobs == ()


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'"x"', b"\xff", b'{"seq": 1, "seq": 1}', b"[" * 100_000])
def test_a_body_that_is_no_json_object_is_refused(http: HttpRuns, run: str, body: bytes) -> None:
    for path in ("", *calls_of(run)):
        assert details(http.post(path, data=body)).keys() == {"body"}
