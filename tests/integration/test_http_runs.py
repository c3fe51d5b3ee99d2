"""Workers over HTTP whose answers get lost, and whose replicas die: no row is lost or counted twice."""

import json
import os
import random
import signal
from collections.abc import Iterator, Sequence
from contextlib import suppress
from http.client import HTTPConnection, HTTPException
from typing import Any

import pytest

from batchstatus import JobStore
from tests.conftest import ORG
from tests.support.http_runs import JOBS, ROW, new_token
from tests.support.service import LiveService

BEFORE, UNREAD, AFTER = "never sent", "sent, and hung up on", "answered, and the answer dropped"


class LossyWorker:
    """Sends each call to one replica after the other until an answer arrives; loses answers on purpose."""

    def __init__(self, ports: Sequence[int], key: str, seed: int) -> None:
        self.ports = list(ports)
        self.lost = 0
        self._headers = {"Authorization": f"Bearer {key}"}
        self._random = random.Random(seed)
        self._sent = 0

    def call(self, path: str, body: dict[str, Any], lose: int = 0) -> dict[str, Any]:
        """Send a call until it is answered, after losing so many answers. Returns the answer's body."""
        losses = [self._random.choice([BEFORE, UNREAD, AFTER]) for _ in range(lose)]
        while True:
            self._sent += 1
            loss = losses.pop() if losses else None
            with suppress(OSError, HTTPException):
                answer = self._send(self.ports[self._sent % len(self.ports)], path, body, loss)
                if answer is not None and loss is None:
                    return answer
                self.lost += 1

    def _send(self, port: int, path: str, body: dict[str, Any], loss: str | None) -> dict[str, Any] | None:
        connection = HTTPConnection("127.0.0.1", port, timeout=20)
        try:
            connection.connect()
            if loss is BEFORE:
                return None
            connection.request("POST", f"{JOBS}{path}", json.dumps(body), self._headers)
            if loss is UNREAD:
                return None
            answer = connection.getresponse()
            said: dict[str, Any] = json.loads(answer.read())
            if answer.status == 503:
                return None
            assert answer.status in {200, 201, 202}, said
            return said
        finally:
            connection.close()


def work(worker: LossyWorker, job_id: str, reports: int, lose: int) -> dict[str, Any]:
    """Run a job of `reports` reports of ten rows, one of them failed. Returns the job at the end."""
    worker.call("", {"kind": "transaction_batch", "jobId": job_id, "totalItems": reports * 10}, lose)
    run = worker.call(f"/{job_id}/runs", {"token": new_token()}, lose)["run"]
    path = f"/{job_id}/runs/{run['runId']}"
    for seq in range(1, reports + 1):
        row = {**ROW, "externalId": f"T-{seq}"}
        body = {"seq": seq, "succeeded": 9, "failures": [row], "checkpoint": seq}
        said = worker.call(f"{path}/reports", body, lose)["run"]
        assert (said["seq"], said["checkpoint"]) == (seq, seq)
    job: dict[str, Any] = worker.call(f"{path}/finish", {"status": "completed", "seq": reports}, lose)["job"]
    return job


def assert_exact(store: JobStore, job_id: str, reports: int) -> None:
    """Assert that each row counts once, and each failed row is stored once, in order."""
    outcome = store.outcome(ORG, job_id, limit=10_000)
    assert (outcome.job.status, outcome.job.succeeded) == ("completed", 9 * reports)
    assert [row["externalId"] for row in outcome.failures] == [f"T-{seq}" for seq in range(1, reports + 1)]


@pytest.fixture
def key(real_store: JobStore) -> str:
    made, _ = real_store.api_keys.create(ORG, ["transactions:create", "jobs:run"])
    return made


@pytest.fixture
def replicas(redis_url: str) -> Iterator[list[LiveService]]:
    """Two replicas of the service on one store."""
    with LiveService(redis_url) as one, LiveService(redis_url) as other:
        yield [one, other]


def test_each_call_whose_answers_are_lost_counts_once(live: LiveService, real_store: JobStore, key: str) -> None:
    worker = LossyWorker([live.port], key, seed=1)
    assert work(worker, "lossy", reports=5, lose=3)["status"] == "completed"
    assert worker.lost == 3 * 8
    assert_exact(real_store, "lossy", 5)


@pytest.mark.slow
def test_after_1000_lost_answers_no_row_is_lost_or_counted_twice(
    live: LiveService, real_store: JobStore, key: str
) -> None:
    worker = LossyWorker([live.port], key, seed=2)
    work(worker, "lossy", reports=330, lose=3)
    assert worker.lost >= 990 + 9
    work(worker, "again", reports=1, lose=3)
    assert worker.lost > 1_000
    assert_exact(real_store, "lossy", 330)
    assert_exact(real_store, "again", 1)


@pytest.mark.slow
def test_a_worker_goes_from_replica_to_replica_while_one_is_killed(
    replicas: list[LiveService], real_store: JobStore, key: str
) -> None:
    one, other = replicas
    worker = LossyWorker([one.port, other.port], key, seed=3)
    send, calls = worker.call, 0

    def call(path: str, body: dict[str, Any], lose: int = 0) -> dict[str, Any]:
        nonlocal calls
        calls += 1
        if calls == 20:
            os.killpg(one.pid, signal.SIGKILL)
        return send(path, body, lose)

    worker.call = call  # type: ignore[method-assign]
    assert work(worker, "alternating", reports=40, lose=1)["status"] == "completed"
    assert one.wait() != 0
    assert_exact(real_store, "alternating", 40)
