"""Every JSON answer, of every route and in every state, matches its schema exactly."""

from typing import Any

import pytest
from flask.testing import FlaskClient
from marshmallow import RAISE, Schema, fields

from batchstatus import JobStore, Kind
from batchstatus.model.kinds import PUBLISHED
from batchstatus.schemas import ErrorSchema, JobResponseSchema, failures_schema
from tests.support.wire import FAILURES, INCLUDE_FAILURES, JOB, OPS, STATES, get, job_in


def obeys(schema: Schema, body: dict[str, Any]) -> bool:
    """Returns True if a body loads without errors and dumps to itself.

    `success` is checked separately: it is a Constant, which loads any value, and a missing one.
    """
    assert schema.unknown == RAISE
    assert body["success"] is schema.fields["success"].constant  # type: ignore[attr-defined]
    return bool(schema.dump(schema.load(body)) == body)


@pytest.mark.parametrize("kind", Kind)
@pytest.mark.parametrize("state", STATES)
def test_a_job_in_any_state_obeys_its_schema(
    web: FlaskClient, store: JobStore, api_key: str, state: str, kind: Kind
) -> None:
    with job_in(state, store, kind) as job:
        body = get(web, JOB.format(job.job_id), api_key).json
    assert obeys(JobResponseSchema(), body)
    assert body["job"]["kind"] == kind
    assert ("jobFailure" in body["job"]) == (body["job"]["status"] == "failed")


@pytest.mark.parametrize("kind", Kind)
@pytest.mark.parametrize("state", STATES)
def test_failed_rows_of_a_job_in_any_state_obey_the_schema_of_its_kind(
    web: FlaskClient, store: JobStore, api_key: str, state: str, kind: Kind
) -> None:
    with job_in(state, store, kind) as job:
        for path in (FAILURES[kind], INCLUDE_FAILURES):
            body = get(web, path.format(job.job_id), api_key).json
            assert obeys(failures_schema(PUBLISHED[kind])(), body)
            assert ("skips" in body) == ("skipsTotal" in body) == (kind is Kind.ENTITY_AUTOMATIC)
            assert ("jobFailure" in body) == (body["status"] == "failed")


@pytest.mark.parametrize("path", OPS)
def test_livez_and_readyz_answer_with_success_alone(web: FlaskClient, path: str) -> None:
    assert web.get(path).json == {"success": True}


@pytest.mark.parametrize(
    "schema", [JobResponseSchema, *map(failures_schema, PUBLISHED)], ids=lambda each: each.__name__
)
def test_only_the_job_failure_may_be_absent_from_a_body(schema: type[Schema]) -> None:
    absent = {name for name, field in schema().fields.items() if not field.required}
    assert isinstance(schema().fields["success"], fields.Constant)
    assert absent - {"success"} <= {"jobFailure"}


@pytest.mark.parametrize(
    "body",
    [
        {"success": True, "error": {"code": "NOT_FOUND", "message": "no"}},
        {"success": False, "error": {"code": "not found", "message": "no"}},
        {"success": False, "error": {"code": "NOT_FOUND"}},
        {"success": False, "error": {"code": "NOT_FOUND", "message": "no"}, "trace": "…"},
        {"success": False},
    ],
)
def test_the_error_schema_refuses_any_other_body(body: dict[str, Any]) -> None:
    assert ErrorSchema().validate(body)
