"""A store that refuses or sends garbage gives 503, and the service recovers by itself (contract §7)."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from batchstatus import JobStore, Kind
from batchstatus.embedded import EmbeddedServer
from batchstatus.settings import StoreSettings
from batchstatus.transport.redis_py import take_connection
from batchstatus.transport.urls import open_client
from batchstatus.web import create_app
from tests.support.answering import AnsweringProxy
from tests.support.outage import Stage, at_once, is_whole, mend, own_stage
from tests.support.rawhttp import Answer, exchange, request
from tests.support.service import LiveService
from tests.support.waiting import wait_until
from tests.support.wire import CSV, INCLUDE_FAILURES, JOB, ORG, checked_error, error_of, get, put_job

pytestmark = pytest.mark.slow

RECOVERED_S = 20.0
"""Only what recovers by no means takes so long, on a busy machine too. How soon a service recovers is held by
test_store_trouble.py, which may try several times."""
PATHS = (JOB.format("job_1"), INCLUDE_FAILURES.format("job_1"), CSV[Kind.TRANSACTION_BATCH].format("job_1"))


def said_by(answer: Answer) -> tuple[int, str, bool]:
    """Returns status, code, and True if the answer has Retry-After."""
    code = checked_error(answer.headers["content-type"], answer.body) if answer.status >= 400 else "OK"
    return answer.status, code, "retry-after" in answer.headers


def assert_unavailable(stage: Stage) -> None:
    """Assert that every route that needs the store answers 503, and that the process is alive."""
    asked = [*map(stage.request, PATHS), request("GET", "/readyz")] * 2
    said = [said_by(each.answer) for each in at_once(stage, asked)]
    assert said == [(503, "STORE_UNAVAILABLE", True)] * 8
    assert exchange(stage.service.port, request("GET", "/livez")).status == 200


@pytest.fixture(scope="module")
def own() -> Iterator[Stage]:
    with own_stage() as stage:
        yield stage


@pytest.fixture
def stage(own: Stage) -> Iterator[Stage]:
    """A healthy store and service, and a running job_1."""
    mend(own)
    yield own
    own.client.config_set("maxclients", 10_000)
    mend(own)


@pytest.fixture(scope="module")
def proxied(own: Stage) -> Iterator[tuple[AnsweringProxy, Stage]]:
    """The same store behind a proxy that can answer in its place, and a service that uses the proxy."""
    with AnsweringProxy(own.server.port) as proxy, LiveService(proxy.url, store_timeout_s=1.0) as service:
        yield proxy, Stage(own.server, service, own.client, own.key)


ANSWERS = {
    "loading": b"-LOADING Redis is loading the dataset in memory\r\n",
    "a replica without its primary": b"-MASTERDOWN Link with MASTER is down.\r\n",
    "busy with a script": b"-BUSY Redis is busy running a script. You can only call SCRIPT KILL.\r\n",
    "full": b"-OOM command not allowed when used memory > 'maxmemory'.\r\n",
    "unable to save": b"-MISCONF Errors writing to the AOF file: No space left on device\r\n",
    "a replica": b"-READONLY You can't write against a read only replica.\r\n",
    "no password given": b"-NOAUTH Authentication required.\r\n",
    "no permission": b"-NOPERM this user has no permissions to run the 'hgetall' command\r\n",
    "a cluster that is down": b"-CLUSTERDOWN The cluster is down\r\n",
    "a cluster's node": b"-MOVED 3999 127.0.0.1:6381\r\n",
    "full of clients": b"-ERR max number of clients reached\r\n",
    "an unknown command": b"-ERR unknown command 'HGETALL'\r\n",
    "an error that is no text": b"-ERR caf\xe9 \xff\xfe\r\n",
    "an error without words": b"-\r\n",
    "no Redis": b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n",
    "noise": b"\x00\xff\x15\x03\x01\x00\x02\x02\x16\r\n",
    "a line that is cut": b"$-",
    "nothing, and it hangs up": b"",
    "half of something": b"*4\r\n$5\r\norgId\r\n$8\r\norg_",
}


@pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS.keys())
def test_any_refusal_or_malformed_reply_of_the_store_is_503(
    stage: Stage, proxied: tuple[AnsweringProxy, Stage], answer: bytes
) -> None:
    proxy, front = proxied
    wait_until(lambda: is_whole(front))
    proxy.answer = answer
    assert_unavailable(front)
    proxy.answer = None
    wait_until(lambda: is_whole(front), RECOVERED_S, "a poll is answered with the job")


def test_a_store_that_trickles_its_reply_is_503(stage: Stage, proxied: tuple[AnsweringProxy, Stage]) -> None:
    proxy, front = proxied
    wait_until(lambda: is_whole(front))
    proxy.answer, proxy.pace_s = b"*200\r\n" + b"$1\r\na\r\n" * 100, 0.3
    assert_unavailable(front)
    proxy.answer, proxy.pace_s = None, 0.0
    wait_until(lambda: is_whole(front), RECOVERED_S, "a poll is answered with the job")


def test_a_store_that_takes_no_more_clients_is_503(stage: Stage) -> None:
    stage.client.ping()
    stage.client.config_set("maxclients", 1)
    stage.client.client_kill_filter(_type="normal", skipme=True)
    assert_unavailable(stage)
    stage.client.config_set("maxclients", 10_000)
    wait_until(lambda: is_whole(stage), RECOVERED_S, "a poll is answered with the job")


def test_a_store_in_client_pause_is_503(stage: Stage) -> None:
    stage.client.client_pause(4_000)
    assert_unavailable(stage)
    wait_until(lambda: is_whole(stage), 30)


def test_a_wrong_password_is_503_until_it_becomes_right() -> None:
    with EmbeddedServer("--requirepass", "right") as server:
        right, wrong = (server.url.replace("redis://", f"redis://:{word}@") for word in ("right", "wrong"))
        with (
            redis.Redis.from_url(right) as client,
            LiveService(wrong, wait_for="/livez", store_timeout_s=1.0) as service,
        ):
            key, _ = JobStore(client).api_keys.create(ORG, ["events:create"])
            put_job(client, "job_1")
            stage = Stage(server, service, client, key)
            assert_unavailable(stage)
            client.config_set("requirepass", "wrong")
            wait_until(lambda: is_whole(stage), RECOVERED_S, "a poll is answered with the job")


def test_a_missing_password_is_503(stage: Stage) -> None:
    stage.client.config_set("requirepass", "secret")
    stage.client.client_kill_filter(_type="normal", skipme=True)
    assert_unavailable(stage)
    stage.client.config_set("requirepass", "")
    wait_until(lambda: is_whole(stage), RECOVERED_S, "a poll is answered with the job")


def test_a_store_that_is_loading_its_data_is_503(tmp_path: Path) -> None:
    filled = EmbeddedServer("--appendonly", "yes", directory=tmp_path)
    with filled, redis.Redis.from_url(filled.start().url) as client, client.pipeline(False) as pipeline:
        key, _ = JobStore(client).api_keys.create(ORG, ["events:create"])
        put_job(client, "job_1")
        for number in range(50_000):
            pipeline.set(f"other:{number}", "x", ex=600)
        pipeline.execute()
    # 15 s, until it is told to hurry; it hears so after a thousand keys, 0.3 s
    slowly = ("--appendonly", "yes", "--key-load-delay", "300", "--loading-process-events-interval-bytes", "1024")
    server = EmbeddedServer(*slowly, directory=tmp_path, port=filled.port)
    with (
        LiveService(server.url, wait_for="/livez", store_timeout_s=1.0) as service,
        redis.Redis.from_url(server.url) as client,
    ):
        stage = Stage(server, service, client, key)
        starting = threading.Thread(target=server.start)
        starting.start()
        try:
            wait_until(lambda: is_loading(client))
            assert_unavailable(stage)
            assert is_loading(client)
            client.config_set("key-load-delay", 0)
            wait_until(lambda: is_whole(stage), 60, "the data is loaded")
        finally:
            starting.join()
            server.stop()


def is_loading(client: "redis.Redis") -> bool:
    """Returns True if the server is up and loading its data."""
    try:
        client.ping()
    except redis.exceptions.BusyLoadingError:
        return True
    except redis.ConnectionError:
        return False
    return False


def test_an_exhausted_connection_pool_is_503(redis_url: str) -> None:
    settings = StoreSettings(max_connections=1, timeout_s=0.3)
    client = open_client(redis_url, settings)
    store = JobStore(client, settings)
    web = create_app(store).test_client()
    key, _ = store.api_keys.create(ORG, ["events:create"])
    put_job(client, "job_1")
    in_use = take_connection(client.connection_pool)
    for path in PATHS:
        assert error_of(get(web, path, key)) == (503, "STORE_UNAVAILABLE")
    assert error_of(web.get("/readyz")) == (503, "STORE_UNAVAILABLE")
    assert web.get("/livez").status_code == 200
    client.connection_pool.release(in_use)
    assert [get(web, path, key).status_code for path in PATHS] == [200] * 3
    store.close()


@pytest.mark.parametrize("timeout_ms", ["200", "3000"])
def test_the_configured_timeout_bounds_the_answer(own: Stage, timeout_ms: str) -> None:
    mend(own)
    with LiveService(own.server.url, BATCHSTATUS_STORE_TIMEOUT_MS=timeout_ms) as service:
        stage = Stage(own.server, service, own.client, own.key)
        busy_s = max(each.took_s for each in at_once(stage, [request("GET", "/nothing")] * 4))
        own.server.pause()
        timed = at_once(stage, [stage.request(JOB.format("job_1"))] * 4)
    mend(own)
    assert {said_by(each.answer) for each in timed} == {(503, "STORE_UNAVAILABLE", True)}
    bound_s = int(timeout_ms) / 1_000
    assert bound_s <= min(each.took_s for each in timed) < bound_s + 0.7 + busy_s
