"""The kept connection: when a request is repeated on a new one, and when it is not."""

import io

import pytest

from batchstatus.client import Client
from batchstatus.model.errors import ServiceUnavailable
from tests.unit.client.answers import NO_ANSWER, SILENCE, Answer, answer, csv, cut, ok, page
from tests.unit.client.service import KEY, TIMEOUT_S, Clock, Server


def test_requests_share_one_connection(client: Client, server: Server) -> None:
    server.says(ok(), answer(body=b'{"failures": []}'), ok(), csv(), ok())
    client.get("J")
    client.failures("J")
    client.failures_csv("J", io.BytesIO())
    client.get("J")
    assert server.connections == 1


def test_a_connection_closed_while_idle_is_opened_again(client: Client, server: Server, clock: Clock) -> None:
    server.says(Answer(ok().raw, cut=True), ok())
    client.get("J")
    assert server.ended.acquire(timeout=10)
    assert client.get("J").succeeded == 412
    assert (server.connections, clock.sleeps) == (2, [])


def test_a_request_cut_on_a_kept_connection_is_repeated(client: Client, server: Server) -> None:
    server.says(ok(), NO_ANSWER, ok())
    client.get("J")
    assert client.get("J").succeeded == 412
    assert [request.connection for request in server.requests] == [1, 1, 2]


def test_a_request_is_repeated_only_once(client: Client, server: Server) -> None:
    server.says(ok(), NO_ANSWER, NO_ANSWER)
    client.get("J")
    with pytest.raises(ServiceUnavailable, match="no answer"):
        client.get("J")


def test_a_request_cut_on_a_new_connection_is_not_repeated(client: Client, server: Server) -> None:
    server.says(NO_ANSWER)
    with pytest.raises(ServiceUnavailable, match="no answer"):
        client.get("J")


def test_a_request_that_timed_out_on_a_kept_connection_is_not_repeated(server: Server) -> None:
    server.says(ok(), SILENCE)
    with Client(server.url, KEY, timeout_s=TIMEOUT_S) as client:
        client.get("J")
        with pytest.raises(ServiceUnavailable, match="Timeout"):
            client.get("J")


@pytest.mark.parametrize(
    "trouble", [page(200), page(502), cut(ok(), 9), ok(status="exploded"), answer(500, b"x" * 99_999)]
)
def test_the_rest_of_a_bad_answer_does_not_reach_the_next_request(
    client: Client, server: Server, trouble: Answer
) -> None:
    server.says(trouble, ok())
    with pytest.raises(ServiceUnavailable):
        client.get("J")
    assert client.get("J").succeeded == 412


def test_a_server_may_close_the_connection_after_each_answer(client: Client, server: Server) -> None:
    closing = Answer(ok({"Connection": "close"}).raw, cut=True)
    server.says(closing, closing)
    assert client.get("J") == client.get("J")
    assert server.connections == 2


def test_a_closed_client_connects_again(client: Client, server: Server) -> None:
    server.says(ok(), ok())
    client.get("J")
    client.close()
    client.get("J")
    assert server.connections == 2
