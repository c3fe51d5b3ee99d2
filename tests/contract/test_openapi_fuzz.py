"""Valid and invalid requests generated from the OpenAPI document, sent to the live service."""

import json
from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.checks import negative_data_rejection, positive_data_acceptance

from batchstatus import JobStore, Kind
from batchstatus.web.views.openapi import document
from tests.conftest import ORG
from tests.support.service import LiveService

SCHEMA = schemathesis.openapi.from_dict(document())
OPERATIONS = [operation.ok() for operation in SCHEMA.get_all_operations()]
GOOD, BAD = GenerationMode.POSITIVE, GenerationMode.NEGATIVE
EXAMPLES = 20
EXCLUDED = {
    GOOD: [positive_data_acceptance],  # cursors cannot be generated, and `ids` excludes other parameters
    BAD: [negative_data_rejection],  # invalid job ids and keys are replaced with valid ones
}

CASES = [(operation, GOOD) for operation in OPERATIONS]
CASES += [
    (operation, BAD) for operation in OPERATIONS if operation.path_parameters or operation.query
]  # the others have no input


def test_the_live_service_serves_the_document(live: LiveService) -> None:
    answer = requests.get(f"{live.url}/openapi.json", timeout=10)
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "application/json")
    assert answer.json() == json.loads(json.dumps(document()))
    assert answer.json()["openapi"].startswith("3.1.")


@pytest.mark.slow
@pytest.mark.parametrize(("operation", "mode"), CASES, ids=[f"{each.label} {mode}" for each, mode in CASES])
def test_every_answer_matches_the_document(
    live: LiveService, real_store: JobStore, operation: schemathesis.APIOperation, mode: GenerationMode
) -> None:
    key, _ = real_store.api_keys.create(ORG, ["transactions:create", "events:create"])
    jobs = [real_store.create(ORG, kind).job_id for kind in Kind]
    session, seen = requests.Session(), set()

    @seed(1)
    @settings(max_examples=EXAMPLES, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(case=operation.as_strategy(generation_mode=mode), job_id=st.sampled_from([None, *jobs]))
    def send(case: Any, job_id: str | None) -> None:
        if job_id and case.path_parameters:
            case.path_parameters["jobId"] = job_id
        # Schemathesis checks: no 5xx; status, headers, media type and body as described; no access without a key.
        response = case.call_and_validate(
            base_url=live.url,
            session=session,
            headers={"Authorization": f"Bearer {key}"},
            excluded_checks=EXCLUDED[mode],
        )
        seen.add(response.status_code)

    with session:
        send()
    assert 200 in seen or mode is BAD
