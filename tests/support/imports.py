"""Imports for tests of control: in a thread of their own, paused, cancelled, or stopped in the middle."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from typing import Any

from batchstatus import Job, JobStore, Run
from batchstatus.model import CONTROL_FLAGS
from tests.support.waiting import wait_until

ORG, KIND = "org_acme", "transaction_batch"
CANCEL, PAUSE, PAUSED = CONTROL_FLAGS


def aside(call: Callable[[], Any]) -> "Future[Any]":
    """What becomes of a call in a thread of its own, which nothing waits for in the end."""
    future: Future[Any] = Future()

    def work() -> None:
        try:
            future.set_result(call())
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=work, daemon=True).start()
    return future


def importing(store: JobStore, job: Job, *, rows: bool = True, **options: Any) -> None:
    """Check and count a row, over and over, until cancelled."""
    with store.run(ORG, job.job_id, **options) as run:
        while True:
            run.check()
            if rows:
                run.succeeded()
            time.sleep(0.002)


def keep_checking(run: Run) -> None:
    """Check, over and over, without a row."""
    while True:
        run.check()
        time.sleep(0.002)


def flags(store: JobStore, job: Job) -> set[str]:
    """The flags of control that the job shows."""
    return {*store.get(ORG, job.job_id).metadata} & {*CONTROL_FLAGS}


def stop_in_the_middle(store: JobStore, job: Job, *, paused: bool = False) -> None:
    """Be a worker that is told to stop, perhaps while it is paused, and leaves the job to the next."""
    with suppress(SystemExit), store.run(ORG, job.job_id) as run:
        if paused:
            store.control(ORG, job.job_id, "pause")
            aside(lambda: keep_checking(run))
            wait_until(lambda: PAUSED in flags(store, job))
        raise SystemExit
