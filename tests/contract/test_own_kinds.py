"""A declared kind has all that the published ones have, on every route; and the published ones are not there."""

from collections import Counter
from contextlib import suppress
from typing import Any

import jsonschema_rs
import orjson
import pytest
import redis
from flask.testing import FlaskClient
from schemathesis.specs.openapi.definitions import OPENAPI_31

from batchstatus import InvalidValue, Job, JobCorrupt, JobStore, Kind
from batchstatus.model.job import Status
from batchstatus.model.keys import Keys
from batchstatus.model.kinds import Kinds
from batchstatus.settings import StoreSettings
from batchstatus.web import create_app
from batchstatus.web.views.openapi import document
from tests.support.own_kinds import ACME, CSV, FAILED, FAILURES, PRICES, PRODUCTS, USER, many_kinds
from tests.support.wire import INCLUDE_FAILURES, JOB, LEGACY_CSV, compact, error_of, get

KINDS = Kinds([PRODUCTS, PRICES, "transaction_batch"])
each_organization = pytest.mark.parametrize("org", [ACME, USER])


@pytest.fixture
def own(client: "redis.Redis") -> JobStore:
    """A store with declared kinds."""
    return JobStore(client, StoreSettings(kinds=KINDS))


@pytest.fixture
def own_web(own: JobStore) -> FlaskClient:
    """The service over `own`."""
    return create_app(own).test_client()


def key(store: JobStore, org: str, *may: str) -> str:
    return store.api_keys.create(org, may or ["products:import"])[0]


def imported(store: JobStore, org: str) -> Job:
    """Returns a completed import of products with a failed and a skipped row."""
    job = store.create(org, "product_import", job_id="job_1")
    with store.run(org, job.job_id) as run:
        run.total(4)
        run.succeeded(2)
        run.failed(FAILED)
        run.skipped({"sku": None})
    return store.get(org, job.job_id)


GOLDEN = """{"success": true, "jobId": "job_1", "kind": "product_import", "status": "completed",
    "totalItems": 4, "succeeded": 2, "failed": 1, "skipped": 1,
    "failures": [{"sku": "A-7", "outcome": "failed", "code": "VALIDATION_ERROR", "message": "no price"}],
    "truncated": false, "failuresTotal": 1,
    "skips": [{"sku": null, "outcome": "skipped", "code": "SKIPPED"}], "skipsTotal": 1}"""


@each_organization
def test_failed_rows_are_answered_under_the_declared_path_and_by_include(
    own: JobStore, own_web: FlaskClient, org: str
) -> None:
    imported(own, org)
    for path in (FAILURES, INCLUDE_FAILURES):
        response = get(own_web, path.format("job_1"), key(own, org))
        assert (response.status_code, response.text) == (200, compact(GOLDEN))
    response = get(own_web, CSV.format("job_1"), key(own, org))
    assert (response.status_code, response.text) == (200, "sku,code,error\r\nA-7,VALIDATION_ERROR,no price\r\n")


def test_columns_come_in_the_declared_order_and_a_kind_without_skips_shows_none(
    own: JobStore, own_web: FlaskClient
) -> None:
    job = own.create(ACME, "price_import")
    with own.run(ACME, job.job_id) as run:
        run.failed({"sku": "=A", "list": 7, "code": "AB", "message": "m"})
        run.skipped({"sku": "B", "list": None})
    path = f"/batch-import/price-jobs/{job.job_id}/failures"
    body = get(own_web, path, key(own, ACME)).json
    assert body["failures"] == [{"sku": "=A", "list": "7", "code": "AB", "message": "m"}]
    assert not body.keys() & {"skips", "skipsTotal"}
    text = get(own_web, f"{path}.csv", key(own, ACME)).text
    assert text == 'reason,price list,sku,"what, in words"\r\nAB,7,\'=A,m\r\n'


@each_organization
def test_a_job_is_polled_listed_and_controlled(own: JobStore, own_web: FlaskClient, org: str) -> None:
    job, may = own.create(org, "product_import"), key(own, org)
    own.create(org, "transaction_batch")
    assert get(own_web, JOB.format(job.job_id), may).json["job"]["kind"] == "product_import"
    listed = get(own_web, "/batch-import/jobs?kind=product_import,price_import", may).json["jobs"]
    assert [each["jobId"] for each in listed] == [job.job_id]
    assert len(get(own_web, "/batch-import/jobs", may).json["jobs"]) == 2
    assert len(get(own_web, f"/batch-import/jobs?ids={job.job_id}", may).json["jobs"]) == 1
    control = f"/batch-import/jobs/{job.job_id}/control"
    asked = {"json": {"kind": "product_import", "action": "cancel"}}
    other = own_web.post(control, headers={"Authorization": f"Bearer {key(own, org, 'prices:import')}"}, **asked)
    assert error_of(other) == (403, "FORBIDDEN")
    done = own_web.post(control, headers={"Authorization": f"Bearer {may}"}, **asked)
    assert done.json["job"]["status"] == "cancelled"


