"""The right to erasure: nothing of an organization, or of a job, is left, and nobody else loses anything."""

from collections.abc import Iterator
from contextlib import closing, suppress
from typing import Any

import pytest
import redis

from batchstatus import InvalidValue, JobNotFound, JobStore, Status
from batchstatus.erasure import MAX_PASSES, Erasure
from batchstatus.model.kinds import JobKind
from batchstatus.model.messages import Ending
from batchstatus.running import Running
from batchstatus.settings import StoreSettings, declared_kinds
from batchstatus.transport.connection import Connection
from batchstatus.webhooks.notices import Notices
from tests.support.notified import KNOWN
from tests.support.permissions import USER, as_user, documented_addition, documented_rule, make_user
from tests.support.sdk import UNHURRIED, rejected, skipped
from tests.support.topologies import ClusterTopology, needs_cluster
from tests.support.waiting import wait_until

GONE, OTHER, KIND = "gone.com", "gone.com.au", "transaction_batch"
"""One organization to be erased, and one whose name begins so."""

OF_ONE_JOB = {
    "jobs": 1,
    "failedRows": 3,
    "skippedRows": 2,
    "historyEntries": 1,
    "scheduleEntries": 3,
    "tickets": 1,
    "notices": 1,
    "deliveries": 1,
}


def snapshot(url: str) -> dict[str, Any]:
    """All that is in the store, of a Cluster in all of its servers: each key with its value."""
    found: dict[str, Any] = {}
    with closing(JobStore.open(url, StoreSettings(**UNHURRIED))) as store:
        for key in {*store.connection.scan("*")}:
            found[key.decode()] = value_of(store.connection, key.decode())
    return found


def value_of(connection: Connection, key: str) -> Any:
    for read in (("HGETALL", key), ("LRANGE", key, 0, -1), ("ZRANGEBYSCORE", key, "-inf", "+inf")):
        (value,) = connection.pipeline([read])
        if value is not None:
            return value
    raise AssertionError(f"{key} is neither a hash nor a list nor a sorted set")


def mentioning(url: str, org: str) -> list[str]:
    """The keys that name the organization, itself or in what they hold; `gone.com.au` does not name `gone.com`."""
    text = {key: f"{key} {value!r}".replace(OTHER, "another") for key, value in snapshot(url).items()}
    return sorted(key for key, said in text.items() if org in said)


def own_kind() -> JobKind:
    return JobKind("old_import", "old:import", "old-jobs", ["sku"], {"sku": "sku", "code": "code", "message": "m"})


def fill(url: str, org: str) -> None:
    """Give an organization everything that the store can have of one."""
    kinds = declared_kinds([own_kind(), KIND])
    with closing(JobStore.open(url, StoreSettings(kinds=kinds, grace_s=0.05, **UNHURRIED))) as store:
        key, _ = store.api_keys.create(org, ["transactions:create"], name="one", expires_in_s=3600)
        store.api_keys.create(org, ["transactions:create"])
        store.tickets.create(org, api_key=key)
        for number, kind in enumerate((KIND, "old_import")):
            store.create(org, kind, job_id=f"queued{number}")
        store.control(org, store.create(org, KIND, job_id="cancelled").job_id, "cancel")
        run(store, org, "job-done")
        store.tickets.create(org, job_id="job-done")
        with suppress(ValueError), store.run(org, store.create(org, "old_import", job_id="job-failed").job_id):
            raise ValueError("boom")
        with suppress(SystemExit), store.run(org, store.create(org, KIND, job_id="free", takeover_s=99).job_id):
            raise SystemExit
        run_parts(store, org)
        lose_entries(store, org)
        tell(store, org)


def tell(store: JobStore, org: str) -> None:
    """Leave an endpoint, and a notice that is due."""
    notices = Notices(store.connection)
    _, endpoint = notices.endpoints.add(org, f"https://hooks.{org}", KNOWN)
    notices.endpoints.disable(endpoint, "HTTP 410")
    notices.replay(org, "job-done", [endpoint])


def run(store: JobStore, org: str, job_id: str) -> None:
    with store.run(org, store.create(org, KIND, job_id=job_id).job_id) as run:
        for number in range(3):
            run.failed(rejected(number))
        for number in range(2):
            run.skipped(skipped(number))


def run_parts(store: JobStore, org: str) -> None:
    """Leave a split job with one part that has ended, one that awaits a worker, and one that nobody has had."""
    store.create(org, KIND, job_id="job-split", parts=3, takeover_s=99)
    with store.run(org, "job-split", part=1) as part:
        part.failed(rejected(1))
        part.skipped(skipped(1))
    with suppress(SystemExit), store.run(org, "job-split", part=2):
        raise SystemExit


