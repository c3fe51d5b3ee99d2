"""Events (contract §11): of a job, and of an organization's jobs, as server-sent events."""

import json
import re
from collections.abc import Callable
from itertools import count, islice
from typing import Any

import pytest
from flask.testing import FlaskClient

from batchstatus import JobStore
from batchstatus.web import create_app
from batchstatus.web.access import ApiKeyAccess
from batchstatus.web.live import news
from batchstatus.web.live.ticking import release_held
from batchstatus.web.views import events as view
from tests.support.listening import Listening
from tests.support.rawhttp import RawConnection, connect, exchange, read_to_the_end, request
from tests.support.service import LiveService
from tests.support.waiting import wait_until
from tests.support.wire import bearer, checked_error

ORG, OTHER = "org_acme", "org_globex"
ORGS = count()
KIND = "transaction_batch"
JOB_EVENTS, EVENTS = "/batch-import/jobs/job-1/events", "/batch-import/events"


@pytest.fixture
def org() -> str:
    """An organization that no earlier test has listened to.

    The service notices that a listener has gone only when it writes to it. Until then it looks for it at what it
    listened to, and who listens to the same meanwhile is told what such a look finds.
    """
    return f"org_{next(ORGS)}"


@pytest.fixture
def key(real_store: JobStore, org: str) -> str:
    made, _ = real_store.api_keys.create(org, ["transactions:create"])
    return made


@pytest.fixture
def job_id(real_store: JobStore, org: str) -> str:
    return real_store.create(org, KIND, job_id="job-1", total_items=100).job_id


Listen = Callable[..., Listening]


@pytest.fixture
def listen(live: LiveService, key: str) -> Any:
    """Returns what opens a stream of the live service; all are closed at the end."""
    opened: list[Listening] = []

    def stream(path: str = JOB_EVENTS, **headers: str) -> Listening:
        opened.append(Listening(live.port, path, headers.pop("key", key), **headers))
        return opened[-1]

    yield stream
    for each in opened:
        each.close()


def polled(live: LiveService, key: str, job_id: str) -> tuple[str, Any]:
    """The entity tag and the body of a poll with progress."""
    answer = exchange(live.port, request("GET", f"/batch-import/jobs/{job_id}?include=progress", key=key))
    return answer.headers["etag"], answer.json()


# A job


def test_the_job_comes_at_once_as_a_poll_gives_it(
    live: LiveService, key: str, job_id: str, listen: Listen
) -> None:
    stream = listen()
    head = stream.response.headers
    assert (stream.response.status, head["Content-Type"], head["Cache-Control"], head["X-Accel-Buffering"]) == (
        *(200, "text/event-stream"),
        *("no-store", "no"),
    )
    first = stream.next()
    assert (first.tag, first.data) == polled(live, key, job_id)


def test_every_change_comes_and_the_stream_ends_with_the_job(
    live: LiveService, key: str, real_store: JobStore, org: str, job_id: str, listen: Listen
) -> None:
    stream = listen()
    assert stream.next().job["status"] == "queued"
    with real_store.run(org, job_id) as run:
        assert stream.next().job["status"] == "running"
        run.succeeded(40)
        assert stream.next().job["succeeded"] == 40
        real_store.control(org, job_id, "pause")
        assert stream.next().job["metadata"] == {"batchPauseRequested": True}
        real_store.control(org, job_id, "resume")
        assert stream.next().job["metadata"] == {}
    *_, last = stream.rest()
    assert last.job["status"] == "completed"
    assert (last.tag, last.data) == polled(live, key, job_id)


def test_there_are_at_most_four_events_a_second_and_the_newest_is_among_them(
    real_store: JobStore, org: str, job_id: str, listen: Listen
) -> None:
    stream, found = listen(), []
    with real_store.run(org, job_id, flush_s=0.02) as run:
        while len(found) < 8:
            run.succeeded()
            found.append(stream.next())
        run.succeeded(7)
    found += stream.rest()
    assert (found[-1].job["status"], found[-1].job["succeeded"]) == ("completed", 15)
    first, *_, last = found
    assert len(found) <= 4 * (last.at - first.at) + 3


