"""`GET /openapi.json` is valid OpenAPI 3.1 and describes exactly the behaviour of the service."""

from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

import jsonschema_rs
import orjson
import pytest
import redis
from flask.testing import FlaskClient
from schemathesis.specs.openapi.definitions import OPENAPI_31
from werkzeug.test import TestResponse

from batchstatus import JobAborted, JobCancelled, JobStore, Kind
from batchstatus.model.job import CONTROL_FLAGS
from batchstatus.model.keys import Keys
from batchstatus.model.kinds import PUBLISHED
from batchstatus.settings import StoreSettings
from batchstatus.web import create_app
from batchstatus.web.views.openapi import ERRORS, document
from tests.conftest import ORG

ALL = ["transactions:create", "events:create", "entities:bulk_import", "jobs:run"]
DOCUMENT = orjson.loads(orjson.dumps(document(PUBLISHED)))
OPERATIONS = [(method, path) for path, operations in DOCUMENT["paths"].items() for method in operations]
ROWS: dict[Kind, dict[str, Any]] = {
    Kind.TRANSACTION_BATCH: {"externalId": "T-1"},
    Kind.USER_EVENT_BATCH: {"rowKey": "row_5"},
    Kind.ENTITY_AUTOMATIC: {"taxId": "20123456789", "type": "company"},
}
each_operation = pytest.mark.parametrize(("method", "path"), OPERATIONS, ids=map(" ".join, OPERATIONS))


def closed(schemas: dict[str, Any]) -> dict[str, Any]:
    """Returns the schemas so that they forbid what they do not name: nothing goes undescribed."""
    return {name: {"additionalProperties": False, **each} for name, each in schemas.items()}


CLOSED = {**DOCUMENT["components"], "schemas": closed(DOCUMENT["components"]["schemas"])}


def validate(schema: dict[str, Any], value: Any) -> None:
    """Validate a value against a schema of the document. Members that it does not name are errors."""
    whole = {**schema, "components": CLOSED}
    jsonschema_rs.Draft202012Validator(whole, validate_formats=True).validate(value)


def resolved(described: dict[str, Any]) -> dict[str, Any]:
    """Returns a description with its `$ref` resolved."""
    for name in described.get("$ref", "#").split("/")[1:]:
        described = DOCUMENT[name] if name == "components" else described[name]
    return described


def assert_described(method: str, path: str, answer: TestResponse) -> None:
    """Assert that status, headers, media type and body of the answer match the document."""
    described = resolved(DOCUMENT["paths"][path][method]["responses"][str(answer.status_code)])
    for name, header in described["headers"].items():
        header = resolved(header)
        if header.get("required") or name in answer.headers:
            value: Any = answer.headers[name]
            validate(header["schema"], int(value) if header["schema"]["type"] == "integer" else value)
    if not described["content"]:
        assert answer.data == b""
        return
    ((media_type, content),) = described["content"].items()
    assert answer.headers["Content-Type"] == media_type
    validate(content["schema"], answer.json if media_type == "application/json" else answer.text)
    if answer.status_code >= 400:
        assert answer.json["error"]["code"] in ERRORS[answer.status_code][0]


# The document


def test_the_document_and_its_schemas_are_valid_openapi_3_1() -> None:
    jsonschema_rs.Draft202012Validator(OPENAPI_31).validate(DOCUMENT)
    assert DOCUMENT["openapi"].startswith("3.1.")
    for schema in DOCUMENT["components"]["schemas"].values():
        jsonschema_rs.meta.validate({"$schema": "https://json-schema.org/draft/2020-12/schema", **schema})


def test_each_schema_has_a_description_and_valid_examples() -> None:
    exemplified = 0
    for schema in DOCUMENT["components"]["schemas"].values():
        assert schema["description"]
        for example in schema.get("examples", ()):
            validate(schema, example)
            exemplified += 1
    assert exemplified >= 4


def test_each_member_and_each_parameter_says_what_it_is() -> None:
    silent = [
        (name, member)
        for name, schema in DOCUMENT["components"]["schemas"].items()
        for member, described in schema.get("properties", {}).items()
        if not {"description", "$ref"} & described.keys() and "$ref" not in str(described.get("anyOf"))
    ]
    parameters = [
        resolved(each)
        for method, path in OPERATIONS
        for each in DOCUMENT["paths"][path][method].get("parameters", ())
    ]
    assert silent == [each["name"] for each in parameters if not each.get("description")] == []