def lose_entries(store: JobStore, org: str) -> None:
    """Leave a job that no index knows, and entries of jobs that are gone."""
    keys, command = store.connection.keys, store.connection.command
    run(store, org, "unlisted")
    command("ZREM", keys.index(org, KIND, "completed"), "unlisted")  # type: ignore[arg-type]
    for entry in (keys.lease_entry(org, "unlisted"), keys.expiry_entry(org, "unlisted")):
        command("ZREM", *entry)
    for entry in (keys.lease_entry(org, "expired"), keys.expiry_entry(org, "expired")):
        command("ZADD", entry.key, 4_000_000_000_000, entry.member)
    command("ZADD", keys.index(org, KIND, "failed"), 1, "expired")  # type: ignore[arg-type]


def check_everything(url: str) -> None:
    """Erase one of two organizations that have everything."""
    fill(url, OTHER)
    before = snapshot(url)
    fill(url, GONE)
    with closing(JobStore.open(url, StoreSettings(**UNHURRIED))) as store:
        found = Erasure(store).erase(GONE)
        assert found.complete
        assert mentioning(url, GONE) == []
        assert snapshot(url) == before
        assert found.removed == {
            "jobs": 8,
            "parts": 2,
            "failedRows": 7,
            "skippedRows": 5,
            "apiKeys": 2,
            "tickets": 2,
            "webhooks": 1,
            "notices": 1,
            "deliveries": 1,
            "historyEntries": 8,
            "scheduleEntries": found.removed["scheduleEntries"],
        }
        assert Erasure(store).erase(GONE) == ({}, True)
        Erasure(store).erase(OTHER)
        assert snapshot(url) == {}


def check_one_job(url: str) -> None:
    """Erase single jobs of an organization that has everything."""
    fill(url, GONE)
    with closing(JobStore.open(url, StoreSettings(**UNHURRIED))) as store:
        before = {job.job_id: job for job in store.list(GONE, limit=100).jobs}
        assert Erasure(store).erase(GONE, "job-done").removed == OF_ONE_JOB
        assert Erasure(store).erase(GONE, "job-failed").removed["jobs"] == 1
        split = Erasure(store).erase(GONE, "job-split")
        assert (split.removed["parts"], split.removed["failedRows"], split.removed["skippedRows"]) == (2, 1, 1)
        for job_id in (erased := ("job-done", "job-failed", "job-split")):
            assert mentioning(url, job_id) == []
            with pytest.raises(JobNotFound):
                store.get(GONE, job_id)
        left = {job.job_id: job for job in store.list(GONE, limit=100).jobs}
        assert left == {job_id: job for job_id, job in before.items() if job_id not in erased}
        assert len(store.api_keys.list(GONE)) == 2
        assert [ticket.job_id for ticket in store.tickets.list(GONE)] == [None]
        Erasure(store).erase(GONE)


@pytest.fixture(scope="module")
def cluster() -> Iterator[ClusterTopology]:
    with ClusterTopology(replicas=0) as found:
        yield found


def test_nothing_is_left_of_an_organization_and_another_is_untouched(redis_url: str) -> None:
    check_everything(redis_url)


def test_one_job_is_erased_and_all_others_stay(redis_url: str) -> None:
    check_one_job(redis_url)


@pytest.mark.slow
@needs_cluster
def test_nothing_is_left_in_a_cluster_either(cluster: ClusterTopology) -> None:
    check_everything(cluster.url)
    check_one_job(cluster.url)


def test_keys_of_another_prefix_that_begins_so_are_not_touched(real_store: JobStore, redis_url: str) -> None:
    with closing(JobStore.open(redis_url, StoreSettings(prefix="batchstatus:index", **UNHURRIED))) as other:
        run(other, GONE, "theirs")
        real_store.create(GONE, KIND, job_id="ours")
        assert Erasure(real_store).erase(GONE).removed["jobs"] == 1
        assert other.get(GONE, "theirs").failed == 3
        assert [job.job_id for job in other.list(GONE).jobs] == ["theirs"]


def test_what_is_not_there_is_nothing(store: JobStore) -> None:
    assert Erasure(store).erase("nobody") == ({}, True)
    assert Erasure(store).erase("nobody", "nothing") == ({}, True)


