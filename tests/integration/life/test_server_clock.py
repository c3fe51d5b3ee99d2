"""The clock that counts is the store's."""

from datetime import UTC, datetime, timedelta

import redis

from batchstatus import JobStore
from batchstatus.model.job import Status
from batchstatus.model.keys import Keys
from batchstatus.model.messages import Ending
from batchstatus.protocol import verbs
from batchstatus.settings import StoreSettings
from batchstatus.transport.connection import Connection
from tests.integration.life.watched import ORG
from tests.integration.life.words import LEASE_MS
from tests.support.set_clock import SetClockRedis


def test_the_clock_that_counts_is_the_servers(server: SetClockRedis) -> None:
    """In the other tests of lives the clock is set; here the scripts ask the server for the time."""
    server.flushall()
    client = redis.Redis(connection_pool=server.connection_pool)
    keys = Keys("batchstatus").job(ORG, "job-now")
    before = _server_time(client)
    created = JobStore(client).create(ORG, "transaction_batch", job_id="job-now")
    connection = Connection(client, StoreSettings(lease_s=LEASE_MS / 1000))
    claim = verbs.claim(connection, keys, "ann-1")
    claimed = claim.job
    verbs.report(connection, keys, claim, seq=0)
    reported = JobStore(client).get(ORG, "job-now")
    verbs.finish(connection, keys, claim, Ending(Status.COMPLETED))
    ended = JobStore(client).get(ORG, "job-now")
    after = _server_time(client)
    assert (
        before
        <= created.created_at
        <= claimed.heartbeat_at
        <= reported.heartbeat_at
        <= ended.completed_at
        <= after
    )
    assert reported.lease_expires_at - reported.heartbeat_at == timedelta(milliseconds=LEASE_MS)


def _server_time(client: "redis.Redis") -> datetime:
    seconds, microseconds = client.time()
    return datetime.fromtimestamp(seconds, UTC) + timedelta(milliseconds=microseconds // 1000)