def test_all_errors_are_one_schema_and_each_status_one_response() -> None:
    for method, path in OPERATIONS:
        for status, described in DOCUMENT["paths"][path][method]["responses"].items():
            if int(status) >= 400:
                assert described == {"$ref": f"#/components/responses/{status}"}
    for shared in DOCUMENT["components"]["responses"].values():
        assert shared["content"] == {
            "application/json": {"schema": {"$ref": "#/components/schemas/ErrorResponse"}}
        }


def test_each_operation_has_one_type_of_answer() -> None:
    for method, path in OPERATIONS:
        for status, described in DOCUMENT["paths"][path][method]["responses"].items():
            (content,) = resolved(described)["content"].values() or [{"schema": {}}]
            assert not {"oneOf", "anyOf", "allOf"} & content["schema"].keys(), (path, status)


def test_answers_may_grow_and_requests_may_not() -> None:
    schemas = DOCUMENT["components"]["schemas"]
    sent = {
        described["requestBody"]["content"]["application/json"]["schema"]["$ref"].rsplit("/", 1)[-1]
        for method, path in OPERATIONS
        if "requestBody" in (described := DOCUMENT["paths"][path][method])
    }
    assert {name for name, each in schemas.items() if each.get("additionalProperties") is False} == sent
    grown = {**DOCUMENT["components"]["schemas"]["JobResponse"]["examples"][0], "more": 1}
    grown["job"] = {**grown["job"], "status": "dreaming", "kind": "parcel", "more": 1}
    lenient = {"$ref": "#/components/schemas/JobResponse", "components": DOCUMENT["components"]}
    jsonschema_rs.Draft202012Validator(lenient).validate(grown)


def test_the_flags_of_control_are_typed() -> None:
    metadata = DOCUMENT["components"]["schemas"]["Job"]["properties"]["metadata"]
    assert {name: each["type"] for name, each in metadata["properties"].items()} == dict.fromkeys(
        CONTROL_FLAGS, "boolean"
    )
    assert metadata["additionalProperties"] == {}


def test_the_document_describes_exactly_the_routes_of_the_service(web: FlaskClient) -> None:
    routes = {
        (method.lower(), rule.rule.replace("<job_id>", "{jobId}").replace("<run_id>", "{runId}"))
        for rule in web.application.url_map.iter_rules()
        if not rule.rule.startswith("/ui")  # pages are for people
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }
    assert set(OPERATIONS) == routes
    assert len({DOCUMENT["paths"][path][method]["operationId"] for method, path in OPERATIONS}) == len(routes)


@each_operation
def test_an_operation_needs_a_key_exactly_if_the_document_says_so(
    web: FlaskClient, method: str, path: str
) -> None:
    answer = web.open(path.replace("{jobId}", "job_1").replace("{runId}", "run_1"), method=method)
    needs_a_key = DOCUMENT["paths"][path][method]["security"] == [{"apiKey": []}]
    assert (answer.status_code == 401) is needs_a_key is path.startswith(("/batch-import", "/entities"))
    assert_described(method, path, answer)


def test_the_document_is_served_without_a_key(web: FlaskClient) -> None:
    assert web.get("/openapi.json").json == DOCUMENT


# The answers


@pytest.fixture
def ask(web: FlaskClient, store: JobStore) -> Callable[..., TestResponse]:
    """Returns a function that sends a request with all permissions, or `may` alone, and checks the answer."""
    keys = {None: store.api_keys.create(ORG, ALL)[0]}

    def send(
        method: str, path: str, job_id: str = "x", query: str = "", may: Any = None, run_id: str = "", **more: Any
    ) -> TestResponse:
        key = keys.get(may) or store.api_keys.create(ORG, [may])[0]
        headers = {"Authorization": f"Bearer {key}", **more.pop("headers", {})}
        answer = web.open(
            path.replace("{jobId}", job_id).replace("{runId}", run_id) + query,
            method=method,
            headers=headers,
            **more,
        )
        assert_described(method, path, answer)
        return answer

    return send


