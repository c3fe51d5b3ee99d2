"""Control's rules: what repeating does, what a job that has ended refuses, and who may ask for what."""

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
import redis

from batchstatus import (
    InvalidTransition,
    InvalidValue,
    Job,
    JobAborted,
    JobCancelled,
    JobNotFound,
    JobStore,
    Status,
)
from batchstatus.model.job import Action
from batchstatus.model.keys import Keys
from batchstatus.model.messages import Claim, Verdict
from batchstatus.protocol import verbs
from batchstatus.settings import StoreSettings
from batchstatus.transport.connection import Connection
from tests.support.imports import CANCEL, KIND, ORG, PAUSE, PAUSED, aside, flags, keep_checking
from tests.support.waiting import wait_until

RETENTION_S = 30 * 86_400


@pytest.fixture
def store(client: "redis.Redis") -> JobStore:
    """A store whose workers are heard several times a second."""
    return JobStore(client, StoreSettings(lease_s=0.6))


def stored(client: "redis.Redis", job: Job) -> Any:
    return client.hgetall(Keys("batchstatus").job(ORG, job.job_id).job)


ENDINGS: dict[Status, BaseException | None] = {
    Status.COMPLETED: None,
    Status.FAILED: JobAborted("BAD_REFERENCES", "unknown entities"),
    Status.CANCELLED: JobCancelled(),
    Status.INTERRUPTED: KeyboardInterrupt(),
}


@pytest.mark.parametrize("action", Action)
def test_repeating_an_action_changes_nothing_on_a_queued_job(
    store: JobStore, client: "redis.Redis", action: Action
) -> None:
    job = store.create(ORG, KIND)
    first, before = store.control(ORG, job.job_id, action), stored(client, job)
    assert first.rev == job.rev + (action is not Action.RESUME)
    assert store.control(ORG, job.job_id, str(action)) == first
    assert stored(client, job) == before


@pytest.mark.parametrize("action", Action)
def test_repeating_an_action_changes_nothing_on_a_running_job(
    store: JobStore, client: "redis.Redis", action: Action
) -> None:
    job = store.create(ORG, KIND)
    claim = _claim(client, job)
    first, before = store.control(ORG, job.job_id, action), stored(client, job)
    assert first.rev == claim.job.rev + (action is not Action.RESUME)
    assert store.control(ORG, job.job_id, action) == first
    assert stored(client, job) == before


def test_each_change_that_control_makes_is_a_new_rev_and_obeying_is_one_too(store: JobStore) -> None:
    job = store.create(ORG, KIND)
    with store.run(ORG, job.job_id) as run:
        claimed = run.job.rev
        assert store.control(ORG, job.job_id, "pause").rev == claimed + 1
        aside(lambda: keep_checking(run))
        wait_until(lambda: PAUSED in flags(store, job))
        assert store.get(ORG, job.job_id).rev == claimed + 2
        assert store.control(ORG, job.job_id, "resume").rev == claimed + 3
        assert store.control(ORG, job.job_id, "cancel").rev == claimed + 4


def test_a_pause_does_not_take_a_cancel_back_nor_does_a_resume(store: JobStore) -> None:
    job = store.create(ORG, KIND)
    with store.run(ORG, job.job_id):
        store.control(ORG, job.job_id, "cancel")
        assert store.control(ORG, job.job_id, "pause").metadata == {CANCEL: True, PAUSE: True}
        assert store.control(ORG, job.job_id, "resume").metadata == {CANCEL: True}
    assert store.get(ORG, job.job_id).status is Status.CANCELLED


@pytest.mark.parametrize("status", ENDINGS)
@pytest.mark.parametrize("action", Action)
def test_a_job_that_has_ended_refuses_all_but_another_cancel_of_a_cancelled_one(
    store: JobStore, client: "redis.Redis", status: Status, action: Action
) -> None:
    job = store.create(ORG, KIND)
    with suppress(JobAborted, KeyboardInterrupt), store.run(ORG, job.job_id):
        if leaving := ENDINGS[status]:
            raise leaving
    ended, before = store.get(ORG, job.job_id), stored(client, job)
    if (status, action) == (Status.CANCELLED, Action.CANCEL):
        assert store.control(ORG, job.job_id, action) == ended
    else:
        with pytest.raises(InvalidTransition, match=f"{status} already"):
            store.control(ORG, job.job_id, action)
    assert stored(client, job) == before


def test_the_job_of_a_dead_worker_is_settled_before_it_is_controlled(client: "redis.Redis") -> None:
    store = JobStore(client, StoreSettings(grace_s=0))
    job = store.create(ORG, KIND)
    _claim(client, job, lease_ms=1)
    wait_until(lambda: store.reader.look(ORG, job.job_id).verdict is Verdict.SUSPECT)
    with pytest.raises(InvalidTransition, match="interrupted"):
        store.control(ORG, job.job_id, "cancel")
    ended = store.get(ORG, job.job_id)
    assert (ended.status, ended.metadata) == (Status.INTERRUPTED, {})


REFUSED: dict[str, tuple[Callable[[JobStore, Job], Any], type[Exception]]] = {
    "an unknown job": (lambda store, job: store.control(ORG, "unknown", "cancel"), JobNotFound),
    "another's job": (lambda store, job: store.control("org_other", job.job_id, "cancel"), JobNotFound),
    "no such action": (lambda store, job: store.control(ORG, job.job_id, "explode"), InvalidValue),
    "no action": (lambda store, job: store.control(ORG, job.job_id, None), InvalidValue),  # type: ignore[arg-type]
    "a wrong id": (lambda store, job: store.control(ORG, "a:b", "cancel"), InvalidValue),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused_changes_nothing(store: JobStore, client: "redis.Redis", name: str) -> None:
    job = store.create(ORG, KIND)
    (before, keys), (ask, error) = (stored(client, job), client.keys()), REFUSED[name]
    with pytest.raises(error):
        ask(store, job)
    assert stored(client, job) == before
    assert set(client.keys()) == set(keys)


@pytest.mark.parametrize("action", Action)
def test_control_renews_the_time_of_all_keys_of_a_job(
    store: JobStore, client: "redis.Redis", action: Action
) -> None:
    # Given a job with rows, whose worker was told to stop: nobody else writes
    job = store.create(ORG, KIND, takeover_s=60)
    keys = Keys("batchstatus").job(ORG, job.job_id)
    with suppress(SystemExit), store.run(ORG, job.job_id) as run:
        run.failed({"externalId": "T-1", "code": "VALIDATION_ERROR", "message": ""})
        run.skipped({"externalId": "T-2", "code": "SKIPPED_ENTITY_ALREADY_EXISTS"})
        raise SystemExit
    for key in keys:
        assert client.expire(key, 100)
    # When it is controlled, even if that changes nothing
    store.control(ORG, job.job_id, action)
    # Then it stays for as long as any job
    assert min(client.ttl(key) for key in keys) > RETENTION_S - 60


def _claim(client: "redis.Redis", job: Job, lease_ms: int = 30_000) -> Claim:
    """Be a worker that claims the job and does nothing more."""
    keys, settings = Keys("batchstatus").job(ORG, job.job_id), StoreSettings(lease_s=lease_ms / 1000)
    return verbs.claim(Connection(client, settings), keys, "token")