def test_another_organization_whose_name_is_alike_sees_nothing(own: JobStore, own_web: FlaskClient) -> None:
    imported(own, ACME)
    for path in (JOB, INCLUDE_FAILURES, FAILURES, CSV):
        assert error_of(get(own_web, path.format("job_1"), key(own, USER))) == (404, "JOB_NOT_FOUND")
    assert get(own_web, "/batch-import/jobs", key(own, USER)).json["jobs"] == []


def test_a_key_of_an_organization_with_dots_is_listed_and_revoked(own: JobStore) -> None:
    made, record = own.api_keys.create(USER, ["products:import"])
    assert (own.api_keys.verify(made), own.api_keys.list(USER)) == (record, [record])
    own.api_keys.revoke(record.id)
    assert (own.api_keys.verify(made), own.api_keys.list(USER)) == (None, [])


def test_the_permission_of_any_declared_kind_reads_and_no_other_does(own: JobStore, own_web: FlaskClient) -> None:
    imported(own, ACME)
    for may in ("products:import", "prices:import", "transactions:create"):
        assert get(own_web, JOB.format("job_1"), key(own, ACME, may)).status_code == 200
    refused = get(own_web, JOB.format("job_1"), key(own, ACME, "events:create", "entities:bulk_import"))
    assert error_of(refused) == (403, "FORBIDDEN")
    assert refused.json["error"]["message"].endswith("prices:import, products:import, transactions:create.")


@pytest.mark.parametrize(
    "path", ["/batch-import/entity-jobs/{}/failures", "/batch-import/x/{}/failures", LEGACY_CSV]
)
def test_there_is_no_route_of_a_kind_that_is_not_declared(own: JobStore, own_web: FlaskClient, path: str) -> None:
    assert error_of(get(own_web, path.format("job_1"), key(own, ACME))) == (404, "NOT_FOUND")


def test_a_job_of_another_kind_than_its_path_names_is_404(own: JobStore, own_web: FlaskClient) -> None:
    imported(own, ACME)
    for kind in ("price", "transaction"):
        for ending in ("", ".csv"):
            answer = get(own_web, f"/batch-import/{kind}-jobs/job_1/failures{ending}", key(own, ACME))
            assert error_of(answer) == (404, "JOB_NOT_FOUND")


def test_wrong_kinds_are_refused_naming_the_declared_ones(own: JobStore, own_web: FlaskClient) -> None:
    job, may = own.create(ACME, "product_import"), key(own, ACME)
    known = "product_import, price_import, transaction_batch"
    answer = get(own_web, "/batch-import/jobs?kind=user_event_batch", may)
    assert answer.json["error"]["details"]["kind"] == f"unknown: user_event_batch; known: {known}"
    answer = own_web.post(
        f"/batch-import/jobs/{job.job_id}/control",
        headers={"Authorization": f"Bearer {may}"},
        json={"kind": "user_event_batch", "action": "cancel"},
    )
    assert answer.json["error"]["details"]["kind"] == f"Must be one of: {known}."


# The SDK


def test_a_row_is_checked_against_the_declaration(own: JobStore) -> None:
    with own.run(ACME, own.create(ACME, "product_import").job_id) as run:
        with pytest.raises(InvalidValue, match=r"^a product_import row has no member price; it has sku, code, "):
            run.failed({**FAILED, "price": 5})
        with pytest.raises(InvalidValue, match=r"^a product_import row needs sku "):
            run.skipped({})


def test_a_job_of_a_declared_kind_has_its_name_as_text(own: JobStore) -> None:
    job = own.create(ACME, "product_import")
    assert type(job.kind) is type(own.get(ACME, job.job_id).kind) is str
    assert own.create(ACME, "transaction_batch").kind is Kind.TRANSACTION_BATCH
    assert [each.kind for each in own.list(ACME, kinds=["product_import"]).jobs] == ["product_import"]


def test_a_kind_that_is_not_declared_is_refused_naming_the_declared_ones(own: JobStore) -> None:
    for call in (lambda: own.create(ACME, "user_event_batch"), lambda: own.list(ACME, kinds=["user_event_batch"])):
        with pytest.raises(InvalidValue, match=r"product_import, price_import, transaction_batch$"):
            call()


def test_a_worker_that_has_not_declared_the_kind_leaves_the_job_as_it_is(own: JobStore, store: JobStore) -> None:
    job = own.create(ACME, "product_import")
    with pytest.raises(InvalidValue, match=r"^the job's kind b'product_import' is not one of entity_automatic, "):
        store.run(ACME, job.job_id).__enter__()
    assert own.get(ACME, job.job_id) == job


def test_a_worker_that_has_not_declared_the_kind_gives_a_job_back_that_it_takes_over(
    own: JobStore, store: JobStore
) -> None:
    job = own.create(ACME, "product_import", takeover_s=60)
    with suppress(SystemExit), own.run(ACME, job.job_id) as run:
        run.succeeded(checkpoint=1)
        raise SystemExit
    with pytest.raises(InvalidValue, match=r"^the job's kind b'product_import' is not one of "):
        store.run(ACME, job.job_id).__enter__()
    assert "batchAwaitingWorker" in own.get(ACME, job.job_id).metadata
    with own.run(ACME, job.job_id) as run:
        assert run.checkpoint == 1


