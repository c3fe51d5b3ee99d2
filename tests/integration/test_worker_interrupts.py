"""Ctrl-C and SIGTERM while a run is left: it goes on soon, and the job has its end, or its lease is given back."""

import os
import signal
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
import redis

from batchstatus import InvalidTransition, Job, JobStore, Run, Status, StoreUnavailable
from batchstatus.settings import StoreSettings
from batchstatus.worker import outbox, reporter
from batchstatus.worker import run as run_module
from tests.support.bytecodes import interrupted_at
from tests.support.sdk import ORG, TroubledClient, counters, keys_of, rejected, verb_of
from tests.support.waiting import wait_until


@pytest.fixture(autouse=True)
def handler() -> Iterator[None]:
    """A signal whose handler raises; SIGINT and SIGALRM are pytest's."""

    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGUSR1, interrupt)
    yield
    signal.signal(signal.SIGUSR1, before)


@pytest.fixture
def troubled(client: "redis.Redis") -> TroubledClient:
    return TroubledClient(client)


@pytest.fixture
def store(troubled: TroubledClient) -> JobStore:
    """A store that can be made to be away."""
    return JobStore(troubled, StoreSettings())


def is_being_left(run: Run) -> bool:
    """Returns True once leaving the run has begun. For another thread than the importer's."""
    try:
        run.wanted()
    except InvalidTransition:
        return True
    return False


def count_and_be_interrupted_while_leaving(run: Run, interrupted: threading.Event) -> None:
    """Count three rows, and get the signal while what is left is being delivered."""

    def interrupt() -> None:
        wait_until(lambda: is_being_left(run))
        os.kill(os.getpid(), signal.SIGUSR1)
        interrupted.set()

    with run:
        run.succeeded(3, checkpoint=3)
        threading.Thread(target=interrupt).start()


def goes_on_soon(run: Run, interrupted: threading.Event | None = None) -> None:
    """Be interrupted while leaving; the interruption gets through, and the run can no longer be used."""
    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        count_and_be_interrupted_while_leaving(run, interrupted or threading.Event())
    assert time.monotonic() - began < 10
    for call in (lambda: run.succeeded(5), run.check, lambda: run.failed(rejected(1))):
        with pytest.raises(InvalidTransition, match="has ended"):
            call()


def is_over(job: Job) -> bool:
    """Whether no thread works for the job any more."""
    return not any(job.job_id in thread.name for thread in threading.enumerate())


def test_an_interruption_while_rows_cannot_be_delivered_gives_the_lease_back(
    store: JobStore, troubled: TroubledClient
) -> None:
    job = store.create(ORG, "transaction_batch", takeover_s=60)
    troubled.refuses = lambda words: verb_of(words) == "REPORT"
    goes_on_soon(store.run(ORG, job.job_id))
    wait_until(lambda: is_over(job))
    troubled.refuses = lambda _: False
    with store.run(ORG, job.job_id) as run:
        assert run.checkpoint is None
        run.succeeded(3, checkpoint=3)
    ended = store.get(ORG, job.job_id)
    assert (ended.status, counters(ended)) == (Status.COMPLETED, (3, 0, 0))


def test_an_interruption_while_the_end_cannot_be_written_gives_the_lease_back(
    store: JobStore, troubled: TroubledClient
) -> None:
    job = store.create(ORG, "transaction_batch")
    troubled.refuses = lambda words: verb_of(words) == "FINISH" and "completed" in words
    goes_on_soon(store.run(ORG, job.job_id))
    wait_until(lambda: is_over(job))
    ended = store.get(ORG, job.job_id)
    assert (ended.status, counters(ended)) == (Status.INTERRUPTED, (3, 0, 0))


@pytest.mark.parametrize("verb", ["REPORT", "FINISH"])
def test_an_interruption_while_the_store_is_slow_does_not_undo_what_the_run_has_done(
    store: JobStore, troubled: TroubledClient, verb: str
) -> None:
    job = store.create(ORG, "transaction_batch")
    interrupted = threading.Event()

    def slow(words: tuple[Any, ...]) -> bool:
        if verb_of(words) == verb:
            assert interrupted.wait(60)
        return False

    troubled.refuses = slow
    goes_on_soon(store.run(ORG, job.job_id), interrupted)
    wait_until(lambda: is_over(job))
    ended = store.get(ORG, job.job_id)
    assert (ended.status, counters(ended)) == (Status.COMPLETED, (3, 0, 0))


