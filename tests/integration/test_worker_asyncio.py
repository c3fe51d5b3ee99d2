"""Runs in asyncio: what waits holds up nobody else, and a task that is cancelled gives its job back."""

import asyncio
import threading
import time
from typing import Any

import pytest

from batchstatus import AsyncRun, JobStore, LeaseHeld
from batchstatus.jobs.transitions import Transitions
from batchstatus.model.messages import Claim
from batchstatus.settings import StoreSettings
from tests.support.sdk import UNHURRIED
from tests.support.waiting import wait_until

ORG = "org_asyncio"
KIND = "transaction_batch"
LONG_S = 600.0
MANY = 200


async def until(store: JobStore, job_id: str, flag: str) -> None:
    """Wait until a job shows a flag."""
    async with asyncio.timeout(60):
        while flag not in (await asyncio.to_thread(store.get, ORG, job_id)).metadata:
            await asyncio.sleep(0.01)


async def work(store: JobStore, job_id: str, rows: int | None, entered: asyncio.Event | None = None) -> None:
    """Count rows, one a check; without a number of them, until told to stop."""
    async with store.arun(ORG, job_id) as run:
        if entered:
            entered.set()
        number = run.checkpoint or 0
        while rows is None or number < rows:
            await run.check()
            if rows is not None:
                number += 1
                run.succeeded(checkpoint=number)
            else:
                await asyncio.sleep(0.01)


def test_a_run_counts_its_rows_and_ends_its_job(real_store: JobStore) -> None:
    job = real_store.create(ORG, KIND)

    async def main() -> None:
        async with real_store.arun(ORG, job.job_id) as run:
            assert (run.job.job_id, run.checkpoint, run.attempt) == (job.job_id, None, 1)
            run.total(3)
            run.succeeded(checkpoint=1)
            run.failed({"externalId": "T-2", "code": "VALIDATION_ERROR", "message": "no"})
            run.skipped({"externalId": "T-3"})

    asyncio.run(main())
    end = real_store.get(ORG, job.job_id)
    assert (end.status, end.total_items, end.succeeded, end.failed, end.skipped) == ("completed", 3, 1, 1, 1)


def test_an_error_fails_the_job_and_goes_on(real_store: JobStore) -> None:
    job = real_store.create(ORG, KIND)

    async def main() -> None:
        async with real_store.arun(ORG, job.job_id):
            raise ConnectionError("no network")

    with pytest.raises(ConnectionError, match="no network"):
        asyncio.run(main())
    assert real_store.get(ORG, job.job_id).worker_error == "ConnectionError: no network"


def test_a_pause_holds_up_its_task_alone_and_a_cancel_ends_its_job(real_store: JobStore) -> None:
    real_store.create(ORG, KIND, job_id="held")

    async def main() -> None:
        task, entered = None, asyncio.Event()
        task = asyncio.create_task(work(real_store, "held", None, entered))
        await entered.wait()
        await asyncio.to_thread(real_store.control, ORG, "held", "pause")
        await until(real_store, "held", "batchPaused")
        real_store.create(ORG, KIND, job_id="other")
        await work(real_store, "other", 100)
        await asyncio.to_thread(real_store.control, ORG, "held", "resume")
        await asyncio.to_thread(real_store.control, ORG, "held", "cancel")
        await asyncio.wait_for(task, 60)

    asyncio.run(main())
    assert real_store.get(ORG, "other").succeeded == 100
    assert real_store.get(ORG, "held").status == "cancelled"


@pytest.mark.parametrize("paused", [False, True])
def test_a_task_that_is_cancelled_gives_the_lease_back(real_store: JobStore, paused: bool) -> None:
    job_id = f"given-back-{paused}"
    real_store.create(ORG, KIND, job_id=job_id, takeover_s=LONG_S)

    async def main() -> None:
        entered = asyncio.Event()
        task = asyncio.create_task(work(real_store, job_id, None, entered))
        await entered.wait()
        if paused:
            await asyncio.to_thread(real_store.control, ORG, job_id, "pause")
            await until(real_store, job_id, "batchPaused")
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert real_store.get(ORG, job_id).metadata["batchAwaitingWorker"] is True


@pytest.fixture
def slow_claim(monkeypatch: pytest.MonkeyPatch) -> tuple[threading.Event, threading.Event]:
    """Claims whose answer takes its time: one event is set once they are granted, the other lets them go on."""
    granted, go_on, claim = threading.Event(), threading.Event(), Transitions.claim

    def slow(steps: Transitions, token: str, **given: Any) -> Claim:
        answer = claim(steps, token, **given)
        granted.set()
        assert go_on.wait(60)
        return answer

    monkeypatch.setattr(Transitions, "claim", slow)
    return granted, go_on


