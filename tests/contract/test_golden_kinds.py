"""What every route answers for the three published kinds, byte for byte, as it was before kinds became data.

`golden/kinds.json` was captured then. `python -m tests.contract.test_golden_kinds` prints what it would be now.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fakeredis
import pytest
import redis
from flask.testing import FlaskClient

from batchstatus import JobStore, Kind
from batchstatus.model.keys import Keys
from batchstatus.web import create_app
from tests.support.wire import CSV, FAILURES, INCLUDE_FAILURES, JOB, LEGACY_CSV, ORG, bearer, ms, put_job

GOLDEN = Path(__file__).parent / "golden" / "kinds.json"
PERMISSION = {
    Kind.TRANSACTION_BATCH: "transactions:create",
    Kind.USER_EVENT_BATCH: "events:create",
    Kind.ENTITY_AUTOMATIC: "entities:bulk_import",
}
ROWS: dict[Kind, dict[str, list[str]]] = {
    Kind.TRANSACTION_BATCH: {
        "failures": [
            '{"externalId":"=T-7","code":"VALIDATION_ERROR","message":"no, \\"amount\\""}',
            '{"externalId":null,"code":"OUR_OWN_CODE","message":"größer als 1 €","line":5}',
            '{"outcome":"failed"}',
            "free text of an older worker",
        ],
        "skips": ['{"externalId":"T-2","code":"SKIPPED_DUPLICATE_TAX_ID"}'],
    },
    Kind.USER_EVENT_BATCH: {
        "failures": [
            '{"rowKey":"row_5","code":"ENTITY_NOT_FOUND","message":"@no such\\r\\nentity"}',
            '{"rowKey":"row_6","code":""}',
            "",
        ],
    },
    Kind.ENTITY_AUTOMATIC: {
        "failures": [
            '{"taxId":"20123456789","type":"company","outcome":"failed","code":"TAX_ID_TYPE_MISMATCH","message":"-"}',
            '{"taxId":"30","type":null,"outcome":"rejected","code":"A2","message":"+1","line":1}',
            '{"code":"AB"}',
            "free text",
        ],
        "skips": [
            '{"taxId":"30111222333","type":"person","outcome":"skipped_existing","code":"SKIPPED_DUPLICATE_TAX_ID"}',
            '{"type":"person"}',
            "free text",
        ],
    },
}
FAILURE = '{"code":"INVALID_ENTITY_REFERENCES","message":"unknown","details":["E-1"]}'


def answers(client: "redis.Redis", web: FlaskClient, keys: dict[str, str]) -> dict[str, Any]:
    """Returns status, headers and body of every route for jobs of each kind."""
    index = Keys("batchstatus")
    for number, kind in enumerate(Kind):
        created = ms("2026-11-23T15:03:00.000Z") + number
        common: dict[str, Any] = {"kind": kind.value, "createdAt": created}
        put_job(client, f"{kind}-done", **common, status="completed", totalItems=9, succeeded=2, **ROWS[kind])
        put_job(client, f"{kind}-aborted", **common, status="failed", jobFailure=FAILURE)
        put_job(client, f"{kind}-queued", **common)
        for status, state in {"completed": "done", "failed": "aborted", "queued": "queued"}.items():
            job_id = f"{kind}-{state}"
            client.zadd(index.index(ORG, kind, status), {job_id: created})  # type: ignore[arg-type]
    found: dict[str, Any] = {}

    def ask(path: str, may: str = "transactions:create", **body: Any) -> None:
        method = "POST" if body else "GET"
        answer = web.open(path, method=method, headers=bearer(keys[may]), **body)
        headers = {name: value for name, value in answer.headers.items() if name != "X-Request-Id"}
        found[f"{method} {path} {may} {json.dumps(body)}"] = [answer.status_code, headers, answer.text]

    _ask_all(ask)
    return found


def _ask_all(ask: Callable[..., None]) -> None:
    paths = [JOB, INCLUDE_FAILURES, *FAILURES.values(), *CSV.values(), LEGACY_CSV]
    for kind in Kind:
        for path in paths:
            for state in ("done", "aborted", "queued"):
                ask(path.format(f"{kind}-{state}"))
    for query in (
        "",
        "?kind=entity_automatic",
        "?kind=transaction_batch,user_event_batch&status=failed",
        "?kind=x",
    ):
        ask(f"/batch-import/jobs{query}")
    ask("/batch-import/jobs", "transactions:read")
    for kind in Kind:
        control = f"/batch-import/jobs/{kind}-queued/control"
        for wrong in ({"kind": "x"}, {"kind": 1}, {"action": "stop"}, {}):
            ask(control, json={"kind": kind.value, "action": "cancel", **wrong} if wrong else {"x": 1})
        for other in Kind:
            ask(control, PERMISSION[other], json={"kind": kind.value, "action": "pause"})
            ask(control, PERMISSION[other], json={"kind": other.value, "action": "pause"})


def captured(client: "redis.Redis") -> dict[str, Any]:
    """Returns the answers of the service over an empty store."""
    store = JobStore(client)
    every = ["transactions:read", *PERMISSION.values()]
    keys = {each: store.api_keys.create(ORG, [each])[0] for each in every}
    return answers(client, create_app(store).test_client(), keys)


@pytest.fixture(scope="module")
def now() -> dict[str, Any]:
    with fakeredis.FakeRedis() as client:
        return captured(client)


EXPECTED: dict[str, Any] = json.loads(GOLDEN.read_text()) if GOLDEN.exists() else {}


@pytest.mark.parametrize("request_line", EXPECTED)
def test_a_published_kind_is_answered_as_ever(now: dict[str, Any], request_line: str) -> None:
    assert now[request_line] == EXPECTED[request_line]


def test_no_answer_was_left_out(now: dict[str, Any]) -> None:
    assert now.keys() == EXPECTED.keys()
    assert len(now) > 100


if __name__ == "__main__":
    with fakeredis.FakeRedis() as redis_client:
        print(json.dumps(captured(redis_client), indent=1, ensure_ascii=False))  # noqa: T201