# A kind that is no longer declared


def test_a_job_of_a_kind_that_is_no_longer_declared_is_damaged_and_never_another(
    own: JobStore, store: JobStore, web: FlaskClient
) -> None:
    job, healthy = imported(own, ACME), store.create(ACME, "transaction_batch")
    may = key(store, ACME, "transactions:create")
    with pytest.raises(JobCorrupt, match=r"kind of job b'job_1' cannot be b'product_import'; declared are "):
        store.get(ACME, job.job_id)
    paths = [JOB, INCLUDE_FAILURES, "/batch-import/jobs?ids={}", "/batch-import/transaction-jobs/{}/failures"]
    for path in (*paths, "/batch-import/transaction-jobs/{}/failures.csv"):
        assert error_of(get(web, path.format("job_1"), may)) == (500, "INTERNAL_ERROR")
    assert [each["jobId"] for each in get(web, "/batch-import/jobs", may).json["jobs"]] == [healthy.job_id]
    assert error_of(get(web, FAILURES.format("job_1"), may)) == (404, "NOT_FOUND")
    assert own.get(ACME, job.job_id) == job


# OpenAPI


def test_the_document_describes_the_declared_kinds_and_no_other(own_web: FlaskClient) -> None:
    served: dict[str, Any] = own_web.get("/openapi.json").json
    jsonschema_rs.Draft202012Validator(OPENAPI_31).validate(served)
    assert served == orjson.loads(orjson.dumps(document(KINDS)))
    rules = {
        rule.rule.replace("<job_id>", "{jobId}").replace("<run_id>", "{runId}")
        for rule in own_web.application.url_map.iter_rules()
    }
    assert served["paths"].keys() == {
        rule for rule in rules if not rule.startswith(("/ui", "/<batchstatus_anything"))
    }
    schemas = served["components"]["schemas"]
    assert schemas["JobKind"]["enum"] == [*KINDS.names]
    for name in ("Control", "Create"):  # a request with another kind is refused
        assert schemas[name]["properties"]["kind"]["$ref"] == "#/components/schemas/JobKind"
    assert "EntityAutomaticFailures" not in served["components"]["schemas"]


def test_the_examples_and_answers_of_a_declared_kind_match_its_schema(own: JobStore, own_web: FlaskClient) -> None:
    served = own_web.get("/openapi.json").json
    imported(own, ACME)
    body = get(own_web, FAILURES.format("job_1"), key(own, ACME)).json
    schema = {**served["components"]["schemas"]["ProductImportFailures"], "components": served["components"]}
    for value in (body, *schema.pop("examples")):
        jsonschema_rs.Draft202012Validator(schema).validate(value)
    with pytest.raises(jsonschema_rs.ValidationError):
        jsonschema_rs.Draft202012Validator(schema).validate({**body, "kind": "price_import"})


# Cost


def test_history_reads_the_index_of_the_kinds_asked_for_and_of_no_other(redis_client: "redis.Redis") -> None:
    kinds = Kinds(many_kinds())
    store = JobStore(redis_client, StoreSettings(kinds=kinds))
    store.create(ACME, "kind_0")
    reads = {}
    for asked in (["kind_0"], ["kind_0", "kind_1"], None):
        redis_client.config_resetstat()
        assert len(store.list(ACME, kinds=asked).jobs) == 1
        reads[len(asked or kinds)] = _reads(redis_client)
    each = len(Status)
    # A few entries of each index; of 32 kinds so few that the one index that has any is read once more.
    expected = {1: each, 2: 2 * each, 32: 32 * each + 1}
    assert reads == {n: Counter(zrevrangebyscore=many, hgetall=1) for n, many in expected.items()}


def test_a_poll_and_a_report_cost_the_same_with_32_kinds(redis_client: "redis.Redis") -> None:
    costs = []
    for kinds in (Kinds(many_kinds(1)), Kinds(many_kinds())):
        store = JobStore(redis_client, StoreSettings(kinds=kinds))
        redis_client.config_resetstat()
        job = store.create(ACME, "kind_0")
        store.get(ACME, job.job_id)
        store.outcome(ACME, job.job_id)
        store.control(ACME, job.job_id, "cancel")
        costs.append(_reads(redis_client))
    assert costs[0] == costs[1]


def _reads(client: "redis.Redis") -> Counter[str]:
    """Returns how often the server ran each command that touches a job or an index."""
    stats = client.info("commandstats")
    counted = ("zrevrangebyscore", "hgetall", "zrem", "zadd", "hset", "hmget", "lrange")
    return Counter(
        {name: int(stats[f"cmdstat_{name}"]["calls"]) for name in counted if f"cmdstat_{name}" in stats}
    )


def test_the_index_keys_of_a_declared_kind_bear_its_name(own: JobStore, client: "redis.Redis") -> None:
    own.create(USER, "product_import", job_id="job_1")
    assert client.zrange(Keys("batchstatus").index(USER, "product_import", Status.QUEUED), 0, -1) == [b"job_1"]
