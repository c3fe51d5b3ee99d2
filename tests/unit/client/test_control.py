"""Control: one poll for the kind, one POST for the action, which is never asked for twice."""

import json

import pytest

from batchstatus.client import Client
from batchstatus.model.errors import InvalidTransition, JobNotFound, Refused, ServiceUnavailable
from batchstatus.model.job import Action, Kind
from tests.unit.client.answers import NO_ANSWER, SILENCE, Answer, answer, done, error, ok, page
from tests.unit.client.service import KEY, TIMEOUT_S, Clock, Server


@pytest.mark.parametrize("kind", Kind)
@pytest.mark.parametrize("action", ["pause", Action.RESUME, "cancel"])
def test_control_reads_the_kind_and_posts_the_action(
    client: Client, server: Server, kind: Kind, action: str
) -> None:
    server.says(ok(kind=kind), ok(kind=kind, metadata={"batchCancelRequested": True}))
    assert client.control("J", action).metadata == {"batchCancelRequested": True}
    poll, post = server.requests
    assert [(each.method, each.target) for each in (poll, post)] == [
        ("GET", "/batch-import/jobs/J"),
        ("POST", "/batch-import/jobs/J/control"),
    ]
    assert json.loads(post.body) == {"kind": kind, "action": action}
    assert post.headers["authorization"] == f"Bearer {KEY}"
    assert server.connections == 1


def test_control_of_an_ended_job_raises_invalid_transition(client: Client, server: Server) -> None:
    server.says(done(), error(409, "JOB_ALREADY_TERMINAL"))
    with pytest.raises(InvalidTransition, match="/batch-import/jobs/J/control: 409 JOB_ALREADY_TERMINAL"):
        client.control("J", "cancel")


@pytest.mark.parametrize(
    ("final", "raised"),
    [
        (error(401, "UNAUTHENTICATED"), Refused),
        (error(403, "FORBIDDEN"), Refused),
        (error(404, "JOB_NOT_FOUND"), JobNotFound),
        (error(404, "NOT_FOUND"), ServiceUnavailable),
        (error(409, "KIND_MISMATCH"), ServiceUnavailable),
        (error(503, "STORE_UNAVAILABLE", {"Retry-After": "1"}), ServiceUnavailable),
        (page(409), ServiceUnavailable),
        (page(502), ServiceUnavailable),
        (page(200), ServiceUnavailable),
        (answer(204), ServiceUnavailable),
        (answer(304), ServiceUnavailable),
        (ok(status="exploded"), ServiceUnavailable),
    ],
)
def test_every_other_answer_raises_and_the_action_is_not_repeated(
    client: Client, server: Server, clock: Clock, final: Answer, raised: type[Exception]
) -> None:
    server.says(ok(), final)
    with pytest.raises(raised):
        client.control("J", "pause")
    assert (len(server.requests), clock.sleeps) == (2, [])


def test_nothing_is_posted_where_the_kind_cannot_be_read(client: Client, server: Server) -> None:
    server.says(error(404, "JOB_NOT_FOUND"), error(401, "UNAUTHENTICATED"), page(502))
    for raised in (JobNotFound, Refused, ServiceUnavailable):
        with pytest.raises(raised):
            client.control("J", "cancel")
    assert {request.method for request in server.requests} == {"GET"}


def test_an_action_cut_on_a_kept_connection_is_repeated(client: Client, server: Server) -> None:
    server.says(ok(), NO_ANSWER, ok(metadata={"batchPauseRequested": True}))
    assert client.control("J", "pause").metadata == {"batchPauseRequested": True}
    assert [(request.method, request.connection) for request in server.requests] == [
        ("GET", 1),
        ("POST", 1),
        ("POST", 2),
    ]
    assert server.requests[1].body == server.requests[2].body


def test_an_action_is_repeated_only_once(client: Client, server: Server) -> None:
    server.says(ok(), NO_ANSWER, NO_ANSWER)
    with pytest.raises(ServiceUnavailable, match="no answer"):
        client.control("J", "pause")


def test_an_action_cut_on_a_new_connection_is_not_repeated(client: Client, server: Server) -> None:
    server.says(Answer(ok({"Connection": "close"}).raw, cut=True), NO_ANSWER)
    with pytest.raises(ServiceUnavailable, match="no answer"):
        client.control("J", "pause")
    assert [request.method for request in server.requests] == ["GET", "POST"]


def test_an_action_that_timed_out_is_not_repeated(server: Server) -> None:
    server.says(ok(), SILENCE)
    with (
        Client(server.url, KEY, timeout_s=TIMEOUT_S) as client,
        pytest.raises(ServiceUnavailable, match="Timeout"),
    ):
        client.control("J", "pause")
    assert [request.method for request in server.requests] == ["GET", "POST"]
