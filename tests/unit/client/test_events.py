"""Events: what is yielded, what a stream that breaks off leads to, and when polls take their place."""

import json
from itertools import islice
from typing import Any

import pytest

from batchstatus.client import Client
from batchstatus.model.errors import JobNotFound, Refused, ServiceUnavailable
from tests.unit.client.answers import Answer, answer, done, error, page, wire
from tests.unit.client.service import KEY, TIMEOUT_S, Clock, Server

PROGRESS = {
    "startedAt": "2026-11-23T15:03:00.000Z",
    "rowsPerSecond": 2.5,
    "secondsLeft": 10,
    "secondsLeftLow": 5.1,
    "secondsLeftHigh": 20,
}


def event(number: int, **changes: Any) -> bytes:
    """An event of the job, with this number as its tag."""
    body = {"success": True, "job": wire(**changes) | {"progress": PROGRESS}}
    return b'event: job\nid: W/"%d"\ndata: %s\n\n' % (number, json.dumps(body).encode())


def refusal(code: str) -> bytes:
    body = {"success": False, "error": {"code": code, "message": "because"}}
    return b"event: error\ndata: %s\n\n" % json.dumps(body).encode()


def stream(*pieces: bytes, cut: bool = False, end: bytes = b"0\r\n\r\n") -> Answer:
    """A stream of these pieces, a chunk each. `cut`: it breaks off."""
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces)
    return Answer(head + chunks + (b"" if cut else end), cut=cut)


END = event(9, status="completed")


def test_each_event_is_yielded_over_one_request_until_the_job_ends(client: Client, server: Server) -> None:
    server.says(stream(b"retry: 1000\n\n", event(1), b":\n\n", event(2, succeeded=500), END))
    found = list(client.events("J"))
    assert [(job.status, job.succeeded) for job in found] == [
        ("running", 412),
        ("running", 500),
        ("completed", 412),
    ]
    assert [request.target for request in server.requests] == ["/batch-import/jobs/J/events"]
    assert (found[0].progress.rows_per_second, found[0].progress.seconds_left) == (2.5, 10)


def test_an_event_may_come_in_pieces_and_with_other_line_ends(client: Client, server: Server) -> None:
    whole = (event(1) + END).replace(b"\n", b"\r\n")
    server.says(stream(*(whole[place : place + 7] for place in range(0, len(whole), 7))))
    assert [job.status for job in client.events("J")] == ["running", "completed"]


def test_events_and_fields_that_are_not_known_are_skipped(client: Client, server: Server) -> None:
    server.says(stream(b"event: part\ndata: {}\n\n", b"colour: blue\n", b"data\n\n", END))
    assert [job.status for job in client.events("J")] == ["completed"]


@pytest.mark.parametrize("cut", [False, True])
def test_a_stream_that_ends_before_the_job_is_asked_for_again_from_where_it_was(
    client: Client, server: Server, clock: Clock, cut: bool
) -> None:
    server.says(stream(event(1), event(2), cut=cut), stream(END))
    assert [job.status for job in client.events("J")] == ["running", "running", "completed"]
    assert server.asked("last-event-id") == [None, 'W/"2"']
    assert clock.sleeps == [0.25]


def test_an_event_that_was_cut_short_is_not_yielded(client: Client, server: Server) -> None:
    server.says(stream(event(1), event(2)[:-40], cut=True), stream(END))
    assert [job.status for job in client.events("J")] == ["running", "completed"]
    assert server.asked("last-event-id") == [None, 'W/"1"']


def test_204_means_that_the_end_was_seen(client: Client, server: Server) -> None:
    server.says(stream(event(1)), Answer(b"HTTP/1.1 204 No Content\r\n\r\n"))
    assert [job.status for job in client.events("J")] == ["running"]


@pytest.mark.parametrize(
    ("code", "kind"),
    [("UNAUTHENTICATED", Refused), ("FORBIDDEN", Refused), ("JOB_NOT_FOUND", JobNotFound)],
)
def test_an_error_event_is_raised(client: Client, server: Server, code: str, kind: type[Exception]) -> None:
    server.says(stream(event(1), refusal(code)))
    with pytest.raises(kind, match=f"{code}: 'because'"):
        list(client.events("J"))


