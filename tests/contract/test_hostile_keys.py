"""API keys of hostile callers, sent to the live service: without a valid key, a caller learns nothing."""

import time
from collections.abc import Iterator

import pytest

from batchstatus import JobStore, Kind
from batchstatus.embedded import EmbeddedServer
from batchstatus.model.ids import new_job_id
from batchstatus.settings import StoreSettings
from tests.conftest import ORG
from tests.support.hostile import (
    BAD_REQUEST,
    EVENTS,
    FORBIDDEN,
    INTERNAL_ERROR,
    JOB_NOT_FOUND,
    JOB_ROUTES,
    STORE_UNAVAILABLE,
    UNAUTHENTICATED,
    ask,
)
from tests.support.rawhttp import Answer, exchange, request
from tests.support.sdk import UNHURRIED
from tests.support.service import LiveService
from tests.support.waiting import wait_until

READ = ["transactions:create"]
LISTS = ("/batch-import/jobs", "/batch-import/jobs?ids={}", EVENTS)
ROUTES = [*JOB_ROUTES, *(("GET", path) for path in LISTS)]
"""Every route that needs a key."""

SOONEST_FOR_ALL_S = 5.0
"""How long a revoked or expired key may still work in some process."""

ENOUGH = 24
"""Number of connections, each to a process of the kernel's choice: they miss one of two processes once in 2^23."""


@pytest.fixture
def key(real_store: JobStore) -> str:
    made, _ = real_store.api_keys.create(ORG, READ)
    return made


@pytest.fixture
def path(job_id: str) -> str:
    """The path of a poll of ORG's job."""
    return f"/batch-import/jobs/{job_id}"


def poll(live: LiveService, path: str, *lines: str | bytes, key: str | None = None) -> Answer:
    return exchange(live.port, request("GET", path, *lines, key=key))


def statuses(live: LiveService, path: str, key: str) -> set[int]:
    """Returns the statuses that the processes answer."""
    return {poll(live, path, key=key).status for _ in range(ENOUGH)}


def refusals(live: LiveService, job_id: str, *lines: str | bytes, key: str | None = None) -> set[tuple[int, str]]:
    """Returns the refusals of all routes."""
    return {ask(live, route.format(job_id), *lines, method=method, key=key).refusal for method, route in ROUTES}


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER", "Bearer  "])
def test_a_valid_key_is_accepted_in_any_spelling_of_the_scheme(
    live: LiveService, path: str, key: str, scheme: str
) -> None:
    assert poll(live, path, f"Authorization: {scheme} {key}").status == 200


@pytest.mark.parametrize(
    "lines",
    [
        pytest.param([], id="none"),
        pytest.param(["Authorization:"], id="empty"),
        pytest.param(["Authorization: Bearer"], id="no key"),
        pytest.param(["Authorization: {key}"], id="no scheme"),
        pytest.param(["Authorization: Basic {key}"], id="another scheme"),
        pytest.param(["Authorization: Bearer{key}"], id="no space"),
        pytest.param(["Authorization: Bearer\t{key}"], id="a tab"),
        pytest.param(["Authorization: Bearer {key} {key}"], id="two keys"),
        pytest.param(["Authorization: Bearer {key},"], id="a comma"),
        pytest.param(["Authorization: Bearer {key}x"], id="a letter too many"),
        pytest.param(["Authorization: Bearer {key}="], id="padding"),
        pytest.param(['Authorization: Bearer "{key}"'], id="quotes"),
        pytest.param(["Authorization: Bearer bsk_unknown"], id="too short"),
        pytest.param(["Authorization: Bearer bsk_" + "x" * 43], id="unknown"),
        pytest.param(["Authorization: Bearer " + "x" * 8_000], id="8 kB"),
        pytest.param(["Authorization: Bearer bsk_" + "é" * 43], id="not ASCII"),
        pytest.param(["Authorization: Bearer {key}\xa0"], id="a space that is not ASCII"),
        pytest.param(["Authorization: Bearer {key}", "Authorization: Bearer {key}"], id="twice"),
        pytest.param(["Authorization: Bearer {key}", "Authorization: Basic eDp5"], id="and another after"),
        pytest.param(["Authorization: Basic eDp5", "Authorization: Bearer {key}"], id="and another before"),
        pytest.param(["Proxy-Authorization: Bearer {key}"], id="another header"),
        pytest.param(["X-Api-Key: {key}"], id="an invented header"),
        pytest.param(["Cookie: Authorization=Bearer {key}"], id="a cookie"),
    ],
)
def test_anything_but_one_valid_authorization_header_is_401(
    live: LiveService, job_id: str, key: str, lines: list[str]
) -> None:
    for method, route in ROUTES:
        given = (line.format(key=key).encode("latin-1") for line in lines)
        answer = ask(live, route.format(job_id), *given, method=method)
        assert answer.refusal == UNAUTHENTICATED, route
        assert answer.headers["www-authenticate"] == "Bearer"
        assert key.encode() not in answer.body


@pytest.mark.parametrize("name", ["api_key", "key", "access_token", "authorization", "Authorization"])
def test_a_key_in_the_query_is_ignored_and_not_logged(live: LiveService, job_id: str, key: str, name: str) -> None:
    for method, route in ROUTES:
        target = f"{route.format(job_id)}{'&' if '?' in route else '?'}{name}={key}"
        assert ask(live, target, method=method).refusal == UNAUTHENTICATED, target
    assert key not in live.log()