ENDINGS: dict[str, BaseException | None] = {
    "completed": None,
    "aborted": JobAborted("INVALID_ENTITY_REFERENCES", "no such entity", {"rows": [5, 8]}),
    "failed": ZeroDivisionError("by zero"),
    "cancelled": JobCancelled(),
    "interrupted": SystemExit(),
}


@pytest.mark.parametrize("kind", Kind)
@pytest.mark.parametrize("ending", ENDINGS)
def test_answers_for_ended_jobs_match_the_document(
    web: FlaskClient, store: JobStore, ask: Callable[..., TestResponse], kind: Kind, ending: str
) -> None:
    job, error = store.create(ORG, kind, metadata={"fileName": "a.csv", "n": [1, None]}), ENDINGS[ending]
    with suppress(JobAborted, ZeroDivisionError, SystemExit), store.run(ORG, job.job_id) as run:
        run.total(10)
        run.failed({**ROWS[kind], "code": "VALIDATION_ERROR", "message": "no amount"})
        run.skipped({**ROWS[kind], "code": "SKIPPED_DUPLICATE_TAX_ID"})
        if error:
            raise error
    assert store.get(ORG, job.job_id).status == ending.replace("aborted", "failed")
    reading = [path for method, path in OPERATIONS if method == "get" and "{jobId}" in path]
    assert {ask("get", path, job.job_id).status_code for path in reading} == {200, 404}
    own = next(path for path in reading if DOCUMENT["paths"][path]["get"].get("x-kind") == kind)
    key, _ = store.api_keys.create(ORG, ALL)
    included = web.get(
        f"/batch-import/jobs/{job.job_id}?include=failures", headers={"Authorization": f"Bearer {key}"}
    )
    assert (included.status_code, included.json["failuresTotal"]) == (200, 1)
    assert included.data == ask("get", own, job.job_id).data


def test_answers_for_a_running_job_match_the_document(store: JobStore, ask: Callable[..., TestResponse]) -> None:
    job = store.create(ORG, "entity_automatic")
    poll = partial(ask, "get", "/batch-import/jobs/{jobId}", job.job_id)
    control = partial(ask, "post", "/batch-import/jobs/{jobId}/control", job.job_id)
    assert poll().json["job"]["status"] == "queued"
    with store.run(ORG, job.job_id):
        for action in ("pause", "resume", "cancel"):
            answer = control(json={"kind": job.kind, "action": action})
            assert answer.json["job"]["metadata"].keys() == poll().json["job"]["metadata"].keys()


def test_a_304_matches_the_document(store: JobStore, ask: Callable[..., TestResponse]) -> None:
    job = store.create(ORG, "entity_automatic")
    poll = partial(ask, "get", "/batch-import/jobs/{jobId}", job.job_id)
    first = poll()
    again = poll(headers={"If-None-Match": first.headers["ETag"]})
    assert (again.status_code, again.headers["ETag"]) == (304, first.headers["ETag"])
    assert again.headers["Retry-After"] == first.headers["Retry-After"]


RUNS = "/batch-import/jobs/{jobId}/runs"
REPORTS, FINISH = f"{RUNS}/{{runId}}/reports", f"{RUNS}/{{runId}}/finish"


def refused_workers(store: JobStore, ask: Callable[..., TestResponse]) -> list[TestResponse]:
    """Returns each answer that refuses a worker over HTTP."""
    job = store.create(ORG, "transaction_batch", job_id="november")
    token = {"token": "0123456789abcdef"}
    run_id = ask("post", RUNS, job.job_id, json=token).json["run"]["runId"]
    report = partial(ask, "post", REPORTS, job.job_id, run_id=run_id)
    return [
        ask("post", "/batch-import/jobs", json={"kind": "user_event_batch", "jobId": "november"}),
        ask("post", RUNS, job.job_id, json={"token": "f" * 16}),
        report(json={"seq": 3, "succeeded": 1}),
        report(json={"seq": 1, "failures": [{}] * 1_001}),
        ask("post", "/batch-import/jobs/{jobId}/parts", job.job_id, json={"parts": 2}),
        ask("post", FINISH, job.job_id, run_id="none", json={"status": "completed", "seq": 0}),
    ]


