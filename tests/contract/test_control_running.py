"""Control of a running job over HTTP: the answers show the request, and whether the worker has obeyed."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest
from flask.testing import FlaskClient

from batchstatus import InvalidTransition, Job, JobStore, Status
from tests.conftest import ORG
from tests.support.controls import CANCEL, PAUSE, PAUSED, Controls, flags, shown
from tests.support.waiting import wait_until


@pytest.fixture
def control(web: FlaskClient, store: JobStore) -> Controls:
    return Controls(web, store)


@pytest.fixture
def job(store: JobStore) -> Job:
    """A queued job."""
    return store.create(ORG, "transaction_batch", total_items=5, metadata={"fileName": "a.csv"})


@contextmanager
def running(store: JobStore, job: Job) -> Iterator[threading.Thread]:
    """Run an import of the job in a thread that checks in a loop, until the block ends or the job is cancelled."""
    stop = threading.Event()

    def work() -> None:
        with store.run(ORG, job.job_id, flush_s=0.02) as run:
            while not stop.wait(0.002):
                run.check()

    thread = threading.Thread(target=work)
    thread.start()
    try:
        wait_until(lambda: store.get(ORG, job.job_id).status is Status.RUNNING)
        yield thread
    finally:
        stop.set()
        with suppress(InvalidTransition):
            store.control(ORG, job.job_id, "resume")
        thread.join(60)


def test_pause_shows_as_requested_then_as_obeyed_and_resume_clears_both(
    store: JobStore, control: Controls, job: Job
) -> None:
    with running(store, job):
        assert PAUSE in flags(control(job, "pause"))
        wait_until(lambda: flags(control(job, "pause")) == {PAUSE, PAUSED})
        rev, again = store.get(ORG, job.job_id).rev, control(job, "pause")
        assert (shown(again)["status"], flags(again)) == ("running", {PAUSE, PAUSED})
        assert store.get(ORG, job.job_id).rev == rev
        resumed = control(job, "resume")
        assert (shown(resumed)["status"], flags(resumed)) == ("running", set())
    ended = store.get(ORG, job.job_id)
    assert (ended.status, ended.metadata) == (Status.COMPLETED, {"fileName": "a.csv"})


def test_a_worker_obeys_a_cancel_and_no_flag_is_left(store: JobStore, control: Controls, job: Job) -> None:
    with running(store, job) as worker:
        assert shown(control(job, "cancel"))["status"] in ("running", "cancelled")
        worker.join(60)
        assert not worker.is_alive()
    ended = control(job, "cancel")
    assert (shown(ended)["status"], flags(ended)) == ("cancelled", set())


def test_a_cancel_ends_a_paused_job_too(store: JobStore, control: Controls, job: Job) -> None:
    with running(store, job) as worker:
        control(job, "pause")
        wait_until(lambda: PAUSED in flags(control(job, "pause")))
        control(job, "cancel")
        worker.join(60)
        assert not worker.is_alive()
    ended = control(job, "cancel")
    assert (shown(ended)["status"], flags(ended)) == ("cancelled", set())


def test_a_cancel_under_way_is_shown_and_repeating_it_changes_nothing(
    store: JobStore, control: Controls, job: Job
) -> None:
    with store.run(ORG, job.job_id) as run:
        # The worker is busy with a row: it may have learnt of the cancel, but cannot obey yet.
        asked = control(job, "cancel")
        assert (shown(asked)["status"], flags(asked)) == ("running", {CANCEL})
        assert shown(asked)["metadata"] == {"fileName": "a.csv", CANCEL: True}
        rev = store.get(ORG, job.job_id).rev
        assert flags(control(job, "cancel")) == {CANCEL}
        assert store.get(ORG, job.job_id).rev == rev
        run.succeeded(5)
    ended = control(job, "cancel")
    assert (shown(ended)["status"], shown(ended)["succeeded"], flags(ended)) == ("cancelled", 5, set())