@pytest.mark.parametrize("letter", ["x", "\xe9"])
def test_an_authorization_header_of_9_kb_is_431(live: LiveService, job_id: str, letter: str) -> None:
    header = b"Authorization: Bearer " + letter.encode("latin-1") * 9_000
    assert refusals(live, job_id, header) == {(431, "BAD_REQUEST")}


def test_an_authorization_header_with_a_nul_is_400(live: LiveService, path: str, key: str) -> None:
    assert poll(live, path, f"Authorization: Bearer {key}\0").refusal == BAD_REQUEST


def test_a_key_without_any_read_permission_is_403_whatever_the_request(
    live: LiveService, real_store: JobStore, path: str
) -> None:
    powerless, _ = real_store.api_keys.create(ORG, ["transactions:read", "entities:create"])
    for target in (path, f"{path}x", f"{path}%00", f"{path}?include=x", f"{path}?include=failures"):
        assert poll(live, target, key=powerless).refusal == FORBIDDEN


def test_another_organizations_job_is_answered_like_an_unknown_one(
    live: LiveService, real_store: JobStore
) -> None:
    theirs, _ = real_store.api_keys.create("org_other", READ)
    for kind in Kind:
        job_id = real_store.create(ORG, kind).job_id
        for method, route in JOB_ROUTES:
            foreign = ask(live, route.format(job_id), method=method, key=theirs)
            unknown = ask(live, route.format(new_job_id()), method=method, key=theirs)
            assert foreign.refusal == JOB_NOT_FOUND, route
            assert foreign.unnamed == unknown.unnamed


def test_a_key_with_a_damaged_record_is_500(
    live: LiveService, real_store: JobStore, path: str, key: str, redis_client
) -> None:
    (record,) = redis_client.keys("*apikey:*")
    redis_client.hset(record, "permissions", "transactions:create")
    assert poll(live, path, key=key).refusal == INTERNAL_ERROR


@pytest.mark.slow
def test_every_process_refuses_a_key_5_s_after_its_expiry(
    live: LiveService, real_store: JobStore, job_id: str, path: str
) -> None:
    for lives_s in (1.5, 6.0, 24.0):  # on a busy machine it may have expired before all processes have seen it
        passing, record = real_store.api_keys.create(ORG, READ, expires_in_s=lives_s)
        assert record.expires_at is not None
        expires_at = time.monotonic() + (record.expires_at.timestamp() - time.time())
        seen = statuses(live, path, passing)
        if time.monotonic() < expires_at:
            break
    assert seen == {200}
    wait_until(lambda: time.monotonic() > expires_at + SOONEST_FOR_ALL_S)
    assert statuses(live, path, passing) == {401}
    assert refusals(live, job_id, key=passing) == {UNAUTHENTICATED}


@pytest.mark.slow
def test_every_process_refuses_a_busy_key_5_s_after_its_revocation(
    live: LiveService, real_store: JobStore, job_id: str, path: str
) -> None:
    busy, record = real_store.api_keys.create(ORG, READ)
    assert statuses(live, path, busy) == {200}
    real_store.api_keys.revoke(record.id)
    revoked_at = time.monotonic()
    seen = set()
    while time.monotonic() < revoked_at + SOONEST_FOR_ALL_S:
        seen.add(poll(live, path, key=busy).status)
    assert seen <= {200, 401}
    assert statuses(live, path, busy) == {401}
    assert refusals(live, job_id, key=busy) == {UNAUTHENTICATED}


@pytest.fixture
def own_store() -> Iterator[EmbeddedServer]:
    """A Valkey that a test may stop."""
    with EmbeddedServer() as server:
        yield server


@pytest.mark.slow
def test_a_revoked_key_is_not_honoured_while_the_store_is_away(own_store: EmbeddedServer) -> None:
    # Given a key that every process has cached, and that is revoked just before the store goes away
    store = JobStore.open(own_store.url, StoreSettings(**UNHURRIED))
    key, record = store.api_keys.create(ORG, READ)
    path = f"/batch-import/jobs/{store.create(ORG, 'transaction_batch').job_id}"
    with LiveService(own_store.url, store_timeout_s=5.0) as live:
        assert statuses(live, path, key) == {200}
        store.api_keys.revoke(record.id)
        own_store.pause()
        gone_at = time.monotonic()
        # When the key is used all the time, and for longer than it may be cached
        seen = set()
        while time.monotonic() < gone_at + SOONEST_FOR_ALL_S + 1:
            answer = poll(live, path, key=key)
            seen.add((answer.refusal, answer.headers["retry-after"]))
        # Then the service cannot verify the key, and does not accept it
        assert seen == {(STORE_UNAVAILABLE, "1")}
        # Nor is the key accepted when the store is back and every process has noticed
        own_store.resume()
        seen_since = set()
        wait_until(lambda: seen_since.update(now := statuses(live, path, key)) or 503 not in now)
        assert seen_since <= {401, 503}
        assert statuses(live, path, key) == {401}
    store.close()
