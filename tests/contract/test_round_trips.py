"""The cost of an answer at the store (contract §2): one command per poll, one transaction for failed rows."""

import json
import time
from collections import Counter
from types import SimpleNamespace
from typing import Any

import pytest
import redis
from flask.testing import FlaskClient

from batchstatus import Action, JobStore, Kind, Status
from batchstatus.model.kinds import PUBLISHED
from batchstatus.model.messages import Batch, Content, Ending
from batchstatus.protocol import verbs
from batchstatus.settings import StoreSettings
from batchstatus.transport.connection import Connection
from batchstatus.web import create_app
from batchstatus.web.views.failures import PAGE_ROWS
from tests.support.wire import CSV, FAILED_ROW, FAILURES, INCLUDE_FAILURES, JOB, ORG, get, put_job

POLLS = 200
KINDS = pytest.mark.parametrize("kind", Kind)


@pytest.fixture
def api(real_store: JobStore, monkeypatch: pytest.MonkeyPatch) -> FlaskClient:
    """The service on the real Valkey, with a frozen clock, so that no cached key is looked up again."""
    monkeypatch.setattr("batchstatus.web.access.time", SimpleNamespace(monotonic=lambda: 1_000.0))
    return create_app(real_store).test_client()


@pytest.fixture
def key(real_store: JobStore) -> str:
    return real_store.api_keys.create(ORG, ["events:create"])[0]


def put_large(client: "redis.Redis", kind: Kind) -> str:
    """Store a running job of this kind with many failed rows. Returns the job's id."""
    rows = [json.dumps(FAILED_ROW[kind])] * 3_000
    lease = {"heartbeatAt": 1, "leaseExpiresAt": 4_102_444_800_000}
    return put_job(client, "large", kind=kind, status="running", failures=rows, skips=rows, **lease)


class Cost:
    """The server's commands by name, and its round trips, since the creation of this object."""

    def __init__(self, client: "redis.Redis") -> None:
        self._client = client
        client.config_resetstat()

    def commands(self) -> Counter[str]:
        """Returns the commands by name, without those of this class."""
        stats = self._client.info("commandstats")
        calls = Counter({name.removeprefix("cmdstat_"): int(stat["calls"]) for name, stat in stats.items()})
        return calls - Counter({"config|resetstat": 1, "info": 9})

    def round_trips(self) -> int:
        """Returns how often the server has read from a connection, without the reads of this class."""
        return int(self._client.info("stats")["total_reads_processed"]) - 1


@KINDS
def test_a_poll_is_one_round_trip_however_many_rows_have_failed(
    api: FlaskClient, redis_client: "redis.Redis", key: str, kind: Kind
) -> None:
    path = JOB.format(put_large(redis_client, kind))
    assert get(api, path, key).json["job"]["failed"] == 3_000  # this also caches the key
    cost, start = Cost(redis_client), time.monotonic()
    assert {get(api, path, key).status_code for _ in range(POLLS)} == {200}
    elapsed_s = time.monotonic() - start
    round_trips, commands = cost.round_trips(), cost.commands()
    clock_was_asked = commands.pop("time", 0)
    assert commands == {"hgetall": POLLS}
    assert clock_was_asked <= 1 + elapsed_s / 5
    assert round_trips == POLLS + clock_was_asked


@KINDS
def test_failed_rows_and_counters_are_one_transaction_in_one_round_trip(
    api: FlaskClient, redis_client: "redis.Redis", key: str, kind: Kind
) -> None:
    job_id = put_large(redis_client, kind)
    for path in (INCLUDE_FAILURES.format(job_id), FAILURES[kind].format(job_id)):
        assert get(api, path, key).json["failuresTotal"] == 3_000
        cost = Cost(redis_client)
        assert get(api, path, key).status_code == 200
        round_trips, commands = cost.round_trips(), cost.commands()
        assert round_trips == 1 + commands.pop("time", 0)
        # The numbers of stored rows, and the limit that kept others out, tell whether rows are lost.
        lost = {"llen": 2, "hget": 1}
        assert commands == {"multi": 1, "hgetall": 1, "lrange": commands["lrange"], **lost, "exec": 1}


@KINDS
def test_a_csv_reads_each_page_of_rows_once(
    api: FlaskClient, redis_client: "redis.Redis", key: str, kind: Kind
) -> None:
    path = CSV[kind].format(put_large(redis_client, kind))
    cost = Cost(redis_client)
    assert get(api, path, key).data.count(b"\r\n") == 3_001
    assert cost.commands()["lrange"] == 3_000 / PAGE_ROWS


def test_a_key_is_looked_up_once_in_a_few_seconds_even_if_unknown(
    api: FlaskClient, redis_client: "redis.Redis", key: str
) -> None:
    cost = Cost(redis_client)
    for unknown in (key, f"bsk_{'A' * 43}"):
        for _ in range(20):
            get(api, JOB.format("not.an.id"), unknown)
    assert cost.commands() == {"hgetall": 2}


