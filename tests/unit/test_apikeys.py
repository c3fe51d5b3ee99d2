"""API keys: shown once, stored as a hash only, refused once expired or revoked."""

import base64
import hashlib
import time
from datetime import timedelta
from typing import Any

import pytest

from batchstatus import ApiKeyNotFound, InvalidValue
from batchstatus.apikeys import ApiKeys
from batchstatus.transport.connection import Connection
from tests.support.waiting import wait_until

ORG = "org_acme"
READ = ["transactions:create"]
UNKNOWN = "bsk_" + "A" * 43


@pytest.fixture
def keys(store) -> ApiKeys:
    return store.api_keys


def everything(client) -> bytes:
    """Returns everything in the store: every key's name and value."""
    names = list(client.scan_iter())
    assert {client.type(name) for name in names} <= {b"hash"}
    return b"\n".join(name + b" " + repr(client.hgetall(name)).encode() for name in names)


# Minting


def test_each_new_key_has_256_random_bits(keys):
    made = {keys.create(ORG, READ)[0] for _ in range(50)}
    assert len(made) == 50
    for key in made:
        assert len(base64.urlsafe_b64decode(key.removeprefix("bsk_") + "=")) == 32


def test_a_key_comes_with_its_record(keys):
    before = time.time()
    key, record = keys.create(ORG, ["a:b", "c:d", "a:b"], name="importer", expires_in_s=90.5)
    assert record.id == f"{ORG}.{hashlib.sha256(key.encode()).hexdigest()[:12]}"
    assert (record.org, record.permissions, record.name) == (ORG, {"a:b", "c:d"}, "importer")
    assert before - 1 < record.created_at.timestamp() < time.time() + 1
    assert record.expires_at - record.created_at == timedelta(seconds=90.5)


def test_verifying_a_key_returns_its_record(keys):
    for options in ({}, {"name": "año", "expires_in_s": 60}):
        key, record = keys.create(ORG, READ, **options)
        assert keys.verify(key) == record


def test_a_single_permission_may_be_given_as_text(keys):
    assert keys.create(ORG, "events:create")[1].permissions == {"events:create"}


@pytest.mark.parametrize("good", ["a:b", "entities:bulk_import", "A-1.x:y_Z", f"{'r' * 64}:{'a' * 64}"])
def test_a_permission_is_a_resource_and_an_action(keys, good):
    assert keys.create(ORG, [good])[1].permissions == {good}


@pytest.mark.parametrize(
    "bad", ["", "a", "a:", ":b", "a:b:c", "a b:c", "a:b\n", "a:*", "é:b", f"{'r' * 65}:a", None, 5], ids=repr
)
def test_a_malformed_permission_is_refused(keys, bad):
    with pytest.raises(InvalidValue, match=r"^permission .* is not resource:action$"):
        keys.create(ORG, ["a:b", bad])


def test_a_key_without_permissions_is_refused(keys):
    with pytest.raises(InvalidValue, match="at least one permission"):
        keys.create(ORG, [])


@pytest.mark.parametrize("bad", [0, 0.0001, -1, float("nan"), float("inf"), "90d", True, 7.8e12], ids=repr)
def test_an_invalid_lifetime_is_refused_and_nothing_is_written(keys, client, bad):
    with pytest.raises(InvalidValue, match=r"^expires_in_s "):
        keys.create(ORG, READ, expires_in_s=bad)
    assert client.dbsize() == 0


@pytest.mark.parametrize("bad", ["", "a:b", "a{b", "é", None], ids=repr)
def test_a_key_needs_a_valid_organization_id(keys, bad):
    with pytest.raises(InvalidValue, match=r"^org "):
        keys.create(bad, READ)


def test_a_name_is_cut_and_made_encodable(keys):
    key, record = keys.create(ORG, READ, name="\ud800" + "x" * 2_000)
    assert record.name == "?" + "x" * 999
    assert keys.verify(key) == record


# Storage


def test_the_store_holds_only_the_hash_of_a_key(keys, client):
    key, record = keys.create(ORG, READ, name="importer", expires_in_s=60)
    held = everything(client)
    assert hashlib.sha256(key.encode()).hexdigest().encode() in held
    secret = key.removeprefix("bsk_")
    for piece in [secret[start : start + 8] for start in range(len(secret) - 7)]:
        assert piece.encode() not in held
    assert key not in repr(record)


