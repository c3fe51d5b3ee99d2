"""Answers that are errors: which exception each becomes, and what its message shows."""

import json

import pytest

from batchstatus.client import Client
from batchstatus.model.errors import JobNotFound, Refused, ServiceUnavailable
from tests.unit.client.answers import NO_ANSWER, SILENCE, Answer, answer, cut, error, ok, page
from tests.unit.client.service import KEY, TIMEOUT_S, Clock, Server


@pytest.mark.parametrize("status", [401, 403])
@pytest.mark.parametrize("body", ["json", "html", "nothing", "cut", "chunk"])
def test_401_and_403_raise_refused_whatever_the_body(
    client: Client, server: Server, status: int, body: str
) -> None:
    ours, chunk = (
        error(status, "UNAUTHENTICATED"),
        f"HTTP/1.1 {status} No\r\nTransfer-Encoding: chunked\r\n\r\n9\r\n{{",
    )
    bodies = {"json": ours, "html": page(status), "nothing": answer(status), "cut": cut(ours, 5)}
    server.says(bodies.get(body, Answer(chunk.encode(), cut=True)))
    with pytest.raises(Refused, match=f"/batch-import/jobs/J: {status}"):
        client.get("J")


def test_a_404_of_ours_raises_job_not_found(client: Client, server: Server) -> None:
    server.says(error(404, "JOB_NOT_FOUND"))
    with pytest.raises(JobNotFound, match="/batch-import/jobs/J: 404 JOB_NOT_FOUND: 'because'"):
        client.get("J")


@pytest.mark.parametrize(
    "other",
    [
        page(404),
        error(404, "NOT_FOUND"),
        error(400, "JOB_NOT_FOUND"),
        error(503, "JOB_NOT_FOUND"),
        answer(404, b'{"detail": "Not Found"}'),
        answer(404, b'{"error": "JOB_NOT_FOUND"}'),
        answer(404, b'{"error": {"code": "JOB_NOT_FOUND"}}'),
    ],
)
def test_other_404s_and_other_statuses_raise_service_unavailable(
    client: Client, server: Server, other: Answer
) -> None:
    server.says(other)
    with pytest.raises(ServiceUnavailable):
        client.get("J")


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_not_followed_and_the_key_sent_nowhere_else(
    client: Client, server: Server, clock: Clock, status: int
) -> None:
    with Server(clock) as elsewhere:
        server.says(answer(status, headers={"Location": f"{elsewhere.url}/batch-import/jobs/J"}))
        with pytest.raises(ServiceUnavailable, match=elsewhere.url):
            next(client.watch("J"))
        assert (elsewhere.connections, clock.sleeps) == (0, [])


@pytest.mark.parametrize("status", [204, 206, 304, 400, 405, 429, 500, 502, 503])
def test_every_other_status_raises_service_unavailable(client: Client, server: Server, status: int) -> None:
    server.says(answer(status))
    with pytest.raises(ServiceUnavailable, match=f"/batch-import/jobs/J: {status}, not from batchstatus"):
        client.get("J")


def test_a_200_with_html_raises_service_unavailable(client: Client, server: Server) -> None:
    server.says(page(200))
    with pytest.raises(ServiceUnavailable, match="text/html instead of application/json"):
        client.get("J")


def test_get_does_not_retry(client: Client, server: Server, clock: Clock) -> None:
    server.says(error(503, "STORE_UNAVAILABLE", {"Retry-After": "1"}))
    with pytest.raises(ServiceUnavailable, match="503 STORE_UNAVAILABLE"):
        client.get("J")
    assert clock.sleeps == []


def test_the_message_of_the_service_is_shown_on_one_line_and_cut(client: Client, server: Server) -> None:
    body = {"error": {"code": "INTERNAL_ERROR", "message": "\x1b[2J\n" + "x" * 10_000}}
    server.says(answer(500, json.dumps(body).encode()))
    with pytest.raises(ServiceUnavailable) as caught:
        client.get("J")
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 500


def test_no_server_raises_service_unavailable(nowhere: str) -> None:
    with Client(nowhere, KEY) as client, pytest.raises(ServiceUnavailable, match="ConnectionRefused"):
        client.get("J")


def test_a_silent_server_raises_service_unavailable_after_the_timeout(server: Server) -> None:
    server.says(SILENCE)
    with (
        Client(server.url, KEY, timeout_s=TIMEOUT_S) as client,
        pytest.raises(ServiceUnavailable, match="Timeout"),
    ):
        client.get("J")


def test_no_error_shows_the_key(client: Client, server: Server, nowhere: str) -> None:
    answers = [
        error(401, "UNAUTHENTICATED"),
        error(404, "JOB_NOT_FOUND"),
        page(502),
        ok(status="exploded"),
        NO_ANSWER,
    ]
    server.says(*answers)
    for _ in answers:
        with pytest.raises(Exception, match="batch-import/jobs/J") as caught:
            client.get("J")
        assert KEY not in f"{caught.value!r} {caught.value.__cause__!r} {caught.value.__context__!r}"
    assert KEY not in repr(client)
