"""The control route (contract §5, §7): access, the order of checks, effects and answers."""

from contextlib import suppress
from typing import Any

import pytest
import redis
from flask.testing import FlaskClient

from batchstatus import Job, JobAborted, JobStore, Kind, Status
from batchstatus.model.keys import Keys
from batchstatus.protocol import verbs
from batchstatus.settings import StoreSettings
from batchstatus.web import access, create_app
from batchstatus.web.views import control as module
from tests.conftest import ORG
from tests.support.controls import (
    JOB_ALREADY_TERMINAL,
    KIND_MISMATCH,
    PAUSE,
    PERMISSIONS,
    Controls,
    flags,
    refusal,
    shown,
)
from tests.support.hostile import FORBIDDEN, INVALID_REQUEST, JOB_NOT_FOUND, UNAUTHENTICATED
from tests.support.waiting import wait_until


@pytest.fixture
def control(web: FlaskClient, store: JobStore) -> Controls:
    return Controls(web, store)


@pytest.fixture
def job(store: JobStore) -> Job:
    """A queued job."""
    return store.create(ORG, "transaction_batch", total_items=5, metadata={"fileName": "a.csv"})


# Access and the order of checks


def test_the_checks_come_in_the_order_of_the_contract(store: JobStore, control: Controls, job: Job) -> None:
    reads, reads_nothing = control.key_with("events:create"), control.key_with("transactions:read")
    wrong: dict[str, Any] = {"kind": "entity_automatic", "action": "explode", "x": 1}
    # When everything is wrong: the key, the job, the body, the kind
    assert refusal(control("unknown", key=None, **wrong)) == UNAUTHENTICATED
    assert refusal(control("unknown", key=reads_nothing, **wrong)) == FORBIDDEN
    assert refusal(control("unknown", key=reads, **wrong)) == JOB_NOT_FOUND
    assert refusal(control(job, key=reads, **wrong)) == INVALID_REQUEST
    # When the body is valid, but the job has ended
    store.control(ORG, job.job_id, "cancel")
    assert refusal(control(job, "pause", "entity_automatic", reads)) == KIND_MISMATCH
    assert refusal(control(job, "pause", key=reads)) == FORBIDDEN
    assert refusal(control(job, "pause", key=control.key_with("transactions:create"))) == JOB_ALREADY_TERMINAL


@pytest.mark.parametrize("kind", Kind)
@pytest.mark.parametrize("permission", PERMISSIONS.values())
def test_control_needs_the_permission_of_the_jobs_kind(
    store: JobStore, control: Controls, kind: Kind, permission: str
) -> None:
    job = store.create(ORG, kind)
    answer = control(job, "pause", key=control.key_with(permission))
    if permission == PERMISSIONS[kind]:
        assert flags(answer) == {PAUSE}
    else:
        assert refusal(answer) == FORBIDDEN
        assert store.get(ORG, job.job_id) == job


def test_a_wrong_kind_is_a_conflict_and_changes_nothing(store: JobStore, control: Controls, job: Job) -> None:
    for kind in set(Kind) - {job.kind}:
        assert refusal(control(job, kind=kind)) == KIND_MISMATCH
    assert store.get(ORG, job.job_id) == job


def test_another_organizations_job_is_answered_like_an_unknown_one(
    store: JobStore, control: Controls, job: Job
) -> None:
    theirs = control.key_with(*PERMISSIONS.values(), org="org_other")
    foreign, unknown, malformed = (control(each, key=theirs) for each in (job, "unknown", "a b"))
    assert refusal(foreign) == JOB_NOT_FOUND
    assert foreign.data == unknown.data == malformed.data
    assert store.get(ORG, job.job_id) == job


# A queued job


def test_a_queued_job_is_cancelled_at_once_and_a_repeated_cancel_changes_nothing(
    store: JobStore, web: FlaskClient, control: Controls, job: Job
) -> None:
    answer = control(job, "cancel")
    assert (shown(answer)["status"], flags(answer)) == ("cancelled", set())
    assert shown(answer)["completedAt"] is not None
    ended, again = store.get(ORG, job.job_id), control(job, "cancel")
    assert (again.status_code, again.data) == (200, answer.data)
    assert store.get(ORG, job.job_id) == ended
    headers = {"Authorization": f"Bearer {control.key_with('events:create')}"}
    assert web.get(f"/batch-import/jobs/{job.job_id}", headers=headers).data == answer.data