def test_a_store_that_is_away_is_borne_for_give_up_s(server: Server, clock: Clock) -> None:
    server.says(stream(event(1), refusal("STORE_UNAVAILABLE")), *[error(503, "STORE_UNAVAILABLE")] * 4)
    with Client(server.url, KEY, give_up_s=2) as client, pytest.raises(ServiceUnavailable, match="for 2 s"):
        list(client.events("J"))
    assert sum(clock.sleeps) == 2


@pytest.mark.parametrize(
    "text", [b"event: job\ndata: {\n\n", b"event: error\ndata: []\n\n", b"x" * (1 << 20) + b"\n"]
)
def test_what_makes_no_sense_is_asked_for_again(client: Client, server: Server, text: bytes) -> None:
    server.says(stream(text, cut=True), stream(END))
    assert [job.status for job in client.events("J")] == ["completed"]


def test_the_client_is_usable_during_events(client: Client, server: Server) -> None:
    server.says(stream(event(1), END), done())
    following = client.events("J")
    assert next(following).status == "running"
    assert client.get("J").status == "completed"
    assert [job.status for job in following] == ["completed"]
    assert server.connections == 2


def test_leaving_the_loop_closes_the_connection(client: Client, server: Server) -> None:
    server.says(stream(event(1), end=b""))
    for _ in client.events("J"):
        break
    assert server.ended.acquire(timeout=10)


def test_a_watch_with_counters_takes_one_request(client: Client, server: Server) -> None:
    server.says(stream(event(1), event(2, succeeded=500), END))
    assert [job.succeeded for job in client.watch("J", progress_s=1)] == [412, 500, 412]
    assert len(server.requests) == 1


def test_a_watch_goes_on_with_the_next_stream(client: Client, server: Server) -> None:
    server.says(stream(event(1), cut=True), error(503, "STORE_UNAVAILABLE"), stream(END))
    assert [job.status for job in client.watch("J", progress_s=1)] == ["running", "completed"]


@pytest.mark.parametrize(
    "instead",
    [
        error(404, "NOT_FOUND"),
        error(503, "TOO_MANY_LISTENERS"),
        page(404),
        page(200),
        answer(200, b"data: x\n\n", "text/plain"),
        Answer(b"", cut=True),
    ],
    ids=["no such route", "no room", "a page", "another page", "another type", "no answer"],
)
def test_a_watch_polls_where_there_are_no_events(client: Client, server: Server, instead: Answer) -> None:
    server.says(instead, done())
    assert [job.status for job in client.watch("J", progress_s=1)] == ["completed"]
    assert server.requests[-1].target == "/batch-import/jobs/J?include=progress"


def test_a_watch_of_an_old_service_does_without_progress(client: Client, server: Server) -> None:
    server.says(error(404, "NOT_FOUND"), error(400, "INVALID_REQUEST"), done())
    (job,) = client.watch("J", progress_s=1)
    assert (job.status, job.progress.rows_per_second) == ("completed", None)


@pytest.mark.parametrize(("code", "kind"), [("JOB_NOT_FOUND", JobNotFound)])
def test_a_watch_of_an_unknown_job_ends_at_once(
    client: Client, server: Server, code: str, kind: type[Exception]
) -> None:
    server.says(error(404, code))
    with pytest.raises(kind):
        list(client.watch("J", progress_s=1))


def test_a_silent_stream_is_dead(server: Server, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("batchstatus.client.events.SILENCE_S", 0)
    quiet = stream(event(1), end=b"")
    server.says(Answer(quiet.raw, silent=False, cut=False), stream(END))
    with Client(server.url, KEY, timeout_s=TIMEOUT_S) as client:
        assert [job.status for job in islice(client.events("J"), 2)] == ["running", "completed"]
    assert clock.sleeps == [0.25]
