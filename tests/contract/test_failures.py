"""Failed rows as JSON (contract §3): one body from two routes, the first 500 rows of each list, full counts."""

import json
import threading

import pytest
import redis
from flask.testing import FlaskClient

from batchstatus import JobStore, Kind
from batchstatus.model.keys import Keys
from batchstatus.model.messages import Batch
from batchstatus.protocol import verbs
from batchstatus.settings import StoreSettings
from batchstatus.transport.connection import Connection
from batchstatus.web import create_app
from tests.support.wire import (
    FAILED_ROW,
    FAILURES,
    INCLUDE_FAILURES,
    NAME,
    ORG,
    STATES,
    bearer,
    failed_row,
    get,
    job_in,
    put_job,
    run_to_the_end,
)


@pytest.mark.parametrize("kind", Kind)
@pytest.mark.parametrize("state", STATES)
def test_include_failures_equals_the_kinds_own_route_byte_for_byte(
    web: FlaskClient, store: JobStore, api_key: str, state: str, kind: Kind
) -> None:
    with job_in(state, store, kind) as job:
        included = get(web, INCLUDE_FAILURES.format(job.job_id), api_key)
        own = get(web, FAILURES[kind].format(job.job_id), api_key)
    assert (included.status_code, included.data) == (200, own.data)


@pytest.mark.parametrize(
    "query", ["include=failures,failures", "include=failures&include=failures", "include=,failures"]
)
def test_include_is_a_list_in_which_repeats_change_nothing(
    web: FlaskClient, client: "redis.Redis", api_key: str, query: str
) -> None:
    put_job(client, "job_1", failures=["a row"])
    listed = get(web, f"/batch-import/jobs/job_1?{query}", api_key)
    assert listed.data == get(web, INCLUDE_FAILURES.format("job_1"), api_key).data


@pytest.mark.parametrize("kind", Kind)
@pytest.mark.parametrize(
    ("failed", "shown", "truncated"), [(499, 499, False), (500, 500, False), (501, 500, True)]
)
def test_the_first_500_failed_rows_are_shown_and_all_are_counted(
    web: FlaskClient, store: JobStore, api_key: str, kind: Kind, failed: int, shown: int, truncated: bool
) -> None:
    rows = [failed_row(kind, number) for number in range(1, failed + 1)]
    job_id = run_to_the_end(store, store.create(ORG, kind), *rows)
    body = get(web, FAILURES[kind].format(job_id), api_key).json
    assert body["failures"] == rows[:shown]
    assert (body["truncated"], body["failuresTotal"], body["failed"]) == (truncated, failed, failed)


def test_the_first_500_skipped_entities_are_shown_and_all_are_counted(
    web: FlaskClient, store: JobStore, api_key: str
) -> None:
    job_id = run_to_the_end(store, store.create(ORG, "entity_automatic"), skips=501)
    body = get(web, FAILURES[Kind.ENTITY_AUTOMATIC].format(job_id), api_key).json
    assert [row["taxId"] for row in body["skips"]] == [f"S-{number}" for number in range(1, 501)]
    assert (body["skipsTotal"], body["skipped"]) == (501, 501)
    assert (body["failures"], body["truncated"], body["failuresTotal"]) == ([], False, 0)


@pytest.mark.parametrize("kind", Kind)
def test_rows_beyond_the_storage_limit_are_still_counted(client: "redis.Redis", api_key: str, kind: Kind) -> None:
    store = JobStore(client, StoreSettings(max_rows=3))
    web = create_app(store).test_client()
    rows = [failed_row(kind, number) for number in range(1, 6)]
    job_id = run_to_the_end(store, store.create(ORG, kind), *rows, skips=4)
    body = get(web, FAILURES[kind].format(job_id), api_key).json
    assert body["failures"] == rows[:3]
    assert (body["truncated"], body["failuresTotal"], body["failed"], body["skipped"]) == (True, 5, 5, 4)
    if kind is Kind.ENTITY_AUTOMATIC:
        assert (len(body["skips"]), body["skipsTotal"]) == (3, 4)


@pytest.mark.parametrize("kind", Kind)
def test_a_job_that_aborts_before_its_first_row_has_empty_lists(
    web: FlaskClient, store: JobStore, api_key: str, kind: Kind
) -> None:
    job = store.create(ORG, kind, total_items=3)
    with pytest.raises(RuntimeError), store.run(ORG, job.job_id):
        raise RuntimeError("before the first row")
    body = get(web, FAILURES[kind].format(job.job_id), api_key).json
    assert (body["status"], body["jobFailure"]["code"]) == ("failed", "WORKER_ERROR")
    assert (body["failures"], body["truncated"], body["failuresTotal"]) == ([], False, 0)
    assert body.get("skips", []) == []


def test_counters_and_rows_are_one_snapshot_while_a_worker_reports(
    real_store: JobStore, redis_client: "redis.Redis"
) -> None:
    key, _ = real_store.api_keys.create(ORG, ["events:create"])
    job = real_store.create(ORG, "entity_automatic")
    keys, connection = Keys("batchstatus").job(ORG, job.job_id), Connection(redis_client)
    claim, batch = verbs.claim(connection, keys, "t"), Batch(failures=({"taxId": "1"},), skips=({"taxId": "2"},))

    together = threading.Barrier(2, timeout=30)  # ten reports per poll, however fast either side is

    def report() -> None:
        for seq in range(1, 401):
            if seq % 10 == 1:
                together.wait()
            verbs.report(connection, keys, claim, seq, batch)

    worker = threading.Thread(target=report)
    worker.start()
    seen = set()
    web = create_app(real_store).test_client()
    for _ in range(40):
        together.wait()
        body = web.get(FAILURES[Kind.ENTITY_AUTOMATIC].format(job.job_id), headers=bearer(key)).json
        moment = {len(body["failures"]), body["failuresTotal"], len(body["skips"]), body["skipsTotal"]}
        assert len(moment) == 1
        seen |= moment
    worker.join()
    assert len(seen) > 10


