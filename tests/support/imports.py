"""Imports for tests of control: in a thread of their own, paused, cancelled, or stopped half-way."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from typing import Any

from batchstatus import Job, JobStore, Run
from batchstatus.model.job import CONTROL_FLAGS
from tests.support.waiting import wait_until

ORG, KIND = "org_acme", "transaction_batch"
CANCEL, PAUSE, PAUSED, AWAITING = CONTROL_FLAGS


def aside(call: Callable[[], Any]) -> "Future[Any]":
    """Returns the future of a call in a daemon thread."""
    future: Future[Any] = Future()

    def work() -> None:
        try:
            future.set_result(call())
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=work, daemon=True).start()
    return future


def importing(store: JobStore, job: Job, *, rows: bool = True, **options: Any) -> None:
    """Check and count rows in a loop until the job is cancelled."""
    with store.run(ORG, job.job_id, **options) as run:
        while True:
            run.check()
            if rows:
                run.succeeded()
            time.sleep(0.002)


def keep_checking(run: Run) -> None:
    """Check in a loop, without counting rows."""
    while True:
        run.check()
        time.sleep(0.002)


def flags(store: JobStore, job: Job) -> set[str]:
    """Returns the control flags of the job."""
    return {*store.get(ORG, job.job_id).metadata} & {*CONTROL_FLAGS}


def stop_in_the_middle(store: JobStore, job: Job, *, paused: bool = False) -> None:
    """Act as a worker that is told to stop, `paused` or not, and gives the job back."""
    with suppress(SystemExit), store.run(ORG, job.job_id) as run:
        if paused:
            store.control(ORG, job.job_id, "pause")
            aside(lambda: keep_checking(run))
            wait_until(lambda: PAUSED in flags(store, job))
        raise SystemExit
