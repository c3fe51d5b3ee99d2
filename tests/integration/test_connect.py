"""`batchstatus.connect`: the addresses it takes, and what its options do."""

import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import redis

import batchstatus
from batchstatus import InvalidValue, JobNotFound, JobStore, StoreUnavailable
from batchstatus.embedded import EmbeddedServer
from batchstatus.worker import run as run_module
from tests.support.sdk import ORG, UNHURRIED, fields, keys_of, rejected
from tests.support.waiting import wait_until

NOWHERE = "redis://127.0.0.1:1/0"


@pytest.fixture(scope="module")
def own_server() -> Iterator[EmbeddedServer]:
    """A server of this module alone, on a port and on a unix socket; it may be stopped and started."""
    with (
        tempfile.TemporaryDirectory() as folder,
        EmbeddedServer("--unixsocket", f"{folder}/s", directory=Path(folder)) as server,
    ):
        yield server


def usable(store: JobStore) -> bool:
    """Whether a job can be made and run."""
    job = store.create(ORG, "transaction_batch")
    with store.run(ORG, job.job_id) as run:
        run.succeeded()
    found = store.get(ORG, job.job_id).succeeded == 1
    store.close()
    return found


def finds(store: JobStore, job_id: str) -> bool:
    """Whether the store answers in time, and with the job."""
    with suppress(StoreUnavailable):
        return store.get(ORG, job_id).job_id == job_id
    return False


@pytest.mark.parametrize("scheme", ["redis", "valkey"])
def test_a_server_is_reached_under_either_name(redis_url: str, scheme: str) -> None:
    assert usable(batchstatus.connect(redis_url.replace("redis://", f"{scheme}://"), **UNHURRIED))


def test_a_server_is_reached_over_a_unix_socket(own_server: EmbeddedServer) -> None:
    with redis.Redis.from_url(own_server.url) as client:
        path = client.config_get("unixsocket")["unixsocket"]  # type: ignore[index]
        assert usable(batchstatus.connect(f"unix://{path}", **UNHURRIED))
        assert usable(batchstatus.connect(f"unix://{path}?db=1", **UNHURRIED))
        assert len(client.keys("batchstatus:{*")) == 1


@pytest.mark.parametrize("scheme", ["rediss", "valkeys"])
def test_an_encrypted_scheme_never_talks_plain_text(redis_url: str, scheme: str) -> None:
    store = batchstatus.connect(redis_url.replace("redis://", f"{scheme}://"))
    with pytest.raises(StoreUnavailable):
        store.ping()


@pytest.mark.parametrize(
    "url",
    ["", "localhost", "localhost:6379", "http://localhost", "memcached://x", "redis", "//x", None, 6379, b"x"],
)
def test_an_address_of_another_kind_is_refused(url: Any) -> None:
    with pytest.raises(InvalidValue, match="valkeys://"):
        batchstatus.connect(url)


@pytest.mark.parametrize("url", ["redis://h:port/0", "redis://h:6379/0?socket_timeout=soon", "redis://h:70000/0"])
def test_an_address_that_is_wrong_further_on_is_refused(url: str) -> None:
    with pytest.raises(InvalidValue):
        batchstatus.connect(url)


