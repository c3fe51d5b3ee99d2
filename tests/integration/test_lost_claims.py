"""A claim that was acknowledged and then lost, with the server that took it: the next one has the same fence."""

import pytest
import redis

from batchstatus import JobStore, LeaseLost, Status
from batchstatus.model.messages import Batch, Claim, Ending
from batchstatus.protocol import verbs
from batchstatus.transport.connection import Connection
from tests.support.sdk import ORG, counters, fields, keys_of


class Two:
    """Two workers whose claims gave them the same fence, the second one's is what the store knows."""

    def __init__(self, store: JobStore, client: "redis.Redis") -> None:
        self.connection = Connection(client)
        self.job = store.create(ORG, "transaction_batch")
        self.keys = keys_of(self.job)
        before = fields(client, self.job)
        self.first = self.claim("first")
        client.delete(self.keys.job)
        client.hset(self.keys.job, mapping=before)
        client.expire(self.keys.job, 60)
        self.second = self.claim("second")
        assert self.first.fence == self.second.fence

    def claim(self, token: str) -> Claim:
        return verbs.claim(self.connection, self.keys, token)

    def report(self, claim: Claim, succeeded: int) -> None:
        verbs.report(self.connection, self.keys, claim, claim.seq + 1, Batch(succeeded))

    def finish(self, claim: Claim) -> None:
        verbs.finish(self.connection, self.keys, claim, Ending(Status.COMPLETED))


@pytest.fixture
def two(store: JobStore, client: "redis.Redis") -> Two:
    return Two(store, client)


def test_only_the_one_that_the_store_knows_may_report(two: Two, store: JobStore) -> None:
    with pytest.raises(LeaseLost):
        two.report(two.first, succeeded=30)
    two.report(two.second, succeeded=70)
    with pytest.raises(LeaseLost):
        two.report(two.first, succeeded=30)
    assert counters(store.get(ORG, two.job.job_id)) == (70, 0, 0)


def test_only_that_one_may_end_the_job(two: Two, store: JobStore) -> None:
    with pytest.raises(LeaseLost):
        two.finish(two.first)
    assert store.get(ORG, two.job.job_id).status is Status.RUNNING
    two.finish(two.second)
    two.finish(two.second)
    with pytest.raises(LeaseLost):
        two.finish(two.first)
    assert store.get(ORG, two.job.job_id).status is Status.COMPLETED