def test_an_expiring_key_expires_in_the_store_to_the_millisecond(keys, client):
    _, record = keys.create(ORG, READ, expires_in_s=60)
    (name,) = client.scan_iter("*:apikey:*")
    assert client.pexpiretime(name) == round(record.expires_at.timestamp() * 1000)


def test_a_key_without_expiry_has_no_ttl(keys, client):
    keys.create(ORG, READ)
    (name,) = client.scan_iter("*:apikey:*")
    assert client.ttl(name) == -1


# Verifying


@pytest.mark.parametrize(
    "bad",
    [
        *("", "bsk_", UNKNOWN[:-1], UNKNOWN + "A", UNKNOWN + "\n", UNKNOWN[4:], UNKNOWN.upper()),
        *("bsk_" + "é" * 43, "x" * 9_999),
    ],
    ids=lambda bad: f"{bad!r:.20}",
)
def test_a_malformed_key_is_refused_without_asking_the_store(bad):
    nobody = Connection(lambda: pytest.fail("the store was asked"))
    assert ApiKeys(nobody).verify(bad) is None


def test_an_unknown_key_is_refused(keys):
    keys.create(ORG, READ)
    assert keys.verify(UNKNOWN) is None


def test_verifying_is_one_command(keys, monkeypatch):
    key, _ = keys.create(ORG, READ)
    asked: list[Any] = []
    ask = keys._connection.command
    monkeypatch.setattr(keys._connection, "command", lambda *words: asked.append(words[0]) or ask(*words))
    assert keys.verify(key)
    assert asked == ["HGETALL"]


def test_an_expired_key_is_refused_and_no_longer_listed(keys):
    key, record = keys.create(ORG, READ, expires_in_s=0.3)
    other, _ = keys.create(ORG, READ)
    assert keys.verify(key) == record
    wait_until(lambda: keys.verify(key) is None, 10, "the key has expired")
    assert record.id not in {each.id for each in keys.list(ORG)}
    assert keys.verify(other)


# Listing


def test_keys_are_listed_oldest_first_and_for_one_organization(keys):
    made = []
    for name in "abc":
        made.append(keys.create(ORG, READ, name=name)[1])
        wait_until(lambda: time.time() > made[-1].created_at.timestamp() + 0.002)
    keys.create("org_other", READ)
    assert keys.list(ORG) == made


def test_an_organization_without_keys_has_an_empty_list(keys):
    assert keys.list(ORG) == []


# Revoking


def test_revoking_a_key_deletes_that_key_only(keys, client):
    key, record = keys.create(ORG, READ)
    other, kept = keys.create(ORG, READ)
    keys.revoke(record.id)
    assert keys.verify(key) is None
    assert keys.verify(other) == kept
    assert keys.list(ORG) == [kept]
    assert record.id.encode() not in everything(client)
    assert hashlib.sha256(key.encode()).hexdigest().encode() not in everything(client)


@pytest.mark.parametrize(
    "unknown", ["", ".", ORG, f"{ORG}.", f"{ORG}.000000000000", "other.000000000000", "a:b.c", "é.c"]
)
def test_an_unknown_key_cannot_be_revoked(keys, unknown):
    keys.create(ORG, READ)
    with pytest.raises(ApiKeyNotFound, match="there is no API key"):
        keys.revoke(unknown)
    assert len(keys.list(ORG)) == 1


def test_a_revoked_key_cannot_be_revoked_again(keys):
    _, record = keys.create(ORG, READ)
    keys.revoke(record.id)
    with pytest.raises(ApiKeyNotFound):
        keys.revoke(record.id)


def test_revoking_an_expired_key_says_so_and_removes_its_entry(keys, client):
    key, record = keys.create(ORG, READ, expires_in_s=0.05)
    wait_until(lambda: keys.verify(key) is None, 10, "the key has expired")
    with pytest.raises(ApiKeyNotFound, match="worthless already: it has expired"):
        keys.revoke(record.id)
    assert everything(client) == b""


def test_an_interrupted_revocation_can_be_completed(keys, client):
    key, record = keys.create(ORG, READ)
    client.delete(f"batchstatus:apikey:{hashlib.sha256(key.encode()).hexdigest()}")
    with pytest.raises(ApiKeyNotFound):
        keys.revoke(record.id)
    assert client.dbsize() == 0


def test_a_key_that_expires_at_once_leaves_only_its_entry_in_the_list(store, client):
    for _ in range(20):
        store.api_keys.create(ORG, ["transactions:create"], expires_in_s=0.001)
    wait_until(lambda: not client.keys("batchstatus:apikey:*"))
    assert store.api_keys.list(ORG) == []