@pytest.mark.parametrize(("org", "job_id"), [("*", None), ("a:b", None), ("", None), (GONE, "*"), (GONE, "")])
def test_an_id_that_cannot_be_is_refused(store: JobStore, org: str, job_id: str | None) -> None:
    store.create(GONE, KIND, job_id="kept")
    with pytest.raises(InvalidValue):
        Erasure(store).erase(org, job_id)
    assert store.get(GONE, "kept").status == "queued"


def test_the_documented_permissions_are_sufficient(redis_client: "redis.Redis", redis_url: str) -> None:
    fill(redis_url, GONE)
    make_user(redis_client, [*documented_rule(), *documented_addition("For `batchstatus erase`")])
    try:
        with closing(JobStore.open(as_user(redis_url), StoreSettings(**UNHURRIED))) as store:
            assert Running(store.connection).longest_silent(9)[1] == 2
            assert Erasure(store).erase(GONE).complete
    finally:
        redis_client.execute_command("ACL", "DELUSER", USER)
    assert redis_client.dbsize() == 0


# Who is still at work


def work_while_erased(store: JobStore) -> None:
    """Run a whole job and a part, and erase their organization in the middle."""
    with store.run(GONE, "whole") as run, suppress(JobNotFound), store.run(GONE, "split", part=2) as part:
        run.failed(rejected(1), checkpoint=1)
        part.failed(rejected(1), checkpoint=1)
        wait_until(lambda: store.get(GONE, "split").failed == store.get(GONE, "whole").failed == 1)
        assert Erasure(store).erase(GONE).complete
        part.failed(rejected(2), checkpoint=2)
        run.failed(rejected(2), checkpoint=2)


def check_live_worker(store: JobStore, url: str) -> None:
    """Erase an organization whose workers are at work."""
    store.create(GONE, KIND, job_id="whole")
    store.create(GONE, KIND, job_id="split", parts=2)
    with pytest.raises(JobNotFound):
        work_while_erased(store)
    assert mentioning(url, GONE) == []


def test_a_live_worker_hears_that_its_job_is_gone_and_brings_nothing_back(
    real_store: JobStore, redis_url: str
) -> None:
    check_live_worker(real_store, redis_url)


@pytest.mark.slow
@needs_cluster
def test_nor_does_it_in_a_cluster(cluster: ClusterTopology) -> None:
    with closing(JobStore.open(cluster.url, StoreSettings(**UNHURRIED))) as store:
        check_live_worker(store, cluster.url)


@pytest.mark.parametrize("in_cluster", [False, True])
def test_an_end_that_comes_after_the_erasure_leaves_no_entry_in_the_history(
    real_store: JobStore, redis_url: str, monkeypatch: pytest.MonkeyPatch, in_cluster: bool
) -> None:
    monkeypatch.setattr(Connection, "is_cluster", lambda _: in_cluster)  # there the entry is written first
    real_store.create(GONE, KIND, job_id="ending")
    steps = real_store.steps(GONE, "ending")
    claim = steps.claim("token")
    assert Erasure(real_store).erase(GONE).removed["jobs"] == 1
    with pytest.raises(JobNotFound):
        steps.finish(claim, Ending(Status.COMPLETED), 0)
    assert mentioning(redis_url, GONE) == []


def test_whoever_goes_on_writing_is_noticed(real_store: JobStore, monkeypatch: pytest.MonkeyPatch) -> None:
    real_store.create(GONE, KIND)
    erasure = Erasure(real_store)
    looks = erasure._rooms[-1]

    def written_meanwhile(org: str, job_id: str | None) -> Any:
        removed = looks(org, job_id)
        real_store.create(org, KIND)
        return removed

    monkeypatch.setattr(erasure, "_rooms", (*erasure._rooms[:-1], written_meanwhile))
    removed, complete = erasure.erase(GONE)
    assert (removed["jobs"], complete) == (MAX_PASSES, False)
    assert Erasure(real_store).erase(GONE).complete


def test_what_is_erased_is_erased_on_replicas_too(redis_client: "redis.Redis") -> None:
    store = JobStore(redis_client, StoreSettings(**UNHURRIED))
    store.create(GONE, KIND)
    store.api_keys.create(GONE, ["a:b"])
    store.tickets.create(GONE)
    durable: list[str] = []

    class Durable(Connection):
        def write(self, *words: Any) -> Any:
            durable.append(words[0])
            return super().write(*words)

    Erasure(JobStore(redis_client, StoreSettings(), connect=Durable)).erase(GONE)
    assert {"DEL", "HDEL", "ZREM"} == set(durable)
    assert redis_client.dbsize() == 0
