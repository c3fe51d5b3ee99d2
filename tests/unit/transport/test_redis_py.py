"""The store's client behaves the same with every release of redis-py that may be installed."""

import pytest
import redis

from batchstatus import InvalidValue
from batchstatus.settings import StoreSettings
from batchstatus.transport.redis_py import BlockingPool, take_connection
from batchstatus.transport.urls import open_client, opener


@pytest.fixture
def pool(redis_url):
    pool = BlockingPool.from_url(redis_url, timeout=0.1, max_connections=2)
    yield pool
    pool.disconnect()


def is_open(connection: "redis.Connection") -> bool:
    return connection._sock is not None


@pytest.fixture
def one_in_use_and_one_idle(pool):
    in_use, idle = take_connection(pool), take_connection(pool)
    pool.release(idle)
    assert (is_open(in_use), is_open(idle)) == (True, True)
    return in_use, idle


def test_closing_the_idle_connections_leaves_those_in_use_open(pool, one_in_use_and_one_idle):
    in_use, idle = one_in_use_and_one_idle
    pool.disconnect(inuse_connections=False)
    assert (is_open(in_use), is_open(idle)) == (True, False)


def test_closing_a_pool_closes_the_connections_in_use_too(pool, one_in_use_and_one_idle):
    in_use, idle = one_in_use_and_one_idle
    pool.disconnect()
    assert (is_open(in_use), is_open(idle)) == (False, False)


def test_connecting_sends_no_command_of_its_own(redis_url, redis_client):
    client = open_client(redis_url, StoreSettings())
    redis_client.config_resetstat()
    assert client.execute_command("PING")
    calls = {name: stats["calls"] for name, stats in redis_client.info("commandstats").items()}
    client.close()
    assert calls == {"cmdstat_ping": 1, "cmdstat_config|resetstat": 1}


@pytest.mark.parametrize("version", [(5, 2, 1), (6, 4, 0), (7, 1, 1)])
def test_a_cluster_is_refused_with_redis_py_before_8_1(monkeypatch, version):
    monkeypatch.setattr(redis, "VERSION", version)
    with pytest.raises(InvalidValue, match=r"a Cluster needs redis-py 8\.1 or newer"):
        opener("redis+cluster://127.0.0.1:6379", StoreSettings())


@pytest.mark.parametrize("version", [(8, 1, 0), (8, 2, 0)])
def test_a_cluster_is_accepted_with_redis_py_from_8_1_on(monkeypatch, version):
    monkeypatch.setattr(redis, "VERSION", version)
    opener("redis+cluster://127.0.0.1:6379", StoreSettings())
