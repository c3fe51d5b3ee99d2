"""A store without room: what goes through, what is refused, and that nothing is written by halves."""

import time
from contextlib import ExitStack
from typing import Any, Self

import redis

import batchstatus
from batchstatus import Job, Run, StoreRefused
from batchstatus.embedded import EmbeddedServer
from batchstatus.web import create_app
from tests.chaos.finding import Finding
from tests.support.sdk import ORG, claim_and_vanish, counters, fields, raises, rejected
from tests.support.waiting import wait_until

KIND = "transaction_batch"


class House:
    """A store that can be filled up, and jobs: queued ones, one of a dead worker, two that run."""

    def __enter__(self) -> Self:
        with ExitStack() as starting:
            server = starting.enter_context(EmbeddedServer())
            self.client = starting.enter_context(redis.Redis.from_url(server.url))
            self.store = batchstatus.connect(server.url, lease_s=3.0, grace_s=0.1)
            starting.callback(self.store.close)
            key, _ = self.store.api_keys.create(ORG, ["transactions:create"])
            self._web, self._headers = create_app(self.store).test_client(), {"Authorization": f"Bearer {key}"}
            jobs = [self.store.create(ORG, KIND) for _ in range(6)]
            self.queued, self.unwanted, self.waiting, self.dead, self.counting, self.ending = jobs
            claim_and_vanish(self.client, self.dead)
            self.wrong: list[str] = []
            self._ending = starting.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.close()

    def fill(self) -> None:
        """Take all room away; nothing that is there is thrown out."""
        self.client.config_set("maxmemory", 1)

    def empty(self) -> None:
        """Give the room back."""
        self.client.config_set("maxmemory", 0)

    def check(self, what: str, as_it_should_be: bool) -> None:
        """Note `what` if it is not so."""
        self.wrong += [what] * (not as_it_should_be)

    def status(self, job: Job) -> str:
        """How a job stands."""
        return self.store.get(ORG, job.job_id).status

    def get(self, path: str) -> int:
        """The status of the service's answer to a GET."""
        return self._web.get(path, headers=self._headers).status_code

    def cancel(self, job: Job) -> int:
        """The status of the service's answer to a cancel."""
        body, path = {"kind": KIND, "action": "cancel"}, f"/batch-import/jobs/{job.job_id}/control"
        return self._web.post(path, json=body, headers=self._headers).status_code

    def at_rest(self) -> dict[bytes, Any]:
        """All that is stored, but for the jobs that run, and for the time that keys have left."""
        running = (self.counting.job_id.encode(), self.ending.job_id.encode())
        keys = [key for key in self.client.scan_iter() if not any(job_id in key for job_id in running)]
        return {key: self.client.dump(key) for key in keys}

    def run(self, job: Job) -> Run:
        """A run of a job that reports soon."""
        return self.store.run(ORG, job.job_id, flush_s=0.02)

    def wait_done(self, job: Job, rows: int) -> None:
        """Wait until so many rows of the job have arrived."""
        wait_until(lambda: self.store.get(ORG, job.job_id).done == rows, 30, f"{rows} rows arrive")


def store_full() -> Finding:
    """Reading, heartbeats, control, finish and settle need no room; create, claim and reports with rows do."""
    with House() as house:
        with house.run(house.counting) as run:
            run.succeeded()
            house.wait_done(house.counting, 1)
            _fill_up(house)
            run.failed(rejected(2))
            _is_kept_alive(house)
            house.empty()
            emptied_at = time.monotonic()
            house.wait_done(house.counting, 2)
            recovery_s = time.monotonic() - emptied_at
        outcome = house.store.outcome(ORG, house.counting.job_id)
        kept = (outcome.job.status, counters(outcome.job), len(outcome.failures)) == ("completed", (1, 1, 0), 1)
        return Finding(
            fault="the store's memory is full",
            tried=1,
            acknowledged=outcome.job.rev,
            lost=() if kept else (str(outcome),),
            wrong=tuple(house.wrong),
            recovery_s=recovery_s,
        )


def _fill_up(house: House) -> None:
    """Let the store be full while a job is run that ends so."""
    with house.run(house.ending) as run:
        run.succeeded()
        house.wait_done(house.ending, 1)
        house.fill()
        before = house.at_rest()
        _is_refused(house)
        house.check("a refusal has written something", house.at_rest() == before)
        _is_taken(house)
    house.check("a job cannot end", house.status(house.ending) == "completed")


def _is_refused(house: House) -> None:
    store = house.store
    refused = {
        "a job is created": lambda: store.create(ORG, KIND),
        "a job is claimed": lambda: store.run(ORG, house.waiting.job_id).__enter__(),
        "an API key is made": lambda: store.api_keys.create(ORG, ["transactions:create"]),
    }
    for what, call in refused.items():
        house.check(what, raises(StoreRefused, call))


def _is_taken(house: House) -> None:
    store = house.store
    house.check("a job reads otherwise", store.get(ORG, house.waiting.job_id) == house.waiting)
    house.check("rows cannot be read", store.outcome(ORG, house.counting.job_id).job.done == 1)
    for path in ("", "?ids=", f"/{house.counting.job_id}", f"/{house.counting.job_id}?include=failures"):
        asked = f"/batch-import/jobs{path}" + house.waiting.job_id * path.endswith("=")
        house.check(f"GET {asked} is not answered", house.get(asked) == 200)
    house.check("the service cannot cancel a job", house.cancel(house.unwanted) == 200)
    house.check("a job that was cancelled is not", house.status(house.unwanted) == "cancelled")
    cancelled = store.control(ORG, house.queued.job_id, "cancel").status
    house.check("a queued job cannot be cancelled", cancelled == "cancelled")
    paused = store.control(ORG, house.ending.job_id, "pause").metadata
    house.check("a running job cannot be paused", "batchPauseRequested" in paused)
    wait_until(lambda: store.settle(ORG, house.dead.job_id).status == "interrupted", 10, "a dead worker is found")


def _is_kept_alive(house: House) -> None:
    """The row waits, and heartbeats arrive in front of it."""
    before = fields(house.client, house.counting)
    wait_until(lambda: fields(house.client, house.counting)["heartbeatAt"] > before["heartbeatAt"], 10)
    found = house.store.outcome(ORG, house.counting.job_id)
    house.check("half a report was taken", (found.job.done, found.failures) == (1, ()))
