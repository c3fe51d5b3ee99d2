"""Webhooks: every end of a job is told to whom it concerns, on fakeredis and a real Valkey."""

import json
import threading
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest
import redis
from standardwebhooks.webhooks import WebhookVerificationError

from batchstatus import InvalidValue, Job, JobNotFound, JobStore, Status
from batchstatus.jobs.transitions import Transitions
from batchstatus.model.errors import StoreUnavailable
from batchstatus.model.messages import Ending
from batchstatus.settings import StoreSettings
from batchstatus.webhooks import dispatcher as dispatching
from batchstatus.webhooks.endpoints import MOST, TYPES
from batchstatus.webhooks.notices import KEPT_MS, Notices
from batchstatus.webhooks.sending import MAX_RETRY_AFTER_S, Answer
from tests.support.imports import aside
from tests.support.notified import DELIVERED, KIND, KNOWN, ORG, Notified
from tests.support.sdk import UNHURRIED
from tests.support.waiting import wait_until

SETTINGS = StoreSettings(lease_s=0.2, grace_s=0.05, retention_s=60, **UNHURRIED)
ERROR = Answer(500, "HTTP 500")


@pytest.fixture
def store(client: "redis.Redis") -> JobStore:
    return JobStore(client, SETTINGS)


@pytest.fixture
def notified(store: JobStore) -> Notified:
    return Notified(store)


def queued(store: JobStore, **options: Any) -> str:
    return store.create(ORG, KIND, **options).job_id


# How a job ends


def completes(store: JobStore) -> str:
    job_id = queued(store)
    with store.run(ORG, job_id) as run:
        run.succeeded(3)
    return job_id


def fails(store: JobStore) -> str:
    job_id = queued(store)
    with suppress(ValueError), store.run(ORG, job_id):
        raise ValueError("boom")
    return job_id


def is_cancelled_while_it_runs(store: JobStore) -> str:
    job_id = queued(store)
    with store.run(ORG, job_id) as run:
        store.control(ORG, job_id, "cancel")
        wait_until(lambda: run.wanted() == "cancel")
        run.check()
    return job_id


def is_cancelled_while_it_is_queued(store: JobStore) -> str:
    job_id = queued(store)
    store.control(ORG, job_id, "cancel")
    return job_id


def is_queued_for_too_long(store: JobStore) -> str:
    job_id = queued(store)
    assert Transitions(store.connection, ORG, job_id).expire().status == "cancelled"
    return job_id


def loses_its_worker(store: JobStore) -> str:
    job_id = queued(store)
    store.steps(ORG, job_id).claim("token", 1)
    return job_id


def loses_its_worker_and_is_read(store: JobStore) -> str:
    job_id = loses_its_worker(store)
    wait_until(lambda: store.settle(ORG, job_id).terminal)
    return job_id


def is_cancelled_while_it_awaits_a_worker(store: JobStore) -> str:
    job_id = queued(store, takeover_s=60)
    store.steps(ORG, job_id).claim("token", 1)
    wait_until(lambda: "batchAwaitingWorker" in store.settle(ORG, job_id).metadata)
    store.control(ORG, job_id, "cancel")
    return job_id


def is_given_back_by_its_worker(store: JobStore) -> str:
    job_id = queued(store)
    steps = store.steps(ORG, job_id)
    steps.finish(steps.claim("token"), Ending(Status.INTERRUPTED), None)
    return job_id


def completes_part_by_part(store: JobStore) -> str:
    job_id = queued(store, parts=2)
    for part in (1, 2):
        with store.run(ORG, job_id, part=part) as run:
            run.succeeded()
    return job_id


ENDS = {
    completes: "completed",
    fails: "failed",
    is_cancelled_while_it_runs: "cancelled",
    is_cancelled_while_it_is_queued: "cancelled",
    is_queued_for_too_long: "cancelled",
    loses_its_worker: "interrupted",
    loses_its_worker_and_is_read: "interrupted",
    is_cancelled_while_it_awaits_a_worker: "cancelled",
    is_given_back_by_its_worker: "interrupted",
    completes_part_by_part: "completed",
}