class Reporting(Connection):
    """A connection that counts the reports, and the heartbeats, among the scripts that it sends."""

    reports = 0

    def evaluate(self, sha1: str, source: str, *words: Any, **options: Any) -> Any:
        """Run a script."""
        self.reports += source == verbs.REPORT.source
        return super().evaluate(sha1, source, *words, **options)


def test_a_jobs_life_is_three_round_trips_beside_its_reports(redis_client: "redis.Redis") -> None:
    store = JobStore(redis_client, connect=Reporting)
    for job_id in ("loads the scripts", "counted"):
        cost, store.connection.reports = Cost(redis_client), 0
        store.create(ORG, Kind.TRANSACTION_BATCH, job_id=job_id.replace(" ", "-"))
        with store.run(ORG, job_id.replace(" ", "-")) as run:
            run.failed({"externalId": "T-1", "code": "VALIDATION_ERROR", "message": "no amount"}, checkpoint=1)
        round_trips = cost.round_trips()
    assert store.connection.reports >= 1
    assert round_trips == 3 + store.connection.reports
    assert cost.commands()["evalsha"] == round_trips


STEPS = {
    "claim": lambda steps: steps.claim("token"),
    "cancel": lambda steps: steps.control(Action.CANCEL),
    "pause": lambda steps: steps.control(Action.PAUSE),
    "create again": lambda steps: steps.create(CONTENT),
    "give back": lambda steps: steps.finish(steps.claim("token"), Ending(Status.INTERRUPTED), 0),
    "fail": lambda steps: steps.finish(steps.claim("token"), Ending(Status.FAILED), 0),
    "interrupt": lambda steps: (steps.claim("token", 1), time.sleep(0.01), steps.settle(), steps.settle()),
}
"""Steps of a job's life that is created, each a round trip for each call."""
CALLS = {"give back": 2, "fail": 2, "interrupt": 3}
CONTENT = Content.checked(PUBLISHED, Kind.TRANSACTION_BATCH, None, None, 0)


@pytest.mark.parametrize("step", STEPS)
def test_each_step_of_a_jobs_life_is_one_round_trip(redis_client: "redis.Redis", step: str) -> None:
    store = JobStore(redis_client, StoreSettings(grace_s=0))
    for job_id in ("loads-the-scripts", "counted"):
        steps = store.steps(ORG, job_id)
        steps.create(CONTENT)
        cost = Cost(redis_client)
        STEPS[step](steps)
        round_trips = cost.round_trips()
    assert round_trips == CALLS.get(step, 1)


def test_in_a_cluster_a_jobs_life_is_eleven_round_trips_beside_its_reports(
    redis_client: "redis.Redis", monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Connection, "is_cluster", lambda _: True)
    for job_id in ("loads-the-scripts", "counted"):
        steps, found = JobStore(redis_client).steps(ORG, job_id), []
        cost = Cost(redis_client)
        steps.create(CONTENT)
        found.append(cost.round_trips())
        cost = Cost(redis_client)
        claim = steps.claim("token")
        found.append(cost.round_trips())
        cost = Cost(redis_client)
        steps.finish(claim, Ending(Status.COMPLETED), 0)
        found.append(cost.round_trips())
    assert found == [3, 5, 3]


def test_the_report_of_a_part_runs_eight_commands_more_than_that_of_a_job(redis_client: "redis.Redis") -> None:
    store, found = JobStore(redis_client), []
    store.create(ORG, Kind.TRANSACTION_BATCH, job_id="whole")
    store.create(ORG, Kind.TRANSACTION_BATCH, job_id="split", parts=2)
    store.steps(ORG, "split", 2).claim("token")  # for a shorter time, so that this lease is the job's
    for steps in (store.steps(ORG, "whole"), store.steps(ORG, "split", 1)):
        claim, commands = steps.claim("token", 60_000), []
        for seq in range(1, 4):
            cost = Cost(redis_client)
            steps.report(claim, seq, Batch(10, checkpoint=seq), paused=False)
            commands.append(sum(cost.commands().values()))
        found.append(min(commands))  # now and then a report keeps the pace, too
    assert found[1] <= found[0] + 8


@pytest.mark.parametrize("header", ["", "Bearer nonsense", "Basic dXNlcjpwYXNz", "Bearer bsk_short"])
def test_a_malformed_key_does_not_reach_the_store(
    api: FlaskClient, redis_client: "redis.Redis", header: str
) -> None:
    cost = Cost(redis_client)
    assert api.get(JOB.format("large"), headers={"Authorization": header}).status_code == 401
    assert cost.commands() == {}


def test_malformed_ids_and_unknown_paths_and_methods_do_not_reach_the_store(
    api: FlaskClient, redis_client: "redis.Redis", key: str
) -> None:
    get(api, JOB.format("not.an.id"), key)
    cost = Cost(redis_client)
    answers = [
        get(api, JOB.format("not.an.id"), key),
        api.post(JOB.format("a")),
        api.get("/nothing"),
        api.get("/livez"),
    ]
    assert [answer.status_code for answer in answers] == [404, 405, 404, 200]
    assert cost.commands() == {}
