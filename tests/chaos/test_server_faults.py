"""Faults of a single server: away, full, refusing, forgetful; and the access rules of its users."""

from collections.abc import Callable, Iterator

import pytest
import redis

import batchstatus
from batchstatus import StoreRefused, StoreUnavailable
from tests.chaos.away import store_hangs, store_restarts
from tests.chaos.clocks import workers_vanish
from tests.chaos.finding import Finding
from tests.chaos.forgetting import scripts_forgotten
from tests.chaos.full import store_full
from tests.chaos.refusals import REFUSALS, store_is_read_only, store_refuses
from tests.chaos.working import BUSY_S
from tests.support.everything import do_everything
from tests.support.nodes import Node
from tests.support.permissions import (
    as_user,
    documented_addition,
    documented_keys,
    documented_rule,
    make_user,
    with_keys,
)
from tests.support.sdk import ORG, UNHURRIED, plain_client
from tests.support.waiting import wait_until

pytestmark = pytest.mark.slow

OF_THE_ADMINISTRATOR = {"acl|setuser", "client|setinfo", "config|resetstat", "info"}


@pytest.mark.parametrize("replicas_too", [False, True], ids=["", "as all replicas restart"])
@pytest.mark.parametrize("away", [store_hangs, store_restarts])
def test_no_live_worker_loses_its_job_while_the_store_is_away(
    away: Callable[..., Finding], replicas_too: bool
) -> None:
    found = away(1, replicas_too=replicas_too, busy_s=BUSY_S)
    assert (found.lost, found.wrong) == ((), ())


def test_wrong_clocks_neither_hide_dead_workers_nor_end_live_ones() -> None:
    found = workers_vanish(3)
    assert (found.lost, found.wrong) == ((), ())


def test_a_full_store_refuses_only_what_needs_memory_and_that_as_a_whole() -> None:
    found = store_full()
    assert (found.lost, found.wrong) == ((), ())


@pytest.mark.parametrize("why", REFUSALS)
def test_a_store_that_refuses_is_503_soon_and_imports_outlive_it(why: str) -> None:
    found = store_refuses(why)
    assert (found.lost, found.wrong) == ((), ())


def test_a_read_only_store_can_be_read_and_refuses_each_write_as_a_whole() -> None:
    found = store_is_read_only()
    assert (found.lost, found.wrong) == ((), ())


def test_forgotten_scripts_are_sent_again() -> None:
    found = scripts_forgotten()
    assert (found.lost, found.wrong) == ((), ())
    assert found.tried > 10


# Access rules


@pytest.fixture(scope="module")
def server() -> Iterator[Node]:
    """A server of its own for users with limited rights, and a Redis replica of it."""
    with Node() as primary, Node() as replica:
        replica.tell("REPLICAOF", "127.0.0.1", primary.port)
        wait_until(lambda: primary.replicas_online() == 1, 30)
        yield primary


@pytest.fixture
def admin(server: Node) -> Iterator["redis.Redis"]:
    with plain_client(server.url) as client:
        client.flushall()
        yield client


def test_the_documented_permissions_are_sufficient_and_all_needed(server: Node, admin: "redis.Redis") -> None:
    make_user(admin, documented_rule())
    admin.config_resetstat()
    do_everything(as_user(server.url))
    used = {name.removeprefix("cmdstat_") for name in admin.info("commandstats")} - OF_THE_ADMINISTRATOR
    assert {f"+{command}" for command in used - {"auth", "hello", "replconf", "psync"}} == {
        word for word in documented_rule() if word.startswith("+")
    }


ADDITIONS = {
    "With `min_replicas`": ("", {"min_replicas": 1}),
    "With a database other than 0": ("/1", {}),
    "With `client_name` in the URL": ("/0?client_name=importer", {}),
}


@pytest.mark.parametrize("condition", ADDITIONS)
def test_additional_permissions_are_documented(server: Node, admin: "redis.Redis", condition: str) -> None:
    suffix, options = ADDITIONS[condition]
    url = as_user(server.url).removesuffix("/0") + suffix
    make_user(admin, documented_rule())
    with pytest.raises(StoreUnavailable):
        create_one(url, **options)
    make_user(admin, documented_rule() + documented_addition(condition))
    create_one(url, **options)


def create_one(url: str, **options: int) -> None:
    store = batchstatus.connect(url, **UNHURRIED, **options)
    try:
        with store.run(ORG, store.create(ORG, "transaction_batch").job_id) as run:
            run.succeeded()
    finally:
        store.close()


@pytest.mark.parametrize("expires_in_s", [None, 60])
def test_api_keys_are_created_and_revoked_with_min_replicas(
    server: Node, admin: "redis.Redis", expires_in_s: float | None
) -> None:
    store = batchstatus.connect(server.url, min_replicas=1, **UNHURRIED)
    key, record = store.api_keys.create(ORG, ["transactions:create"], expires_in_s=expires_in_s)
    assert store.api_keys.verify(key) == record
    store.api_keys.revoke(record.id)
    assert store.api_keys.verify(key) is None
    store.close()


def test_a_worker_needs_no_access_to_api_keys(server: Node, admin: "redis.Redis") -> None:
    make_user(admin, with_keys(documented_rule(), documented_keys("neither read nor make")))
    create_one(as_user(server.url))
    store = batchstatus.connect(as_user(server.url), **UNHURRIED)
    for call in (lambda: store.api_keys.create(ORG, ["a:b"]), lambda: store.api_keys.verify(f"bsk_{'x' * 43}")):
        with pytest.raises(StoreRefused):
            call()
    store.close()


def test_a_service_needs_only_read_access_to_api_keys(server: Node, admin: "redis.Redis") -> None:
    store = batchstatus.connect(server.url, **UNHURRIED)
    key, _ = store.api_keys.create(ORG, ["transactions:create"])
    store.close()
    make_user(admin, with_keys(documented_rule(), documented_keys("enough for it")))
    limited = batchstatus.connect(as_user(server.url), **UNHURRIED)
    job_id = limited.create(ORG, "transaction_batch").job_id
    assert limited.api_keys.verify(key)
    assert limited.get(ORG, job_id).status == "queued"
    with pytest.raises(StoreRefused):
        limited.api_keys.create(ORG, ["a:b"])
    limited.close()