def test_a_heartbeat_is_no_event(real_store: JobStore, org: str, job_id: str, listen: Listen) -> None:
    with real_store.run(org, job_id):
        stream = listen()
        before = stream.next().job["heartbeatAt"]
        wait_until(lambda: real_store.get(org, job_id).heartbeat_at.isoformat()[:23] > before[:23])
        real_store.control(org, job_id, "pause")
        assert "batchPauseRequested" in stream.next().job["metadata"]


def test_what_is_known_is_not_sent_again(real_store: JobStore, org: str, job_id: str, listen: Listen) -> None:
    tag = listen().next().tag
    again = listen(Last_Event_ID=tag)
    real_store.control(org, job_id, "pause")
    assert again.next().job["metadata"] == {"batchPauseRequested": True}


@pytest.mark.parametrize("known", ["", "nonsense", 'W/"job-1-1-queued"', "é", "x" * 5_000])
def test_another_last_event_id_skips_nothing(
    real_store: JobStore, job_id: str, listen: Listen, known: str
) -> None:
    assert listen(Last_Event_ID=known).next().job["jobId"] == job_id


def test_the_end_is_sent_to_who_has_not_seen_it_and_204_to_who_has(
    real_store: JobStore, org: str, job_id: str, listen: Listen
) -> None:
    real_store.control(org, job_id, "cancel")
    (end,) = listen().rest()
    assert end.job["status"] == "cancelled"
    again = listen(Last_Event_ID=end.tag)
    assert (again.response.status, again.response.read()) == (204, b"")
    assert again.response.headers["Cache-Control"] == "no-store"


def test_another_replica_goes_on_where_the_first_was(
    live: LiveService, redis_url: str, real_store: JobStore, org: str, key: str, job_id: str, listen: Listen
) -> None:
    known = listen().next().tag
    with (
        LiveService(redis_url) as replica,
        Listening(replica.port, JOB_EVENTS, key, Last_Event_ID=known) as stream,
    ):
        real_store.control(org, job_id, "cancel")
        (end,) = stream.rest()
    assert end.job["status"] == "cancelled"
    assert listen(Last_Event_ID=end.tag).response.status == 204


def test_a_job_that_is_gone_ends_the_stream(real_store: JobStore, org: str, job_id: str, listen: Listen) -> None:
    stream = listen()
    stream.next()
    real_store.connection.command("DEL", real_store.connection.keys.job(org, job_id).job)
    (gone,) = stream.rest()
    assert (gone.name, gone.data["error"]["code"]) == ("error", "JOB_NOT_FOUND")


def test_a_damaged_job_ends_the_stream(real_store: JobStore, org: str, job_id: str, listen: Listen) -> None:
    stream = listen()
    stream.next()
    job_key = real_store.connection.keys.job(org, job_id).job
    real_store.connection.command("HSET", job_key, "succeeded", "many", "rev", "99")
    (broken,) = stream.rest()
    assert (broken.name, broken.data["error"]["code"]) == ("error", "INTERNAL_ERROR")


# An organization


def test_an_organization_hears_of_its_jobs_that_have_not_ended_and_of_their_ends(
    real_store: JobStore, org: str, listen: Listen
) -> None:
    for name in ("ended", "waits", "runs"):
        real_store.create(org, KIND, job_id=name)
    real_store.create(OTHER, KIND, job_id="theirs")
    real_store.control(org, "ended", "cancel")
    with real_store.run(org, "runs") as run:
        stream = listen(EVENTS)
        assert {stream.next().job["jobId"] for _ in range(2)} == {"waits", "runs"}
        run.succeeded(3)
        assert (changed := stream.next().job)["jobId"] == "runs"
        assert changed["succeeded"] == 3
    assert (end := stream.next().job)["jobId"] == "runs"
    assert end["status"] == "completed"
    real_store.create(OTHER, KIND, job_id="theirs-too")
    real_store.create(org, "entity_automatic", job_id="new")
    assert stream.next().job["jobId"] == "new"
    real_store.control(org, "waits", "cancel")
    assert (end := stream.next().job)["jobId"] == "waits"
    assert end["status"] == "cancelled"


