"""A store whose memory is full: which operations succeed, which are refused, and none is half done."""

import time
from contextlib import ExitStack
from typing import Any, Self

import batchstatus
from batchstatus import Job, Run, StoreRefused
from batchstatus.embedded import EmbeddedServer
from batchstatus.web import create_app
from tests.chaos.finding import Finding
from tests.support.sdk import ORG, UNHURRIED, claim_and_vanish, counters, fields, plain_client, raises, rejected
from tests.support.waiting import wait_until

KIND = "transaction_batch"


class Scene:
    """A store that can be filled up, and jobs: queued ones, one of a dead worker, two running ones."""

    def __enter__(self) -> Self:
        with ExitStack() as starting:
            server = starting.enter_context(EmbeddedServer())
            self.client = starting.enter_context(plain_client(server.url))
            self.store = batchstatus.connect(server.url, lease_s=3.0, grace_s=0.1, **UNHURRIED)
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
        """Make the memory full. Nothing stored is evicted."""
        self.client.config_set("maxmemory", 1)

    def empty(self) -> None:
        """Lift the memory limit."""
        self.client.config_set("maxmemory", 0)

    def check(self, what: str, as_it_should_be: bool) -> None:
        """Record the complaint `what` unless all is as it should be."""
        self.wrong += [what] * (not as_it_should_be)

    def status(self, job: Job) -> str:
        """Returns a job's status."""
        return self.store.get(ORG, job.job_id).status

    def get(self, path: str) -> int:
        """Returns the status of the service's answer to a GET."""
        return self._web.get(path, headers=self._headers).status_code

    def cancel(self, job: Job) -> int:
        """Returns the status of the service's answer to a cancel."""
        body, path = {"kind": KIND, "action": "cancel"}, f"/batch-import/jobs/{job.job_id}/control"
        return self._web.post(path, json=body, headers=self._headers).status_code

    def at_rest(self) -> dict[bytes, Any]:
        """Returns everything stored except the running jobs and the keys' remaining times to live."""
        running = (self.counting.job_id.encode(), self.ending.job_id.encode())
        keys = [key for key in self.client.scan_iter() if not any(job_id in key for job_id in running)]
        return {key: self.client.dump(key) for key in keys}

    def run(self, job: Job) -> Run:
        """Returns a run of the job with a short flush interval."""
        return self.store.run(ORG, job.job_id, flush_s=0.02)

    def wait_done(self, job: Job, rows: int) -> None:
        """Wait until `rows` rows of the job have arrived."""
        wait_until(lambda: self.store.get(ORG, job.job_id).done == rows, 30, f"{rows} rows arrive")


def store_full() -> Finding:
    """Fill the memory: reads, heartbeats, control, finish and settle need none; create, claim and rows do."""
    with Scene() as scene:
        with scene.run(scene.counting) as run:
            run.succeeded()
            scene.wait_done(scene.counting, 1)
            _fill_up(scene)
            run.failed(rejected(2))
            _is_kept_alive(scene)
            scene.empty()
            emptied_at = time.monotonic()
            scene.wait_done(scene.counting, 2)
            recovery_s = time.monotonic() - emptied_at
        outcome = scene.store.outcome(ORG, scene.counting.job_id)
        kept = (outcome.job.status, counters(outcome.job), len(outcome.failures)) == ("completed", (1, 1, 0), 1)
        return Finding(
            fault="the store's memory is full",
            tried=1,
            acknowledged=outcome.job.rev,
            lost=() if kept else (str(outcome),),
            wrong=tuple(scene.wrong),
            recovery_s=recovery_s,
        )


def _fill_up(scene: Scene) -> None:
    """Fill the memory while a job runs, which then ends with the memory full."""
    with scene.run(scene.ending) as run:
        run.succeeded()
        scene.wait_done(scene.ending, 1)
        scene.fill()
        before = scene.at_rest()
        _is_refused(scene)
        scene.check("a refusal has written something", scene.at_rest() == before)
        _is_taken(scene)
    scene.check("a job cannot end", scene.status(scene.ending) == "completed")


def _is_refused(scene: Scene) -> None:
    store = scene.store
    refused = {
        "a job is created": lambda: store.create(ORG, KIND),
        "a job is claimed": lambda: store.run(ORG, scene.waiting.job_id).__enter__(),
        "an API key is made": lambda: store.api_keys.create(ORG, ["transactions:create"]),
    }
    for what, call in refused.items():
        scene.check(what, raises(StoreRefused, call))


def _is_taken(scene: Scene) -> None:
    store = scene.store
    scene.check("a job reads otherwise", store.get(ORG, scene.waiting.job_id) == scene.waiting)
    scene.check("rows cannot be read", store.outcome(ORG, scene.counting.job_id).job.done == 1)
    for path in ("", "?ids=", f"/{scene.counting.job_id}", f"/{scene.counting.job_id}?include=failures"):
        asked = f"/batch-import/jobs{path}" + scene.waiting.job_id * path.endswith("=")
        scene.check(f"GET {asked} is not answered", scene.get(asked) == 200)
    scene.check("the service cannot cancel a job", scene.cancel(scene.unwanted) == 200)
    scene.check("a job that was cancelled is not", scene.status(scene.unwanted) == "cancelled")
    cancelled = store.control(ORG, scene.queued.job_id, "cancel").status
    scene.check("a queued job cannot be cancelled", cancelled == "cancelled")
    paused = store.control(ORG, scene.ending.job_id, "pause").metadata
    scene.check("a running job cannot be paused", "batchPauseRequested" in paused)
    wait_until(lambda: store.settle(ORG, scene.dead.job_id).status == "interrupted", 10, "a dead worker is found")


def _is_kept_alive(scene: Scene) -> None:
    """Check that heartbeats arrive while the failed row waits."""
    before = fields(scene.client, scene.counting)
    wait_until(lambda: fields(scene.client, scene.counting)["heartbeatAt"] > before["heartbeatAt"], 10)
    found = scene.store.outcome(ORG, scene.counting.job_id)
    scene.check("half a report was taken", (found.job.done, found.failures) == (1, ()))