@pytest.mark.parametrize(("end", "status"), ENDS.items(), ids=lambda each: getattr(each, "__name__", each))
def test_every_end_of_a_job_is_told_once(
    notified: Notified, store: JobStore, end: Callable[[JobStore], str], status: str
) -> None:
    secret, _ = notified.endpoint()
    job_id = end(store)
    notified.send_until(1)
    for _ in range(3):
        notified.send()
    (request,) = notified.receiver.requests
    notice = request.verified(secret)
    assert (notice["type"], notice["data"]["jobId"]) == (f"job.{status}", job_id)
    assert notified.counted == ["delivered"]


@pytest.mark.parametrize("end", [completes, is_given_back_by_its_worker])
def test_the_end_of_a_worker_is_told_at_once_and_not_when_its_lease_is_out(
    client: "redis.Redis", end: Callable[[JobStore], str]
) -> None:
    notified = Notified(JobStore(client))  # with leases of 30 s
    notified.endpoint()
    end(notified.store)
    notified.send()
    assert len(notified.receiver.requests) == 1


# What is sent


def test_a_notice_says_how_the_job_ended(notified: Notified) -> None:
    secret, _ = notified.endpoint()
    job = notified.completed(metadata={"fileName": "año.csv"}, total_items=3)
    notified.send()
    (request,) = notified.receiver.requests
    members = ("jobId", "kind", "status", "totalItems", "succeeded", "failed", "skipped", "completedAt")
    data = {name: job.to_dict()[name] for name in (*members, "metadata")}
    assert request.verified(secret) == {"type": "job.completed", "timestamp": data["completedAt"], "data": data}
    assert data["metadata"] == {"fileName": "año.csv"}
    assert data["succeeded"] == 3
    assert request.headers["Content-Type"] == "application/json"
    assert request.url == "https://hooks.example.com/1"


def test_a_notice_of_another_secret_or_with_another_body_does_not_verify(notified: Notified) -> None:
    secret, _ = notified.endpoint()
    notified.completed()
    notified.send()
    (request,) = notified.receiver.requests
    request.verified(secret)
    for changed, with_secret in (
        (request._replace(body=request.body + b" "), secret),
        (request._replace(headers={**request.headers, "Webhook-Id": "msg_1"}), secret),
        (request._replace(headers={**request.headers, "Webhook-Timestamp": "1"}), secret),
        (request, KNOWN.newest("another")),
    ):
        with pytest.raises(WebhookVerificationError):
            changed.verified(with_secret)


# Who is told


def test_an_endpoint_is_told_of_the_kinds_and_types_that_it_wants(notified: Notified, store: JobStore) -> None:
    notified.endpoint("https://all.example.com")
    notified.endpoint("https://failed.example.com", types=["job.failed", "job.interrupted"])
    notified.endpoint("https://entities.example.com", kinds=["entity_automatic"])
    completes(store)
    fails(store)
    notified.send_until(3)
    notified.send()
    assert Counter(each.url for each in notified.receiver.requests) == {
        "https://all.example.com": 2,
        "https://failed.example.com": 1,
    }


def test_another_organizations_endpoint_is_told_nothing(notified: Notified) -> None:
    notified.endpoints.add("org_other", "https://other.example.com", KNOWN)
    notified.completed()
    notified.send()
    assert notified.receiver.requests == []


def test_a_job_that_ended_before_the_endpoint_was_added_is_not_told(notified: Notified) -> None:
    job = notified.completed()
    assert job.completed_at
    later = job.completed_at + timedelta(milliseconds=2)
    wait_until(lambda: datetime.now(UTC) > later)
    notified.endpoint()
    notified.send()
    assert notified.receiver.requests == []


def test_a_removed_endpoint_is_told_nothing_any_more(notified: Notified) -> None:
    _, endpoint = notified.endpoint()
    notified.completed()
    notified.reaper.reap()
    notified.endpoints.remove(endpoint.id)
    notified.send()
    assert notified.receiver.requests == []
    with pytest.raises(InvalidValue, match="no endpoint"):
        notified.endpoints.remove(endpoint.id)