def test_two_streams_of_an_organization_each_hear_of_every_end(
    real_store: JobStore, org: str, listen: Listen
) -> None:
    real_store.create(org, KIND, job_id="first")
    streams = [listen(EVENTS) for _ in range(4)]  # on both processes, most likely
    assert {stream.next().job["jobId"] for stream in streams} == {"first"}
    for number in range(5):
        real_store.create(org, KIND, job_id=f"job-{number}")
        assert {stream.next().job["status"] for stream in streams} == {"queued"}
        real_store.control(org, f"job-{number}", "cancel")
        assert {(stream.next().job["status"]) for stream in streams} == {"cancelled"}


def test_a_late_stream_does_not_hear_of_ends_that_others_are_told(
    real_store: JobStore, org: str, listen: Listen
) -> None:
    for name in ("one", "two"):
        real_store.create(org, KIND, job_id=name)
    early = listen(EVENTS)
    assert {early.next().job["jobId"] for _ in range(2)} == {"one", "two"}
    real_store.control(org, "one", "cancel")
    assert early.next().job["status"] == "cancelled"
    late = listen(EVENTS)
    assert late.next().job["jobId"] == "two"
    real_store.control(org, "two", "cancel")
    assert late.next().job["status"] == "cancelled"


def test_of_many_jobs_the_newest_hundred_are_sent(real_store: JobStore, org: str, listen: Listen) -> None:
    for number in range(103):
        real_store.create(org, KIND, job_id=f"job-{number:03}")
    stream = listen(EVENTS)
    found = [stream.next().job["jobId"] for _ in range(100)]
    newest = [job.job_id for job in real_store.list(org, limit=100).jobs]
    assert found == newest[::-1]


def test_jobs_that_are_new_in_one_look_are_sent_in_the_order_of_their_creation(
    real_store: JobStore, org: str, listen: Listen
) -> None:
    stream = listen(EVENTS)
    made = [real_store.create(org, KIND, job_id=f"new-{number:03}").job_id for number in range(40)]
    assert [stream.next().job["jobId"] for _ in made] == made


# Who may listen


def test_a_stream_is_refused_as_a_poll_is(
    live: LiveService, real_store: JobStore, org: str, key: str, job_id: str
) -> None:
    strangers, _ = real_store.api_keys.create(OTHER, ["transactions:create"])
    reader, _ = real_store.api_keys.create(org, ["transactions:read"])
    for path in (JOB_EVENTS, EVENTS):
        assert exchange(live.port, request("GET", path)).refusal == (401, "UNAUTHENTICATED")
        assert exchange(live.port, request("GET", path, key=f"bsk_{'x' * 43}")).refusal == (401, "UNAUTHENTICATED")
        assert exchange(live.port, request("GET", path, key=reader)).refusal == (403, "FORBIDDEN")
        assert exchange(live.port, request("POST", path, key=key)).refusal == (405, "METHOD_NOT_ALLOWED")
    for caller, unknown in ((strangers, "job-1"), (key, "job-2"), (key, "a%2Fb"), (key, "x" * 65)):
        answer = exchange(live.port, request("GET", f"/batch-import/jobs/{unknown}/events", key=caller))
        assert answer.refusal == (404, "JOB_NOT_FOUND")


def test_a_ticket_for_a_job_listens_to_this_job_alone(
    live: LiveService, real_store: JobStore, org: str, job_id: str, listen: Listen
) -> None:
    real_store.create(org, KIND, job_id="job-2")
    ticket, _ = real_store.tickets.create(org, job_id=job_id)
    assert listen(key=ticket).next().job["jobId"] == job_id
    other = exchange(live.port, request("GET", "/batch-import/jobs/job-2/events", key=ticket))
    assert other.refusal == (404, "JOB_NOT_FOUND")
    assert exchange(live.port, request("GET", EVENTS, key=ticket)).refusal == (403, "FORBIDDEN")
    every, _ = real_store.tickets.create(org)
    assert listen(EVENTS, key=every).next().job["jobId"] == job_id


@pytest.mark.parametrize("path", [JOB_EVENTS, EVENTS])
def test_a_revoked_key_ends_the_stream(
    real_store: JobStore, org: str, job_id: str, listen: Listen, path: str
) -> None:
    secret, record = real_store.api_keys.create(org, ["transactions:create"])
    stream = listen(path, key=secret)
    stream.next()
    real_store.api_keys.revoke(record.id)
    (end,) = stream.rest()
    assert (end.name, end.data["error"]["code"]) == ("error", "UNAUTHENTICATED")


