"""The cost of an answer at the store (contract §2): one command per poll, one transaction for failed rows."""

import json
import time
from collections import Counter
from types import SimpleNamespace

import pytest
import redis
from flask.testing import FlaskClient

from batchstatus import JobStore, Kind
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
        assert commands == {"multi": 1, "hgetall": 1, "lrange": commands["lrange"], "exec": 1}


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