def test_a_queued_job_can_be_paused_and_resumed_and_a_repeat_changes_nothing(
    store: JobStore, control: Controls, job: Job
) -> None:
    asked = {"resume": set[str](), "pause": {PAUSE}}
    for action in ("resume", "pause", "resume", "pause"):
        answer = control(job, action)
        assert (shown(answer)["status"], flags(answer)) == ("queued", asked[action])
        assert shown(answer)["metadata"]["fileName"] == "a.csv"
        rev, again = store.get(ORG, job.job_id).rev, control(job, action)
        assert (again.status_code, again.data) == (200, answer.data)
        assert store.get(ORG, job.job_id).rev == rev
    cancelled = control(job, "cancel")
    assert (shown(cancelled)["status"], flags(cancelled)) == ("cancelled", set())


# A job that has ended


@pytest.mark.parametrize("ending", [None, JobAborted("NO_ACCOUNT", "no such account"), ZeroDivisionError()])
@pytest.mark.parametrize("asked_before", ["pause", None])
def test_an_ended_job_shows_no_flags_and_refuses_actions(
    store: JobStore, control: Controls, job: Job, ending: Exception | None, asked_before: str | None
) -> None:
    with suppress(JobAborted, ZeroDivisionError), store.run(ORG, job.job_id):
        if asked_before:
            assert flags(control(job, asked_before)) == {PAUSE}
        if ending:
            raise ending
    ended = store.get(ORG, job.job_id)
    assert ended.status is (Status.FAILED if ending else Status.COMPLETED)
    assert ended.metadata == {"fileName": "a.csv"}
    for action in ("pause", "resume", "cancel"):
        assert refusal(control(job, action)) == JOB_ALREADY_TERMINAL
    assert store.get(ORG, job.job_id) == ended


def test_a_cancelled_job_accepts_another_cancel_but_no_pause_or_resume(
    store: JobStore, control: Controls, job: Job
) -> None:
    control(job, "cancel")
    ended = store.get(ORG, job.job_id)
    for action in ("pause", "resume"):
        assert refusal(control(job, action)) == JOB_ALREADY_TERMINAL
    assert shown(control(job, "cancel"))["status"] == "cancelled"
    assert store.get(ORG, job.job_id) == ended


def test_control_settles_a_job_whose_worker_died(client: "redis.Redis") -> None:
    # Given a job whose worker has died, without a look at it since
    store = JobStore(client, StoreSettings(lease_s=0.02, grace_s=0))
    job, control = store.create(ORG, "transaction_batch"), Controls(create_app(store).test_client(), store)
    verbs.claim(store.connection, Keys("batchstatus").job(ORG, job.job_id), "of a dead worker")
    # When pauses are requested until one finds the worker dead
    wait_until(lambda: control(job, "pause").status_code != 200)
    # Then the job has ended, without a flag of the earlier requests
    assert refusal(control(job, "pause")) == JOB_ALREADY_TERMINAL
    ended = store.get(ORG, job.job_id)
    assert (ended.status, ended.metadata) == (Status.INTERRUPTED, {})


def test_a_key_revoked_while_the_body_arrives_is_refused(
    web: FlaskClient, store: JobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = store.create(ORG, "transaction_batch")
    key, record = store.api_keys.create(ORG, ["transactions:create"])
    monkeypatch.setattr(access, "KNOWN_FOR_S", 0.0)
    read = module.json_body

    def slowly(request: Any, schema: Any) -> Any:
        store.api_keys.revoke(record.id)
        return read(request, schema)

    monkeypatch.setattr(module, "json_body", slowly)
    body = {"kind": "transaction_batch", "action": "cancel"}
    path = f"/batch-import/jobs/{job.job_id}/control"
    answer = web.post(path, json=body, headers={"Authorization": f"Bearer {key}"})
    assert answer.status_code == 401
    assert store.get(ORG, job.job_id).status == "queued"
