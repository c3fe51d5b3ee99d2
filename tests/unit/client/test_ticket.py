"""Tickets: one POST, whose answer is a ticket and a time."""

import json
from datetime import UTC, datetime

import pytest

from batchstatus.client import Client
from batchstatus.model.errors import InvalidValue, JobNotFound, Refused, ServiceUnavailable
from tests.unit.client.answers import Answer, answer, error, page
from tests.unit.client.service import KEY, Server

MINTED = {"success": True, "ticket": "bst_secret", "expiresAt": "2026-11-23T15:19:05.123Z"}


def minted(**members: object) -> Answer:
    return answer(201, json.dumps({**MINTED, **members}).encode())


@pytest.mark.parametrize(
    ("arguments", "sent"),
    [({}, {"seconds": 900}), ({"job_id": "J", "seconds": 60}, {"jobId": "J", "seconds": 60})],
)
def test_a_ticket_comes_with_its_end(client: Client, server: Server, arguments: dict, sent: dict) -> None:  # type: ignore[type-arg]
    server.says(minted())
    assert client.ticket(**arguments) == ("bst_secret", datetime(2026, 11, 23, 15, 19, 5, 123_000, UTC))
    (post,) = server.requests
    assert (post.method, post.target) == ("POST", "/batch-import/tickets")
    assert json.loads(post.body) == sent
    assert post.headers["authorization"] == f"Bearer {KEY}"


@pytest.mark.parametrize(
    ("said", "raised"),
    [
        (error(400, "INVALID_REQUEST"), InvalidValue),
        (error(401, "UNAUTHENTICATED"), Refused),
        (error(403, "FORBIDDEN"), Refused),
        (error(404, "JOB_NOT_FOUND"), JobNotFound),
        (error(503, "STORE_UNAVAILABLE"), ServiceUnavailable),
        (page(201), ServiceUnavailable),
        (minted(ticket=None), ServiceUnavailable),
        (minted(expiresAt="soon"), ServiceUnavailable),
    ],
)
def test_every_other_answer_raises(client: Client, server: Server, said: Answer, raised: type[Exception]) -> None:
    server.says(said)
    with pytest.raises(raised):
        client.ticket("J")