@pytest.mark.parametrize(
    "options",
    [{"kinds": ["no_such_kind"]}, {"types": ["job.running"]}],
    ids=["kind", "type"],
)
def test_an_endpoint_for_what_does_not_exist_is_refused(notified: Notified, options: dict[str, Any]) -> None:
    with pytest.raises(InvalidValue, match="is not one of"):
        notified.endpoint(**options)
    assert notified.endpoints.list(ORG) == []


def test_an_organization_has_so_many_endpoints_at_most(notified: Notified) -> None:
    for _ in range(MOST):
        notified.endpoint()
    with pytest.raises(InvalidValue, match=f"has {MOST} endpoints"):
        notified.endpoint()


def test_an_endpoint_whose_record_was_damaged_by_hand_keeps_nobody_from_the_others(
    notified: Notified, client: "redis.Redis", caplog: pytest.LogCaptureFixture
) -> None:
    notified.endpoint()
    client.hset(f"batchstatus:webhooks:{ORG}", "damaged", "{}")
    notified.completed()
    notified.send()
    assert len(notified.receiver.requests) == 1
    assert "the endpoint b'damaged' of org_acme cannot be read" in caplog.text


# Tries


def test_what_is_not_delivered_is_tried_again_under_the_same_id_and_signed_anew(store: JobStore) -> None:
    notified = Notified(store, ERROR, Answer(None, "no answer within 15 s"), DELIVERED)
    secret, _ = notified.endpoint()
    notified.completed()
    notified.send_until(3)
    notified.send()
    assert len(notified.receiver.requests) == 3
    assert len({*notified.receiver.ids}) == 1
    assert len({each.body for each in notified.receiver.requests}) == 1
    for each in notified.receiver.requests:
        each.verified(secret)
    assert notified.counted == ["failed", "failed", "delivered"]


def test_after_the_last_try_it_is_given_up_and_a_replay_sends_it_once_more(store: JobStore) -> None:
    notified = Notified(store, ERROR, waits_s=(0.01, 0.01))
    _, endpoint = notified.endpoint()
    job = notified.completed()
    notified.send_until(3)
    notified.send()
    notices = Notices(store.connection)
    (delivery,) = notices.deliveries(ORG)
    assert (delivery.state, delivery.tries, delivery.answer, delivery.next_at) == ("failed", 3, "HTTP 500", None)
    assert notified.counted == ["failed", "failed", "given_up"]
    assert [each.id for each in notices.replay(ORG, job.job_id)] == [endpoint.id]
    notified.send_until(4)
    assert len({*notified.receiver.ids}) == 1


def test_the_tries_are_spread_over_three_days_as_standard_webhooks_proposes() -> None:
    assert [round(each) for each in dispatching.WAITS_S] == [
        *(5, 5 * 60, 30 * 60, 2 * 3600, 5 * 3600, 10 * 3600, 14 * 3600, 20 * 3600, 24 * 3600)
    ]
    longest_s = [max(each * (1 + dispatching.JITTER), MAX_RETRY_AFTER_S) for each in dispatching.WAITS_S]
    assert sum(longest_s) * 1000 < KEPT_MS


def test_a_wait_is_at_least_as_long_as_the_endpoint_asks_for(store: JobStore) -> None:
    notified = Notified(store, Answer(429, "HTTP 429", retry_after_s=3_600.0))
    notified.endpoint()
    notified.completed()
    notified.send()
    (delivery,) = Notices(store.connection).deliveries(ORG)
    assert delivery.tried_at
    assert delivery.next_at
    assert timedelta(seconds=3_600) <= delivery.next_at - delivery.tried_at < timedelta(seconds=3_700)
    notified.send()
    assert len(notified.receiver.requests) == 1


def test_410_disables_the_endpoint_and_a_new_secret_enables_it_again(store: JobStore) -> None:
    notified = Notified(store, Answer(410, "HTTP 410"), DELIVERED)
    notices = Notices(store.connection)
    _, endpoint = notified.endpoint()
    notified.completed(job_id="first")
    notified.reaper.reap()
    assert _begun(notices.begin(ORG, "first", endpoint, "another dispatcher", 300))
    notified.completed(job_id="second")
    notified.send_until(1)
    assert notified.endpoints.get(endpoint.id).disabled == "HTTP 410"
    notified.completed(job_id="third")
    wait_until(lambda: (notified.send(), {each.state for each in notices.deliveries(ORG)} == {"failed"})[-1])
    said = {each.job_id: each.answer for each in notices.deliveries(ORG)}
    assert said == {"first": "not sent: HTTP 410", "second": "HTTP 410"}
    secret, _ = notified.endpoints.rotate(endpoint.id, KNOWN)
    notified.completed(job_id="fourth")
    notified.send_until(2)
    assert [each.verified(secret)["data"]["jobId"] for each in notified.receiver.requests[1:]] == ["fourth"]


