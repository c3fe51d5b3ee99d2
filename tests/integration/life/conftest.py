"""Fixtures: a real Valkey whose clock the tests set, and lives on it."""

from collections.abc import Iterator

import pytest
from redis.backoff import NoBackoff
from redis.retry import Retry

from batchstatus.embedded import EmbeddedServer
from tests.integration.life.lives import Lives
from tests.support.set_clock import SetClockRedis


@pytest.fixture(scope="session")
def server() -> Iterator[SetClockRedis]:
    """A client that sets the clock of a real server of its own."""
    once = {"protocol": 2, "socket_timeout": 60, "retry": Retry(NoBackoff(), 0)}
    with EmbeddedServer() as embedded, SetClockRedis.from_url(embedded.url, **once) as client:
        yield client


@pytest.fixture
def lives(server: SetClockRedis) -> Iterator[Lives]:
    """Lives to direct, on an empty store."""
    lives = Lives(server)
    yield lives
    lives.end()