@pytest.mark.parametrize("kind", Kind)
def test_answers_to_a_worker_match_the_document(
    store: JobStore, ask: Callable[..., TestResponse], kind: Kind
) -> None:
    made = ask("post", "/batch-import/jobs", json={"kind": kind, "totalItems": 3})
    job_id = made.json["job"]["jobId"]
    run_id = ask("post", RUNS, job_id, json={"token": "0123456789abcdef"}).json["run"]["runId"]
    row = {**ROWS[kind], "code": "VALIDATION_ERROR", "message": "no amount"}
    checkpoints = (5, "x", [1], {"a": None}, False, 2**70)
    for seq, checkpoint in enumerate(checkpoints, 1):
        report = {"seq": seq, "succeeded": 1, "failures": [row], "checkpoint": checkpoint}
        assert ask("post", REPORTS, job_id, run_id=run_id, json=report).json["run"]["checkpoint"] == checkpoint
    ended = ask("post", FINISH, job_id, run_id=run_id, json={"status": "completed", "seq": len(checkpoints)})
    assert (ended.status_code, ended.json["job"]["status"]) == (200, "completed")


def test_the_parts_of_a_split_job_match_the_document(store: JobStore, ask: Callable[..., TestResponse]) -> None:
    job_id = ask("post", "/batch-import/jobs", json={"kind": "transaction_batch", "parts": 2}).json["job"]["jobId"]
    assert ask("post", "/batch-import/jobs/{jobId}/parts", job_id, json={"parts": 2}).status_code == 200
    run = ask("post", RUNS, job_id, json={"token": "0123456789abcdef", "part": 2}).json["run"]
    assert (
        ask("post", REPORTS, job_id, run_id=run["runId"], json={"seq": 1, "succeeded": 1}).json["run"]["part"] == 2
    )
    body = ask("get", "/batch-import/jobs/{jobId}", job_id, "?include=parts,progress").json
    assert [part["succeeded"] for part in body["parts"]] == [0, 1]


def test_every_error_matches_the_document(
    store: JobStore, client: "redis.Redis", ask: Callable[..., TestResponse]
) -> None:
    job, pause = store.create(ORG, "transaction_batch"), {"kind": "transaction_batch", "action": "pause"}
    poll = partial(ask, "get", "/batch-import/jobs/{jobId}")
    control = partial(ask, "post", "/batch-import/jobs/{jobId}/control")
    seen = [poll(), control(), poll(job.job_id, "?include=rows"), poll(job.job_id, may="transactions:read")]
    seen += [control(job.job_id, data=b"{"), control(job.job_id, json={"kind": 1, "x": 2})]
    seen += [
        control(job.job_id, data=b" " * 65_537),
        control(job.job_id, json={**pause, "kind": "entity_automatic"}),
    ]
    seen += [control(job.job_id, json=pause, may="events:create")]
    store.control(ORG, job.job_id, "cancel")
    seen += [control(job.job_id, json=pause)]
    client.hset(Keys("batchstatus").job(ORG, job.job_id).job, "failed", "nan")
    seen += [poll(job.job_id), control(job.job_id, json=pause)]
    seen += refused_workers(store, ask)
    found = {(answer.status_code, answer.json["error"]["code"]) for answer in seen}
    elsewhere = {
        (401, "UNAUTHENTICATED"),
        (503, "STORE_UNAVAILABLE"),
        (503, "TOO_MANY_LISTENERS"),
        *((each, "BAD_REQUEST") for each in (400, 408, 414)),
    }
    assert found == {(status, code) for status, (codes, _) in ERRORS.items() for code in codes} - elsewhere


@each_operation
def test_answers_without_a_store_match_the_document(method: str, path: str) -> None:
    web = create_app(JobStore.open("redis://127.0.0.1:1/0", StoreSettings(timeout_s=0.2))).test_client()
    headers = {"Authorization": f"Bearer bsk_{'x' * 43}"}
    answer = web.open(path.replace("{jobId}", "job_1").replace("{runId}", "x"), method=method, headers=headers)
    assert answer.status_code == (200 if path in {"/livez", "/metrics", "/openapi.json"} else 503)
    assert ("Retry-After" in answer.headers) is (answer.status_code == 503)
    assert_described(method, path, answer)