def test_an_endpoint_that_is_removed_while_it_answers_410_leaves_nothing(store: JobStore) -> None:
    notified = Notified(store, Answer(410, "HTTP 410"))
    _, endpoint = notified.endpoint("https://hooks.example.com/gone")
    answering = notified.receiver.hanging[endpoint.url] = threading.Event()
    notified.completed()
    notified.reaper.reap()
    notified.dispatcher.dispatch()
    wait_until(lambda: notified.receiver.requests)
    notified.endpoints.remove(endpoint.id)
    answering.set()
    wait_until(lambda: not notified.dispatcher.under_way())
    assert store.connection.hash(store.connection.keys.webhooks(ORG)) == {}


# Dispatchers


def test_an_endpoint_that_hangs_leaves_room_for_the_others(notified: Notified) -> None:
    notified.endpoint("https://slow.example.com")
    notified.receiver.hanging["https://slow.example.com"] = threading.Event()
    notified.endpoint("https://fast.example.com")
    for _ in range(10):
        notified.completed()
    try:
        notified.reaper.reap()
        told = Counter[str]()

        def all_fast() -> bool:
            notified.dispatcher.dispatch()
            nonlocal told
            told = Counter(each.url for each in notified.receiver.requests)
            return told["https://fast.example.com"] == 10

        wait_until(all_fast)
        assert told["https://slow.example.com"] == dispatching.MOST_OF_ENDPOINT
    finally:
        notified.receiver.hanging["https://slow.example.com"].set()
    wait_until(lambda: not notified.dispatcher.under_way())


def test_of_many_dispatchers_one_sends_a_notice(notified: Notified) -> None:
    notified.endpoint()
    for _ in range(20):
        notified.completed()
    notified.reaper.reap()
    dispatchers = [notified.another() for _ in range(4)]

    def send_all(dispatcher: dispatching.Dispatcher) -> None:
        # Once may not do: with four tries under way a dispatcher leaves the others for later.
        wait_until(lambda: (dispatcher.dispatch(), len(notified.receiver.requests) >= 20)[-1])

    for sending in [aside(partial(send_all, each)) for each in dispatchers]:
        sending.result()  # wait_until has the limit, and says more
    wait_until(lambda: not any(each.under_way() for each in dispatchers))
    assert len(notified.receiver.requests) == len({*notified.receiver.ids}) == 20


def test_a_try_of_which_nothing_is_heard_is_repeated_after_the_hold(notified: Notified) -> None:
    notified.endpoint("https://slow.example.com")
    hanging = notified.receiver.hanging["https://slow.example.com"] = threading.Event()
    notified.completed()
    notified.reaper.reap()
    first, second = notified.another(hold_s=0.05), notified.another(hold_s=60)
    first.dispatch()
    wait_until(lambda: notified.receiver.requests)
    second.dispatch()
    assert len(notified.receiver.requests) == 1
    wait_until(lambda: (second.dispatch(), len(notified.receiver.requests) == 2)[-1])
    hanging.set()
    wait_until(lambda: not first.under_way() and not second.under_way())
    assert len({*notified.receiver.ids}) == 1
    (delivery,) = Notices(notified.store.connection).deliveries(ORG)
    assert (delivery.state, delivery.tries) == ("delivered", 2)


@pytest.mark.parametrize("state", ["failed", "delivered"])
def test_what_a_try_reports_too_late_counts_no_more(store: JobStore, state: str) -> None:
    notified = Notified(store)
    _, endpoint = notified.endpoint()
    job = notified.completed()
    notified.reaper.reap()
    notices = Notices(store.connection)
    late: Any = notices.begin(ORG, job.job_id, endpoint, "late", 1)
    newer: Any = wait_until(lambda: _begun(notices.begin(ORG, job.job_id, endpoint, "newer", 60_000)))
    assert (late.number, newer.number) == (1, 2)
    notices.end(ORG, job.job_id, endpoint, late, state, 0, "too late")
    (delivery,) = notices.deliveries(ORG)
    assert (delivery.state, delivery.answer) == ("due", None)
    assert isinstance(notices.begin(ORG, job.job_id, endpoint, "third", 1), int)


