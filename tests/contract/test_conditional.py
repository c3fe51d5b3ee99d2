"""Conditional reads (contract §7): entity tags, 304, pacing."""

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from batchstatus import JobStore

ORG = "org_acme"
ROW = {"externalId": "T-7", "code": "VALIDATION_ERROR", "message": "amount: missing"}


class Caller:
    """Polls one job."""

    def __init__(self, web: FlaskClient, api_key: str) -> None:
        self._web = web
        self._key = api_key

    def poll(self, query: str = "", **headers: str) -> TestResponse:
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        path = f"/batch-import/jobs/job-1{query}"
        return self._web.get(path, headers={"Authorization": f"Bearer {self._key}", **given})


@pytest.fixture
def caller(web: FlaskClient, api_key: str, store: JobStore) -> Caller:
    store.create(ORG, "transaction_batch", job_id="job-1", total_items=100)
    return Caller(web, api_key)


def test_a_200_carries_a_weak_entity_tag_and_must_be_revalidated(caller: Caller) -> None:
    answer = caller.poll()
    assert answer.status_code == 200
    assert answer.headers["ETag"].startswith('W/"')
    assert answer.headers["Cache-Control"] == "private, no-cache"


@pytest.mark.parametrize("given", ["{tag}", "*", '"other", {tag}', "{strong}", '{tag} , W/"x"'])
def test_a_matching_entity_tag_gives_304_with_the_same_headers(caller: Caller, given: str) -> None:
    first = caller.poll()
    tag = first.headers["ETag"]
    answer = caller.poll(If_None_Match=given.format(tag=tag, strong=tag.removeprefix("W/")))
    assert (answer.status_code, answer.data) == (304, b"")
    assert "Content-Type" not in answer.headers
    for name in ("ETag", "Cache-Control", "Retry-After"):
        assert answer.headers[name] == first.headers[name]


@pytest.mark.parametrize("given", ["", "nonsense", 'W/"', '"job-1"', ",,,", '"' + "x" * 5_000 + '"', "é"])
def test_a_malformed_or_overlong_entity_tag_is_ignored(caller: Caller, given: str) -> None:
    assert caller.poll(If_None_Match=given).status_code == 200


def test_an_overlong_list_of_entity_tags_is_ignored(caller: Caller) -> None:
    tag = caller.poll().headers["ETag"]
    assert caller.poll(If_None_Match=f'"{"x" * 2_000}", {tag}').status_code == 200


def test_a_heartbeat_keeps_the_entity_tag_and_a_counted_row_changes_it(caller: Caller, store: JobStore) -> None:
    with store.run(ORG, "job-1", flush_s=0.02) as run:
        running = caller.poll()
        first_heartbeat = running.json["job"]["heartbeatAt"]
        while (now := caller.poll()).json["job"]["heartbeatAt"] == first_heartbeat:
            pass
        assert now.headers["ETag"] == running.headers["ETag"]
        run.succeeded()
        while caller.poll().json["job"]["succeeded"] == 0:
            pass
        assert caller.poll(If_None_Match=running.headers["ETag"]).status_code == 200


def test_failures_have_an_entity_tag_of_their_own(caller: Caller, store: JobStore) -> None:
    with store.run(ORG, "job-1") as run:
        run.failed(ROW)
    light, full = caller.poll().headers["ETag"], caller.poll("?include=failures").headers["ETag"]
    assert light != full
    assert caller.poll("?include=failures", If_None_Match=full).status_code == 304
    assert caller.poll("?include=failures", If_None_Match=light).status_code == 200
    assert caller.poll(If_None_Match=full).status_code == 200


def test_a_job_recreated_under_the_same_id_has_another_entity_tag(caller: Caller, store: JobStore, client) -> None:
    before = caller.poll().headers["ETag"]
    created_ms = int(client.hget("batchstatus:{org_acme:job-1}", "createdAt"))
    client.hset("batchstatus:{org_acme:job-1}", "createdAt", created_ms + 1)
    assert caller.poll(If_None_Match=before).status_code == 200


def test_a_304_needs_a_valid_key(caller: Caller, web: FlaskClient) -> None:
    tag = caller.poll().headers["ETag"]
    answer = web.get("/batch-import/jobs/job-1", headers={"If-None-Match": tag})
    assert answer.status_code == 401


def test_retry_after_depends_on_the_jobs_progress(caller: Caller, store: JobStore) -> None:
    # Queued: poll late. All rows but one done: the end is near, poll soon. Ended: do not poll again.
    assert caller.poll().headers["Retry-After"] == "5"
    with store.run(ORG, "job-1", flush_s=0.02) as run:
        run.succeeded(99)
        while caller.poll().json["job"]["succeeded"] == 0:
            pass
        assert caller.poll().headers["Retry-After"] == "2"
    assert "Retry-After" not in caller.poll().headers