# HTTP


@pytest.mark.parametrize("path", [JOB_EVENTS, EVENTS])
def test_head_has_no_body_and_holds_nothing(live: LiveService, key: str, job_id: str, path: str) -> None:
    with RawConnection(live.port) as connection:
        for _ in range(3):
            connection.send(request("HEAD", path, key=key))
            answer = connection.receive(to_head=True)
            assert (answer.status, answer.headers["content-type"]) == (200, "text/event-stream")
        connection.send(request("GET", "/livez"))
        assert connection.receive().status == 200


def test_a_caller_in_http_1_0_gets_the_same_without_chunks(
    live: LiveService, real_store: JobStore, org: str, key: str, job_id: str
) -> None:
    real_store.control(org, job_id, "cancel")
    with connect(live.port) as connection:
        connection.sendall(request("GET", JOB_EVENTS, key=key, version="1.0"))
        head, _, body = read_to_the_end(connection).partition(b"\r\n\r\n")
    assert b"chunked" not in head
    assert re.fullmatch(rb'retry: \d+\n\nevent: job\nid: W/"job-[^"\n]+"\ndata: {.*}\n\n', body)


def test_listeners_are_counted_until_they_go(
    live: LiveService, real_store: JobStore, org: str, job_id: str, listen: Listen
) -> None:
    with real_store.run(org, job_id) as run:
        streams = [listen() for _ in range(3)]
        for stream in streams:
            stream.next()
        wait_until(lambda: live.metric("batchstatus_listeners") == 3)
        for stream in streams:
            stream.close()

        def have_gone() -> bool:
            run.succeeded()  # writing shows that nobody is there
            return live.metric("batchstatus_listeners") == 0

        wait_until(have_gone)


# In one process, without a server


@pytest.fixture
def pieces(store: JobStore, api_key: str) -> Any:
    """Returns what opens a stream of a service in this process, as its pieces."""
    store.create(ORG, KIND, job_id="job-1")
    app = create_app(store, max_held=2)

    def opened(path: str = JOB_EVENTS, **headers: str) -> Any:
        answer = app.test_client().get(path, headers={**bearer(api_key), **headers}, buffered=False)
        return answer, answer.iter_encoded()

    yield opened
    app.parts.feed.ticks.close()