@pytest.fixture
def claims_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A claim that is not answered is not repeated."""
    monkeypatch.setattr(run_module, "CLAIM_AGAIN_S", 0)


@pytest.mark.usefixtures("claims_once")
def test_nothing_is_sent_before_the_first_call() -> None:
    store = batchstatus.connect(NOWHERE)
    run = store.run(ORG, "job")
    with pytest.raises(StoreUnavailable), run:
        pass
    with pytest.raises(StoreUnavailable):
        store.get(ORG, "job")


@pytest.mark.parametrize("option", ["decode_responses=true", "decode_responses=false", "protocol=3"])
def test_an_option_of_the_address_does_not_break_reading(redis_url: str, option: str) -> None:
    assert usable(batchstatus.connect(f"{redis_url}?{option}", **UNHURRIED))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("lease_s", each) for each in (0, -1, float("nan"), float("inf"), "30", None, True)),
        *(("grace_s", each) for each in (-0.1, float("nan"), "3", None, False)),
        *(("retention_s", each) for each in (0, 33, 33.0, -5, float("inf"), "x")),
        *(("timeout_s", each) for each in (0, -1, "1", None)),
        *(("max_connections", each) for each in (0, -1, 2.5, "5")),
        *(("max_rows", each) for each in (0, -1, 1e6, None)),
        *(("prefix", each) for each in ("", "a{b", "a}b", "{x}", "a b", "a\n", "ü", "x" * 65, "a*b")),
    ],
)
def test_an_option_that_makes_no_sense_is_refused_by_its_name(name: str, value: Any) -> None:
    with pytest.raises(InvalidValue, match=name):
        batchstatus.connect(NOWHERE, **{name: value})


def test_what_is_not_given_is_as_documented() -> None:
    settings = batchstatus.connect(NOWHERE).settings
    assert (settings.lease_s, settings.grace_s, settings.prefix) == (30.0, 3.0, "batchstatus")
    assert (settings.retention_s, settings.max_rows, settings.timeout_s) == (30 * 86_400, 1_000_000, 1.0)


def test_a_lease_may_be_a_fraction_of_a_second(redis_url: str, redis_client: "redis.Redis") -> None:
    store = batchstatus.connect(redis_url, lease_s=0.25, grace_s=0.05, **UNHURRIED)
    job = store.create(ORG, "transaction_batch")
    with store.run(ORG, job.job_id) as run:
        assert run.job.lease_expires_at is not None
        assert run.job.heartbeat_at is not None
        assert (run.job.lease_expires_at - run.job.heartbeat_at).total_seconds() == 0.25
    store.close()


def test_retention_and_max_rows_are_the_stores(redis_url: str, redis_client: "redis.Redis") -> None:
    store = batchstatus.connect(redis_url, retention_s=500, max_rows=2, **UNHURRIED)
    job = store.create(ORG, "transaction_batch")
    with store.run(ORG, job.job_id) as run:
        for number in range(3):
            run.failed(rejected(number))
    assert 400 < redis_client.ttl(keys_of(job).job) <= 500
    assert 400 < redis_client.ttl(keys_of(job).failures) <= 500
    assert redis_client.llen(keys_of(job).failures) == 2
    assert fields(redis_client, job)["failed"] == "3"
    store.close()


def test_prefixes_keep_deployments_apart(redis_url: str, redis_client: "redis.Redis") -> None:
    one = batchstatus.connect(redis_url, prefix="shop:one", **UNHURRIED)
    other = batchstatus.connect(redis_url, **UNHURRIED)
    job = one.create(ORG, "transaction_batch", job_id="same")
    with pytest.raises(JobNotFound):
        other.get(ORG, job.job_id)
    other.create(ORG, "user_event_batch", job_id="same")
    assert one.get(ORG, "same") == job
    stored = sorted(key.decode() for key in redis_client.scan_iter())
    assert {key for key in stored if "same}" in key} == {"batchstatus:{org_acme:same}", "shop:one:{org_acme:same}"}
    assert {key.partition(":{")[0] for key in stored} <= {
        f"{prefix}{index}" for prefix in ("batchstatus", "shop:one") for index in ("", ":index", ":expiries")
    }
    one.close()
    other.close()


def test_threads_wait_for_a_connection_rather_than_open_more(redis_url: str, redis_client: "redis.Redis") -> None:
    store = batchstatus.connect(redis_url, max_connections=2, **UNHURRIED)
    job = store.create(ORG, "transaction_batch")
    before = len(redis_client.client_list())
    with ThreadPoolExecutor(12) as pool:
        assert all(found == job for found in pool.map(lambda _: store.get(ORG, job.job_id), range(300)))
        assert len(redis_client.client_list()) - before <= 1  # one was open before
    store.close()


def test_a_closed_store_may_be_used_again(redis_url: str) -> None:
    store = batchstatus.connect(redis_url, **UNHURRIED)
    store.close()
    job = store.create(ORG, "transaction_batch")
    store.close()
    assert store.get(ORG, job.job_id) == job
    store.close()


@pytest.mark.slow
@pytest.mark.usefixtures("claims_once")
def test_a_server_that_hangs_is_given_up_within_the_timeout(own_server: EmbeddedServer) -> None:
    store, unhurried = (batchstatus.connect(own_server.url, timeout_s=each) for each in (0.3, 30))
    job = unhurried.create(ORG, "transaction_batch")
    own_server.pause()
    try:
        for call in (
            store.ping,
            lambda: store.get(ORG, job.job_id),
            lambda: store.outcome(ORG, job.job_id),
            lambda: store.create(ORG, "transaction_batch"),
            lambda: store.run(ORG, job.job_id).__enter__(),
        ):
            began = time.monotonic()
            with pytest.raises(StoreUnavailable):
                call()
            assert 0.25 < time.monotonic() - began < 10  # redis-py would go on for a minute
    finally:
        own_server.resume()
    assert finds(unhurried, job.job_id)
    wait_until(lambda: finds(store, job.job_id))
    store.close()
    unhurried.close()


@pytest.mark.slow
def test_a_store_finds_its_way_back_to_a_restarted_server(own_server: EmbeddedServer) -> None:
    store = batchstatus.connect(own_server.url, **UNHURRIED)
    store.ping()
    own_server.kill()
    with pytest.raises(StoreUnavailable):
        store.ping()
    own_server.start()
    assert wait_until(lambda: usable(store))
