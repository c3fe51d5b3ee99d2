"""Webhooks as operators run them: `serve` and `reap` with the key, real requests to a receiver on the loopback."""

from collections.abc import Iterator

import pytest
from standardwebhooks import Webhook

from batchstatus import JobStore
from batchstatus.webhooks.notices import Notices
from tests.support.commands import start
from tests.support.notified import KEY, KIND, ORG, Notified
from tests.support.receivers import Receiver, answers, receiver
from tests.support.service import LiveService
from tests.support.waiting import wait_until

ENVIRONMENT = {"BATCHSTATUS_WEBHOOKS_KEY": KEY, "BATCHSTATUS_WEBHOOKS_ALLOW": "http,private"}
REAPERS = {**ENVIRONMENT, "BATCHSTATUS_STORE_TIMEOUT_MS": "30000"}
"""The environment of a reaper, whose store may take its time as that of a live service may."""


@pytest.fixture
def told() -> Iterator[Receiver]:
    """A receiver that takes everything."""
    with receiver(answers(204)) as found:
        yield found


@pytest.fixture
def notified(real_store: JobStore) -> Notified:
    return Notified(real_store)


def ids(told: Receiver) -> list[str]:
    return [each.header("webhook-id") for each in told.requests]


def test_a_service_tells_of_the_end_of_a_job(notified: Notified, redis_url: str, told: Receiver) -> None:
    secret, _ = notified.endpoint(told.url)
    with LiveService(redis_url, **ENVIRONMENT) as service:
        job = notified.completed()
        wait_until(lambda: told.requests)
        assert wait_until(lambda: service.metric("batchstatus_webhook_tries_total")) == 1
        assert f"job {job.job_id} of {ORG}" in service.log()
        assert KEY not in service.log()
    (request,) = told.requests
    notice = Webhook(secret).verify(request.body, dict(request.headers))
    assert (notice["type"], notice["data"]["jobId"]) == ("job.completed", job.job_id)


def test_a_service_without_the_key_loses_no_notice(notified: Notified, redis_url: str, told: Receiver) -> None:
    notified.endpoint(told.url)
    with LiveService(redis_url):
        job_id = notified.completed().job_id
        notices = Notices(notified.store.connection)
        wait_until(lambda: [each.state for each in notices.deliveries(ORG)] == ["due"])
    assert told.requests == []
    with LiveService(redis_url, **ENVIRONMENT):
        wait_until(lambda: told.requests)
        wait_until(lambda: [each.state for each in notices.deliveries(ORG, job_id=job_id)] == ["delivered"])


def test_replicas_of_many_processes_tell_of_each_end_once(
    notified: Notified, redis_url: str, told: Receiver
) -> None:
    notified.endpoint(told.url)
    with LiveService(redis_url, **ENVIRONMENT), LiveService(redis_url, **ENVIRONMENT):
        for _ in range(30):
            notified.completed()
        notices = Notices(notified.store.connection)
        wait_until(lambda: [each.state for each in notices.deliveries(ORG, limit=40)] == ["delivered"] * 30)
    assert len(told.requests) == len({*ids(told)}) == 30


def test_a_reaper_of_its_own_tells_too_and_stops_at_once(
    notified: Notified, redis_url: str, told: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"BATCHSTATUS_REDIS_URL": redis_url, **REAPERS}.items():
        monkeypatch.setenv(name, value)
    notified.endpoint(told.url)
    with start("reap") as reaper:
        try:
            notified.store.control(ORG, notified.store.create(ORG, KIND).job_id, "cancel")
            wait_until(lambda: told.requests)
        finally:
            reaper.terminate()
        assert reaper.wait(30) == 0
    assert b'"type":"job.cancelled"' in told.requests[0].body


def test_reap_once_sends_what_is_due_before_it_ends(
    notified: Notified, redis_url: str, told: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in {"BATCHSTATUS_REDIS_URL": redis_url, **REAPERS}.items():
        monkeypatch.setenv(name, value)
    notified.endpoint(told.url)
    for _ in range(3):
        notified.completed()
    once = start("reap", "--once", "--grace-s", "0")
    out, err = once.communicate(timeout=60)
    assert (once.returncode, out, err) == (0, "settled 0 jobs\n", "")
    assert len({*ids(told)}) == len(told.requests) == 3


@pytest.mark.parametrize(
    ("key", "said"),
    [
        ("too short a key", "has at least 32 characters"),
        (f"{KEY}\n{KEY}", "is one line of printable characters"),
        (f"\udcff{KEY}", "is one line of printable characters"),
    ],
    ids=["short", "two lines", "no UTF-8"],
)
def test_a_key_that_cannot_be_one_stops_the_start_and_is_not_shown(
    redis_url: str, monkeypatch: pytest.MonkeyPatch, key: str, said: str
) -> None:
    monkeypatch.setenv("BATCHSTATUS_REDIS_URL", redis_url)
    monkeypatch.setenv("BATCHSTATUS_WEBHOOKS_KEY", key)
    service = start("serve")
    _, err = service.communicate(timeout=60)
    assert service.returncode == 2
    assert f"BATCHSTATUS_WEBHOOKS_KEY: a key {said}" in err
    assert key[:8] not in err