def test_a_task_that_is_cancelled_while_its_claim_is_granted_gives_the_lease_back(
    real_store: JobStore, slow_claim: tuple[threading.Event, threading.Event]
) -> None:
    real_store.create(ORG, KIND, job_id="entering", takeover_s=LONG_S)
    granted, go_on = slow_claim

    async def main() -> None:
        task = asyncio.create_task(work(real_store, "entering", None))
        await asyncio.to_thread(granted.wait, 60)
        task.cancel()
        await asyncio.sleep(0)
        go_on.set()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(main())
    assert real_store.get(ORG, "entering").metadata["batchAwaitingWorker"] is True


def test_a_task_that_is_cancelled_twice_while_its_claim_is_granted_leaves_no_run_behind(
    real_store: JobStore, slow_claim: tuple[threading.Event, threading.Event]
) -> None:
    real_store.create(ORG, KIND, job_id="entering", takeover_s=LONG_S)
    granted, go_on = slow_claim

    async def main() -> None:
        task = asyncio.create_task(work(real_store, "entering", None))
        await asyncio.to_thread(granted.wait, 60)
        for _ in range(2):
            task.cancel()
            await asyncio.sleep(0)
        with pytest.raises(asyncio.CancelledError):
            await task

    # Given a task that has been cancelled twice, and is over before its claim has an answer
    asyncio.run(main())
    assert "batchAwaitingWorker" not in real_store.get(ORG, "entering").metadata
    # When the answer comes, then the lease is given back all the same
    go_on.set()
    wait_until(lambda: "batchAwaitingWorker" in real_store.get(ORG, "entering").metadata)


def test_a_cancel_within_a_group_of_tasks_cancels_the_job(real_store: JobStore) -> None:
    real_store.create(ORG, KIND, job_id="grouped")

    async def import_until_told(run: AsyncRun) -> None:
        while True:
            await run.check()
            await asyncio.sleep(0.01)

    async def main() -> None:
        async with real_store.arun(ORG, "grouped") as run, asyncio.TaskGroup() as tasks:
            for _ in range(3):
                tasks.create_task(import_until_told(run))
            await asyncio.to_thread(real_store.control, ORG, "grouped", "cancel")

    asyncio.run(main())
    ended = real_store.get(ORG, "grouped")
    assert (ended.status, ended.worker_error) == ("cancelled", None)


def test_a_task_that_waits_for_another_workers_lease_can_be_cancelled(real_store: JobStore) -> None:
    real_store.create(ORG, KIND, job_id="waited-for", takeover_s=LONG_S)

    async def main() -> None:
        task = asyncio.create_task(real_store.arun(ORG, "waited-for", wait_s=LONG_S).__aenter__())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(task, 60)
        with pytest.raises(LeaseHeld):
            await work(real_store, "waited-for", 1)

    with real_store.run(ORG, "waited-for") as run:
        asyncio.run(main())
        run.succeeded()
    assert real_store.get(ORG, "waited-for").succeeded == 1


def test_many_runs_in_one_loop_all_paused_at_once_end_exactly(real_store: JobStore) -> None:
    for number in range(MANY):
        real_store.create(ORG, KIND, job_id=f"many-{number}")
        real_store.control(ORG, f"many-{number}", "pause")

    async def main() -> None:
        tasks = [asyncio.create_task(work(real_store, f"many-{number}", 5)) for number in range(MANY)]
        for number in range(MANY):
            await until(real_store, f"many-{number}", "batchPaused")
        for number in range(MANY):
            await asyncio.to_thread(real_store.control, ORG, f"many-{number}", "resume")
        await asyncio.gather(*tasks)

    asyncio.run(main())
    ends = [real_store.get(ORG, f"many-{number}") for number in range(MANY)]
    assert {(end.status, end.succeeded) for end in ends} == {("completed", 5)}


def test_a_loop_that_is_blocked_keeps_the_lease(redis_url: str) -> None:
    store = JobStore.open(redis_url, StoreSettings(lease_s=1.5, grace_s=0.5, retention_s=600, **UNHURRIED))
    store.create(ORG, KIND, job_id="blocked", takeover_s=LONG_S)

    async def main() -> None:
        async with store.arun(ORG, "blocked") as run:
            first = store.get(ORG, "blocked").lease_expires_at
            time.sleep(2.5)
            last = store.settle(ORG, "blocked")
            assert first is not None
            assert last.lease_expires_at is not None
            assert last.lease_expires_at > first
            run.succeeded()

    asyncio.run(main())
    assert store.get(ORG, "blocked").status == "completed"
    store.close()