def test_a_comment_comes_when_nothing_else_does(pieces: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(view, "COMMENT_S", 0.3)
    answer, stream = pieces()
    assert next(stream).startswith(b"retry: ")
    assert next(stream).startswith(b"event: job\n")
    assert next(stream) == b":\n\n"
    answer.close()


def test_a_caller_that_is_remembered_is_not_checked_again(pieces: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(view, "COMMENT_S", 0.3)
    monkeypatch.setattr("batchstatus.web.access.KNOWN_FOR_S", 60)
    asked: list[object] = []
    caller = ApiKeyAccess.caller
    monkeypatch.setattr(ApiKeyAccess, "caller", lambda *given: asked.append(given) or caller(*given))
    answer, stream = pieces()
    assert [next(stream)[:5] for _ in range(5)] == [b"retry", b"event", *3 * [b":\n\n"]]
    assert len(asked) == 1
    answer.close()


def test_beyond_its_room_a_process_refuses(pieces: Any) -> None:
    (one, first), (two, second) = pieces(), pieces()
    next(first), next(second)
    refused, _ = pieces()
    assert (refused.status_code, refused.headers["Retry-After"]) == (503, "1")
    assert checked_error(refused.content_type, refused.data) == "TOO_MANY_LISTENERS"
    one.close()
    third, stream = pieces()
    assert (third.status_code, next(stream)[:5]) == (200, b"retry")
    third.close()
    two.close()


def test_a_job_is_rendered_once_for_all_who_listen(
    pieces: Any, monkeypatch: pytest.MonkeyPatch, store: JobStore
) -> None:
    rendered: list[str] = []
    dump = news._dump
    monkeypatch.setattr(news, "_dump", lambda answer: rendered.append(answer.job.state) or dump(answer))
    opened = [pieces() for _ in range(2)]
    for _, stream in opened:
        assert [next(stream)[:5], next(stream)[:5]] == [b"retry", b"event"]
    store.control(ORG, "job-1", "pause")
    for _, stream in opened:
        assert b"batchPauseRequested" in next(stream)
    assert rendered == ["queued", "queued.batchPauseRequested"]
    for answer, _ in opened:
        answer.close()


def test_a_store_that_is_away_for_long_ends_the_stream(
    pieces: Any, monkeypatch: pytest.MonkeyPatch, store: JobStore
) -> None:
    monkeypatch.setattr(view, "GONE_S", 0.5)
    monkeypatch.setattr("batchstatus.web.access.KNOWN_FOR_S", 0.1)
    _, stream = pieces()
    assert [next(stream)[:5], next(stream)[:5]] == [b"retry", b"event"]

    def away(*_: object) -> Any:
        raise view.StoreUnavailable("away")

    monkeypatch.setattr(store.reader, "look_at", away)
    monkeypatch.setattr(store.api_keys, "verify", away)
    name, data, *_ = next(stream).decode().splitlines()
    assert (name, json.loads(data.removeprefix("data: "))["error"]["code"]) == (
        "event: error",
        "STORE_UNAVAILABLE",
    )
    with pytest.raises(StopIteration):
        next(stream)


def test_nothing_is_sent_while_nobody_can_say_who_listens(
    pieces: Any, monkeypatch: pytest.MonkeyPatch, store: JobStore
) -> None:
    monkeypatch.setattr(view, "COMMENT_S", 0.3)
    monkeypatch.setattr("batchstatus.web.access.KNOWN_FOR_S", 0.1)
    answer, stream = pieces()
    assert [next(stream)[:5], next(stream)[:5]] == [b"retry", b"event"]

    def away(*_: object) -> Any:
        raise view.StoreUnavailable("away")

    with monkeypatch.context() as patch:
        patch.setattr(store.api_keys, "verify", away)
        assert next(stream) == b":\n\n"
        store.control(ORG, "job-1", "pause")
        assert [next(stream), next(stream)] == [b":\n\n"] * 2
    while (piece := next(stream)) == b":\n\n":
        pass
    assert b"batchPauseRequested" in piece
    answer.close()


def test_the_end_of_a_job_that_is_gone_is_told_although_the_store_was_away_when_it_was_noticed(
    pieces: Any, monkeypatch: pytest.MonkeyPatch, store: JobStore
) -> None:
    monkeypatch.setattr(view, "COMMENT_S", 0.3)
    _, stream = pieces()
    assert [next(stream)[:5], next(stream)[:5]] == [b"retry", b"event"]
    get, asked = JobStore.get, []

    def away_at_first(*given: Any) -> Any:
        asked.append(given)
        if len(asked) == 1:
            raise view.StoreUnavailable("away")
        return get(*given)

    monkeypatch.setattr(JobStore, "get", away_at_first)
    store.connection.write("DEL", store.connection.keys.job(ORG, "job-1").job)
    rest = [piece for piece in islice(stream, 30) if piece != b":\n\n"]
    assert len(asked) == 2
    assert b'"JOB_NOT_FOUND"' in b"".join(rest)


def test_a_bug_in_a_look_is_logged_with_its_traceback(
    pieces: Any, monkeypatch: pytest.MonkeyPatch, store: JobStore, caplog: pytest.LogCaptureFixture
) -> None:
    answer, stream = pieces()
    assert [next(stream)[:5], next(stream)[:5]] == [b"retry", b"event"]
    monkeypatch.setattr(store.reader, "look_at", lambda _: 1 / 0)
    wait_until(lambda: any(each.levelname == "ERROR" and each.exc_info for each in caplog.records))
    answer.close()


def test_a_stop_ends_the_stream_without_a_word(pieces: Any, web: FlaskClient) -> None:
    _, stream = pieces()
    assert [next(stream)[:5], next(stream)[:5]] == [b"retry", b"event"]
    release_held()
    with pytest.raises(StopIteration):
        next(stream)
