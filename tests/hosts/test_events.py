"""Events in somebody else's Flask application: the host says who listens, for as long as the stream lasts."""

from typing import Any

import flask
import pytest

from batchstatus import JobStore
from batchstatus.web import Caller
from batchstatus.web.live.ticking import release_held

ORG = "org_acme"
PATH = "/imports/batch-import/jobs/job-1/events"


@pytest.fixture
def job_id(store: JobStore) -> Any:
    yield store.create(ORG, "transaction_batch", job_id="job-1").job_id
    release_held()


def test_a_stream_lasts_until_its_job_ends(register: Any, store: JobStore, clerk: Caller, job_id: str) -> None:
    answer = register(authorize=lambda _: clerk).test_client().get(PATH, buffered=False)
    pieces = answer.iter_encoded()
    assert (answer.status_code, answer.content_type) == (200, "text/event-stream")
    assert next(pieces).startswith(b"retry: ")
    assert b'"status":"queued"' in next(pieces)
    store.control(ORG, job_id, "cancel")
    assert b'"status":"cancelled"' in b"".join(pieces)


def test_who_is_no_longer_known_to_the_host_hears_no_more(register: Any, clerk: Caller, job_id: str) -> None:
    known = [clerk]

    def authorize(request: flask.Request) -> Caller | None:
        assert flask.request.path == request.path  # in a context, as at the start
        return known[0] if known else None

    pieces = register(authorize=authorize).test_client().get(PATH, buffered=False).iter_encoded()
    assert [next(pieces)[:5], next(pieces)[:5]] == [b"retry", b"event"]
    known.clear()
    rest = b"".join(pieces)
    assert rest.startswith(b"event: error\n")
    assert b'"UNAUTHENTICATED"' in rest


def test_a_listener_takes_the_room_of_a_held_request(register: Any, clerk: Caller, job_id: str) -> None:
    client = register(authorize=lambda _: clerk, max_held=1).test_client()
    first = client.get(PATH, buffered=False)
    assert next(first.iter_encoded())[:5] == b"retry"
    second = client.get(PATH)
    assert (second.status_code, second.json["error"]["code"]) == (503, "TOO_MANY_LISTENERS")
    first.close()