def _begun(found: Any) -> Any:
    return None if found is None or isinstance(found, int) else found


def test_a_bug_of_a_sender_is_logged_and_the_notice_tried_again(
    notified: Notified, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    notified.endpoint()
    notified.completed()
    with monkeypatch.context() as patch:
        patch.setattr(notified.receiver, "post", None)
        notified.send(notified.another(hold_s=0.01))
    assert "TypeError" in caplog.text
    notified.send_until(1)


def test_a_look_that_was_asked_for_during_another_is_not_forgotten(notified: Notified) -> None:
    notified.endpoint()
    job = notified.completed()
    notified.send()
    schedule = Notices(notified.store.connection).schedule
    entry = notified.store.connection.keys.notices_entry(ORG, job.job_id)
    schedule.ask(entry)
    first_ms = schedule.asked_ms(entry)
    assert first_ms
    schedule.ask(entry)  # in the same ms, where the store is fast
    schedule.looked(entry, first_ms, None)
    wait_until(lambda: schedule.due(*range(16)) == [entry])
    schedule.looked(entry, first_ms, 60_000)
    assert schedule.due(*range(16)) == [entry]
    second_ms = schedule.asked_ms(entry)
    assert second_ms
    schedule.looked(entry, second_ms, None)
    assert schedule.asked_ms(entry) is None


# What is left


def test_a_notice_outlives_its_job_and_every_key_ends(notified: Notified, client: "redis.Redis") -> None:
    _, endpoint = notified.endpoint()
    job = notified.completed()
    notified.send()
    notice = notified.store.connection.keys.notice(ORG, job.job_id, endpoint.short_id)
    keep_ms = SETTINGS.retention_ms + KEPT_MS
    for key in (notice, notified.store.connection.keys.deliveries(ORG)):
        assert keep_ms - 60_000 < client.pttl(key) <= keep_ms
    # A look that finds nothing more to do ends the looks.
    wait_until(
        lambda: (notified.send(), not [key for key in client.keys("*:notices:*") if b"turn" not in key])[-1]
    )


def test_of_an_erased_job_nothing_is_sent_any_more(notified: Notified, client: "redis.Redis") -> None:
    notified.endpoint()
    job = notified.completed()
    client.delete(notified.store.connection.keys.job(ORG, job.job_id).job)
    notified.send()
    job = notified.completed()
    notified.reaper.reap()
    for key in client.scan_iter(f"*{job.job_id}*"):
        client.delete(key)
    notified.send()
    assert notified.receiver.requests == []
    with pytest.raises(JobNotFound):
        Notices(notified.store.connection).replay(ORG, job.job_id)


def test_a_job_that_runs_cannot_be_replayed(notified: Notified, store: JobStore) -> None:
    notified.endpoint()
    with pytest.raises(InvalidValue, match="has not ended, it is queued"):
        Notices(store.connection).replay(ORG, queued(store))
    notified.send()
    assert notified.receiver.requests == []


def test_a_store_that_is_away_when_the_end_is_noted_loses_no_notice(
    notified: Notified, monkeypatch: pytest.MonkeyPatch
) -> None:
    notified.endpoint()
    notified.completed()
    with monkeypatch.context() as patch:
        patch.setattr(Notices, "note", _away)
        with pytest.raises(StoreUnavailable):
            notified.reaper.reap()
    notified.send_until(1)


def _away(*_: object) -> None:
    raise StoreUnavailable("away")


def test_the_types_are_those_of_the_ends_of_jobs() -> None:
    assert TYPES == ("job.cancelled", "job.completed", "job.failed", "job.interrupted")


def test_a_job_as_a_dictionary_is_what_json_can_say(notified: Notified) -> None:
    job: Job = notified.completed()
    assert json.loads(json.dumps(job.to_dict())) == job.to_dict()
