"""The secrets of webhooks: rotated, from an older key, from another's, and never in the store."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import redis
from standardwebhooks.webhooks import WebhookVerificationError

from batchstatus import JobStore
from batchstatus.webhooks import dispatcher as dispatching
from batchstatus.webhooks.notices import Notices
from batchstatus.webhooks.secrets import Secrets
from tests.support.notified import KEY, KNOWN, ORG, Notified
from tests.support.waiting import wait_until

ANOTHERS = Secrets(["another key, which the operator took instead"])


@pytest.fixture
def notified(store: JobStore) -> Notified:
    return Notified(store)


def test_while_a_secret_is_rotated_notices_bear_both_signatures(notified: Notified) -> None:
    first, endpoint = notified.endpoint()
    second, _ = notified.endpoints.rotate(endpoint.id, KNOWN, overlap_s=60)
    notified.completed()
    notified.send()
    (request,) = notified.receiver.requests
    assert len(request.headers["Webhook-Signature"].split()) == 2
    assert request.verified(first) == request.verified(second)
    third, _ = notified.endpoints.rotate(endpoint.id, KNOWN, overlap_s=0)
    notified.completed()
    notified.send_until(2)
    request = notified.receiver.requests[-1]
    request.verified(third)
    for old in (first, second):
        with pytest.raises(WebhookVerificationError):
            request.verified(old)


def test_an_older_key_signs_for_the_endpoints_that_were_added_with_it(notified: Notified) -> None:
    secret, _ = notified.endpoint()
    notified.completed()
    notified.send(notified.another(Secrets(["a newer key that the operator has now", KEY])))
    notified.receiver.requests[0].verified(secret)


def test_without_the_right_key_nothing_is_sent_and_no_try_is_lost(
    notified: Notified, caplog: pytest.LogCaptureFixture
) -> None:
    notified.endpoint()
    notified.completed()
    notified.send(notified.another(ANOTHERS))
    assert notified.receiver.requests == []
    assert "its secret is from another BATCHSTATUS_WEBHOOKS_KEY" in caplog.text
    (delivery,) = Notices(notified.store.connection).deliveries(ORG)
    assert (delivery.state, delivery.tries) == ("due", 0)


def test_a_dispatcher_with_another_key_leaves_the_turn_to_one_that_has_the_right_one(
    notified: Notified, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dispatching, "FULL_MS", 100)
    notified.endpoint()
    with running(notified.another(ANOTHERS)) as other:
        wait_until(lambda: has_turn(notified))
        notified.completed()
        notified.reaper.reap()
        wait_until(lambda: not has_turn(notified))
        with running(notified.dispatcher):
            wait_until(lambda: notified.receiver.requests)
        assert other.under_way() == []


def has_turn(notified: Notified) -> bool:
    """Returns True while any dispatcher has the turn."""
    connection = notified.store.connection
    return connection.command("EXISTS", connection.keys.notices_turn()) == 1


@contextmanager
def running(dispatcher: dispatching.Dispatcher) -> Iterator[dispatching.Dispatcher]:
    dispatcher.start()
    try:
        yield dispatcher
    finally:
        dispatcher.stop()


def test_no_secret_is_in_the_store(notified: Notified, client: "redis.Redis") -> None:
    secret, endpoint = notified.endpoint()
    rotated, _ = notified.endpoints.rotate(endpoint.id, KNOWN)
    notified.completed()
    notified.send()
    stored = b"".join(_content(client, key) for key in client.scan_iter())
    assert endpoint.url.encode() in stored
    for each in (secret, rotated):
        assert each.removeprefix("whsec_").encode() not in stored
    assert KEY.encode() not in stored


def _content(client: "redis.Redis", key: bytes) -> bytes:
    found: Any = client.hgetall(key) if client.type(key) == b"hash" else {}
    return b"".join([*found.keys(), *found.values()])