UNNAMED = {
    Kind.TRANSACTION_BATCH: {"externalId": None},
    Kind.USER_EVENT_BATCH: {"rowKey": None},
    Kind.ENTITY_AUTOMATIC: {"taxId": None, "type": None, "outcome": "failed"},
}


@pytest.mark.parametrize("kind", Kind)
@pytest.mark.parametrize(
    ("stored", "message"),
    [
        (b"row 7: no amount", "row 7: no amount"),
        ("Zeile 7: ungültig".encode(), "Zeile 7: ungültig"),
        (b"caf\xe9", "caf\ufffd"),
        (b"7", "7"),
        (b"null", "null"),
        (b'["a", "b"]', '["a", "b"]'),
        (b"{broken", "{broken"),
        (b"", ""),
    ],
)
def test_a_row_stored_as_free_text_reads_as_a_processing_error(
    web: FlaskClient, client: "redis.Redis", api_key: str, kind: Kind, stored: bytes, message: str
) -> None:
    put_job(client, "job_1", kind=kind, failures=[stored])
    response = get(web, FAILURES[kind].format("job_1"), api_key)
    assert response.json["failures"] == [UNNAMED[kind] | {"code": "PROCESSING_ERROR", "message": message}]


def test_a_row_nested_too_deep_to_parse_reads_as_free_text(
    web: FlaskClient, client: "redis.Redis", api_key: str
) -> None:
    put_job(client, "job_1", failures=[b"[" * 5_000])
    row = get(web, INCLUDE_FAILURES.format("job_1"), api_key).json["failures"][0]
    assert (row["code"], row["message"][:3]) == ("PROCESSING_ERROR", "[[[")


@pytest.mark.parametrize("kind", Kind)
@pytest.mark.parametrize("code", ["", ', "code": null', ', "code": ""'], ids=["none", "null", "empty"])
def test_a_row_stored_without_a_code_reads_as_a_processing_error(
    web: FlaskClient, client: "redis.Redis", api_key: str, kind: Kind, code: str
) -> None:
    put_job(client, "job_1", kind=kind, failures=[f'{{"{NAME[kind]}": "R-7", "message": "no amount"{code}}}'])
    response = get(web, FAILURES[kind].format("job_1"), api_key)
    row = UNNAMED[kind] | {NAME[kind]: "R-7", "code": "PROCESSING_ERROR", "message": "no amount"}
    assert response.json["failures"] == [row]


@pytest.mark.parametrize("kind", Kind)
def test_a_row_stored_without_a_message_has_an_empty_one(
    web: FlaskClient, client: "redis.Redis", api_key: str, kind: Kind
) -> None:
    put_job(client, "job_1", kind=kind, failures=[f'{{"{NAME[kind]}": "R-7", "code": "VALIDATION_ERROR"}}'])
    response = get(web, FAILURES[kind].format("job_1"), api_key)
    assert response.json["failures"] == [
        UNNAMED[kind] | {NAME[kind]: "R-7", "code": "VALIDATION_ERROR", "message": ""}
    ]


@pytest.mark.parametrize("kind", Kind)
def test_a_row_that_cannot_be_encoded_does_not_hide_the_others(
    web: FlaskClient, client: "redis.Redis", api_key: str, kind: Kind
) -> None:
    half_a_surrogate = f'{{"{NAME[kind]}": "R-1", "code": "VALIDATION_ERROR", "message": "caf\\udce9"}}'
    whole = f'{{"{NAME[kind]}": "R-2", "code": "VALIDATION_ERROR", "message": "no amount"}}'
    put_job(client, "job_1", kind=kind, failures=[half_a_surrogate, whole])
    response = get(web, FAILURES[kind].format("job_1"), api_key)
    assert response.status_code == 200
    assert [row[NAME[kind]] for row in response.json["failures"]] == ["R-1", "R-2"]


def test_a_skip_stored_without_an_outcome_gets_the_default_one(
    web: FlaskClient, client: "redis.Redis", api_key: str
) -> None:
    row = {"taxId": "1", "type": "person", "code": "SKIPPED_ENTITY_ALREADY_EXISTS"}
    put_job(client, "job_1", kind="entity_automatic", skips=[json.dumps(row)])
    response = get(web, FAILURES[Kind.ENTITY_AUTOMATIC].format("job_1"), api_key)
    assert response.json["skips"] == [row | {"outcome": "skipped_existing"}]


@pytest.mark.parametrize("kind", Kind)
def test_unknown_members_of_a_row_are_not_sent(
    web: FlaskClient, client: "redis.Redis", api_key: str, kind: Kind
) -> None:
    stored = json.dumps(FAILED_ROW[kind] | {"line": 7, "secret": "x"})
    put_job(client, "job_1", kind=kind, failures=[stored])
    response = get(web, FAILURES[kind].format("job_1"), api_key)
    assert response.json["failures"] == [FAILED_ROW[kind]]
