"""Dispatchers that are killed between any two of their steps: no end of a job is without its notice."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from standardwebhooks import Webhook

import batchstatus
from batchstatus import JobStore
from batchstatus.reaper import Reaper
from batchstatus.transport.connection import Connection
from batchstatus.webhooks.dispatcher import Dispatcher
from batchstatus.webhooks.sending import Answer, Sender
from tests.chaos.finding import Finding
from tests.support.notified import KIND, KNOWN, ORG, Notified
from tests.support.receivers import answers, receiver
from tests.support.sdk import UNHURRIED
from tests.support.waiting import wait_until

HOLD_S = 0.05
OPTIONS = {"lease_s": 0.2, "grace_s": 0.01, "retention_s": 600.0, **UNHURRIED}
ENDS = ("job.completed", "job.cancelled", "job.interrupted", "job.failed")
"""How the jobs end, in turn."""


class Fuse:
    """Kills this process before or after its `number`-th step."""

    def __init__(self, number: int, *, before: bool) -> None:
        self._left = number
        self._before = before

    def around(self, step: Callable[..., Any]) -> Callable[..., Any]:
        """Returns the step, at which this process may die."""

        def stepping(*arguments: Any, **options: Any) -> Any:
            self._left -= 1
            if self._left == 0 and self._before:
                os.kill(os.getpid(), signal.SIGKILL)
            answer = step(*arguments, **options)
            if self._left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return answer

        return stepping


class FusedSender(Sender):
    """A sender at whose requests the process may die too."""

    def __init__(self, fuse: Fuse) -> None:
        super().__init__(allow_private=True, allow_http=True)
        self._fuse = fuse

    def post(self, *arguments: Any) -> Answer:
        answer: Answer = self._fuse.around(super().post)(*arguments)
        return answer


def fuse_connection(connection: Connection, fuse: Fuse) -> None:
    """Have the process die at one of the connection's round trips."""
    for name in ("command", "evaluate", "write_together", "pipeline", "write"):
        setattr(connection, name, fuse.around(getattr(connection, name)))


def tell(url: str, fuse: Fuse) -> None:
    """Do all that reaper and dispatcher of a process do, once."""
    store = batchstatus.connect(url, **OPTIONS)
    store.ping()  # opened before the fuse burns
    fuse_connection(store.connection, fuse)
    dispatcher = Dispatcher(store.connection, KNOWN, FusedSender(fuse), hold_s=HOLD_S, waits_s=[0.01] * 9)
    reaper = Reaper(store)
    for _ in range(3):
        reaper.reap()
        dispatcher.dispatch()
        while dispatcher.under_way():
            time.sleep(0.001)


def end_one(store: JobStore, number: int) -> str:
    """End a job in one of the ways in which jobs end; returns its id."""
    job_id = store.create(ORG, KIND, job_id=f"job-{number}", parts=2 if number % 4 == 3 else None).job_id
    if number % 4 == 0:
        with store.run(ORG, job_id) as run:
            run.succeeded()
    elif number % 4 == 1:
        store.control(ORG, job_id, "cancel")
    elif number % 4 == 2:
        store.steps(ORG, job_id).claim("token", 1)
    else:
        for part in (1, 2):
            with suppress(ValueError), store.run(ORG, job_id, part=part):
                if part == 2:
                    raise ValueError("boom")
    return job_id


def dispatchers_killed(url: str, times: int) -> Finding:
    """End `times` jobs, kill who tells of each end between two of its steps, and have the rest told."""
    store = batchstatus.connect(url, **OPTIONS)
    notified = Notified(store)
    with receiver(answers(204)) as told:
        secret, _ = notified.endpoint(told.url)
        killing = [sys.executable, "-m", "tests.chaos.telling", url, str(times)]
        died = int(subprocess.run(killing, check=True, stdout=subprocess.PIPE, text=True).stdout)
        survivor = Dispatcher(store.connection, KNOWN, FusedSender(Fuse(0, before=True)), waits_s=[0.01] * 9)
        ids = [f"job-{number}" for number in range(times)]

        def all_told() -> bool:
            notified.reaper.reap()
            survivor.dispatch()
            states = {each.job_id: each.state for each in notified.notices.deliveries(ORG, limit=times)}
            return [states.get(each) for each in ids] == ["delivered"] * times

        with suppress(AssertionError):  # what is lost is told below
            wait_until(all_told)
        wait_until(lambda: not survivor.under_way())
        requests = [(Webhook(secret).verify(each.body, dict(each.headers)), each) for each in told.requests]
    store.close()
    types: dict[str, set[str]] = {each: set() for each in ids}
    for notice, request in requests:
        types[notice["data"]["jobId"]].add(f"{notice['type']} {request.header('webhook-id')}")
    return Finding(
        fault="who tells of the ends of jobs is killed between two steps",
        tried=died,
        acknowledged=len(requests),
        lost=tuple(each for each in ids if not types[each]),
        wrong=tuple(f"{each}: {sorted(types[each])}" for each in ids if not _is_right(each, types[each])),
    )


def _is_right(job_id: str, told: set[str]) -> bool:
    """Returns True if all notices of a job have one id, and the type of its end."""
    expected = ENDS[int(job_id.removeprefix("job-")) % len(ENDS)]
    return len(told) <= 1 and all(each.startswith(f"{expected} ") for each in told)


def main(url: str, kills: int) -> None:
    """End a job, and have who tells of it killed, `kills` times; print how many died of it."""
    store, died = batchstatus.connect(url, **OPTIONS), 0
    for number in range(kills):
        end_one(store, number)
        store.close()
        if (child := os.fork()) == 0:
            tell(url, Fuse(number // 2 % 40 + 1, before=number % 2 == 0))
            os._exit(0)
        died += os.waitpid(child, 0)[1] == signal.SIGKILL
    sys.stdout.write(f"{died}\n")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
