"""Tickets: shown once, stored as a hash only, ended on time, with their key or when revoked."""

import base64
import time
from datetime import timedelta
from hashlib import sha256

import pytest

from batchstatus import ApiKeyNotFound, InvalidValue
from batchstatus.tickets import Tickets
from tests.support.waiting import wait_until

ORG = "org_acme"
DAY_S = 86_400


@pytest.fixture
def tickets(store) -> Tickets:
    return store.tickets


def everything(client) -> bytes:
    """Returns every key's name and value, of hashes and sorted sets."""
    names = list(client.scan_iter())
    read = {b"hash": client.hgetall, b"zset": lambda name: client.zrange(name, 0, -1)}
    return b"\n".join(name + b" " + repr(read[client.type(name)](name)).encode() for name in names)


def test_a_ticket_comes_with_its_record_and_is_verified(tickets):
    before = time.time()
    ticket, record = tickets.create(ORG, job_id="job_1", expires_in_s=60)
    assert len(base64.urlsafe_b64decode(ticket.removeprefix("bst_") + "=")) == 32
    assert record.id == f"{ORG}.{sha256(ticket.encode()).hexdigest()[:12]}"
    assert (record.org, record.job_id) == (ORG, "job_1")
    assert before - 1 < record.created_at.timestamp() < time.time() + 1
    assert record.expires_at - record.created_at == timedelta(seconds=60)
    assert tickets.verify(ticket) == record


def test_a_ticket_is_for_all_jobs_and_15_minutes_unless_told(tickets):
    ticket, record = tickets.create(ORG)
    assert record.job_id is None
    assert record.expires_at - record.created_at == timedelta(minutes=15)
    assert tickets.verify(ticket) == record


@pytest.mark.parametrize("bad", [0, 0.0001, -1, DAY_S + 0.1, float("nan"), "900", True, None], ids=repr)
def test_an_invalid_lifetime_is_refused_and_nothing_is_written(tickets, client, bad):
    with pytest.raises(InvalidValue, match=r"^expires_in_s "):
        tickets.create(ORG, expires_in_s=bad)
    assert client.dbsize() == 0


@pytest.mark.parametrize(("org", "job_id"), [("a:b", None), (ORG, "a:b"), (ORG, "")])
def test_a_ticket_needs_ids_that_can_be(tickets, org, job_id):
    with pytest.raises(InvalidValue):
        tickets.create(org, job_id=job_id)


def test_the_store_holds_only_the_hash_and_only_for_a_time(store, client):
    key, _ = store.api_keys.create(ORG, ["a:b"], expires_in_s=60)
    ticket, _ = store.tickets.create(ORG, job_id="job_1", api_key=key)
    held = everything(client)
    assert sha256(ticket.encode()).hexdigest().encode() in held
    for secret in (ticket[4:], key[4:]):
        assert not [secret for start in range(36) if secret[start : start + 8].encode() in held]
    names = [*client.scan_iter("batchstatus:ticket*")]
    assert len(names) == 2
    assert all(0 < client.pttl(name) <= DAY_S * 1000 for name in names)


def test_an_expired_ticket_is_refused_and_leaves_nothing_once_another_is_minted(tickets, client):
    ticket, record = tickets.create(ORG, expires_in_s=0.2)
    assert tickets.verify(ticket) == record
    wait_until(lambda: tickets.verify(ticket) is None, 10, "the ticket has expired")
    assert tickets.list(ORG) == []
    other, kept = tickets.create(ORG)
    assert client.zcard(f"batchstatus:tickets:{ORG}") == 1
    assert tickets.verify(other) == kept


@pytest.mark.parametrize(
    "bad", ["", "bst_", "bst_" + "A" * 42, "bsk_" + "A" * 43, "bst_" + "A" * 43, "bst_" + "é" * 43]
)
def test_a_malformed_or_unknown_ticket_is_refused(tickets, bad):
    assert tickets.verify(bad) is None


def test_a_ticket_is_no_api_key_and_an_api_key_no_ticket(store):
    key, _ = store.api_keys.create(ORG, ["a:b"])
    ticket, _ = store.tickets.create(ORG)
    assert store.api_keys.verify(ticket) is store.tickets.verify(key) is None


def test_a_ticket_ends_with_the_key_that_minted_it(store):
    key, record = store.api_keys.create(ORG, ["a:b"], expires_in_s=60)
    ticket, of_key = store.tickets.create(ORG, expires_in_s=900, api_key=key)
    other, kept = store.tickets.create(ORG)
    assert of_key.expires_at == record.expires_at
    store.api_keys.revoke(record.id)
    assert store.tickets.verify(ticket) is None
    assert store.tickets.verify(other) == kept
    assert store.tickets.list(ORG) == [kept]
    with pytest.raises(ApiKeyNotFound):
        store.tickets.create(ORG, api_key=key)


def test_tickets_are_listed_oldest_first_and_for_one_organization(tickets):
    made = []
    for job_id in (None, "job_1", None):
        made.append(tickets.create(ORG, job_id=job_id, expires_in_s=900 - len(made))[1])
        wait_until(lambda: time.time() > made[-1].created_at.timestamp() + 0.002)
    tickets.create("org_other")
    assert tickets.list(ORG) == made


def test_revoking_a_ticket_ends_that_ticket_only(tickets, client):
    ticket, record = tickets.create(ORG)
    other, kept = tickets.create(ORG)
    tickets.revoke(record.id)
    assert tickets.verify(ticket) is None
    assert tickets.verify(other) == kept
    assert sha256(ticket.encode()).hexdigest().encode() not in everything(client)
    with pytest.raises(ApiKeyNotFound, match="there is no ticket"):
        tickets.revoke(record.id)


@pytest.mark.parametrize(
    "unknown", ["", ORG, f"{ORG}.", f"{ORG}.000000000000", f"{ORG}.[0-9]", "a:b.000000000000"]
)
def test_an_unknown_ticket_cannot_be_revoked(tickets, unknown):
    _, kept = tickets.create(ORG)
    with pytest.raises(ApiKeyNotFound, match="there is no ticket"):
        tickets.revoke(unknown)
    assert tickets.list(ORG) == [kept]