def test_an_interruption_while_the_store_is_away_is_not_held_up(store: JobStore, troubled: TroubledClient) -> None:
    job = store.create(ORG, "transaction_batch")
    troubled.refuses = lambda words: verb_of(words) in ("REPORT", "FINISH")
    goes_on_soon(store.run(ORG, job.job_id))
    wait_until(lambda: is_over(job))
    assert store.get(ORG, job.job_id).status is Status.RUNNING


@pytest.fixture
def hanging(troubled: TroubledClient) -> Iterator[threading.Event]:
    """Reports hang until this is set, as on a lock that was left behind."""
    goes_on = threading.Event()
    troubled.refuses = lambda words: verb_of(words) == "REPORT" and not goes_on.wait(60)
    yield goes_on
    goes_on.set()


def test_an_interruption_while_a_report_hangs_is_not_held_up(store: JobStore, hanging: threading.Event) -> None:
    job = store.create(ORG, "transaction_batch")
    goes_on_soon(store.run(ORG, job.job_id))
    assert store.get(ORG, job.job_id).status is Status.RUNNING
    hanging.set()  # what a process does that lives on
    wait_until(lambda: is_over(job))
    ended = store.get(ORG, job.job_id)
    assert (ended.status, counters(ended)) == (Status.COMPLETED, (3, 0, 0))


def test_leaving_does_not_wait_for_ever_for_a_report_that_hangs(
    troubled: TroubledClient, hanging: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reporter, "LONGEST_CALLS", 1)
    store = JobStore(troubled, StoreSettings(timeout_s=0.1))
    job = store.create(ORG, "transaction_batch")
    with pytest.raises(StoreUnavailable, match="hangs"), store.run(ORG, job.job_id, give_up_s=0.1) as run:
        run.succeeded()
    with pytest.raises(InvalidTransition, match="has ended"):
        run.succeeded()


def test_an_interruption_on_the_way_in_gives_the_lease_back(
    store: JobStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = store.create(ORG, "transaction_batch", takeover_s=60)
    start = reporter.Reporter.start

    def interrupted(self: reporter.Reporter) -> None:
        start(self)
        raise KeyboardInterrupt

    run = store.run(ORG, job.job_id)
    with monkeypatch.context() as patched:
        patched.setattr(reporter.Reporter, "start", interrupted)
        with pytest.raises(KeyboardInterrupt):
            run.__enter__()
    with pytest.raises(InvalidTransition, match="has ended"):
        run.succeeded()
    with store.run(ORG, job.job_id) as another:
        another.succeeded()
    assert counters(store.get(ORG, job.job_id)) == (1, 0, 0)


def test_an_interruption_at_any_moment_of_leaving_leaves_a_job_that_has_ended_or_is_free(
    fake_client: "redis.Redis", monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reporter, "SOON_S", 0.1)
    store, step, more = JobStore(fake_client), 1, True
    while more:
        step += 1  # before the first bytecode nothing can be done about it yet
        job = store.create(ORG, "transaction_batch", takeover_s=60)
        run = store.run(ORG, job.job_id).__enter__()
        run.failed(rejected(1), checkpoint=1)
        more = interrupted_at(step, (run_module, reporter, outbox), lambda run=run: run.__exit__(None, None, None))  # type: ignore[misc]
        wait_until(lambda job=job: is_over(job))  # type: ignore[misc]
        left = store.get(ORG, job.job_id)
        if left.status is Status.RUNNING:
            assert left.lease_expires_at == left.heartbeat_at
            assert b"token" not in fake_client.hkeys(keys_of(job).job)
        else:
            assert left.status is Status.COMPLETED
        assert counters(left) == (0, 1, 0)
    assert step > 60
