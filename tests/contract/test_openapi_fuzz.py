"""Valid and invalid requests generated from the OpenAPI document, sent to the live service.

And from the document of a service that has a kind of its operator's beside the published ones.
"""

import json
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.checks import negative_data_rejection, positive_data_acceptance
from schemathesis.specs.openapi.checks import response_schema_conformance

from batchstatus import JobStore
from batchstatus.embedded import EmbeddedServer
from batchstatus.model.kinds import PUBLISHED, Kinds
from batchstatus.settings import StoreSettings
from batchstatus.web.views.openapi import document
from tests.conftest import ORG
from tests.support.own_kinds import KINDS_FILE, PRODUCTS
from tests.support.sdk import UNHURRIED
from tests.support.service import LiveService

ENDLESS = "/batch-import/events"
"""A stream without an end: tests/contract/test_events.py holds it against the document."""
ONE_MORE = Kinds([*PUBLISHED, PRODUCTS])
GOOD, BAD = GenerationMode.POSITIVE, GenerationMode.NEGATIVE
EXAMPLES = 20
OF_HTTP = {"content-length", "transfer-encoding", "connection", "expect", "host", "upgrade"}
"""Headers that say how to read a message: of HTTP, not of the document, and tested in test_http_parser.py.

Hypothesis may choose them, as any text that stands in the code of what happens to be imported."""
EXCLUDED = {
    GOOD: [positive_data_acceptance],  # cursors cannot be generated, and `ids` excludes other parameters
    BAD: [negative_data_rejection],  # invalid job ids and keys are replaced with valid ones
}


def cases_of(kinds: Kinds) -> pytest.MarkDecorator:
    """Have a test called for each operation of a service with these kinds, with valid and with invalid input."""
    schema = schemathesis.openapi.from_dict(document(kinds))
    operations = [each.ok() for each in schema.get_all_operations() if each.ok().path != ENDLESS]
    cases = [(operation, GOOD) for operation in operations]
    # The others have no input
    cases += [(operation, BAD) for operation in operations if operation.path_parameters or operation.query]
    ids = [f"{operation.label} {mode}" for operation, mode in cases]
    return pytest.mark.parametrize(("operation", "mode"), cases, ids=ids)


@pytest.fixture(scope="module")
def one_more(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[LiveService, JobStore]]:
    """A service, and its store, with a kind beside the published ones."""
    file = tmp_path_factory.mktemp("kinds") / "kinds.toml"
    file.write_text("\n".join([*(f"[{name}]" for name in PUBLISHED.names), KINDS_FILE.read_text()]))
    with (
        EmbeddedServer() as server,
        LiveService(server.url, BATCHSTATUS_KINDS=str(file)) as service,
        closing(JobStore.open(server.url, StoreSettings(kinds=ONE_MORE, **UNHURRIED))) as store,
    ):
        yield service, store


def test_the_live_service_serves_the_document(live: LiveService) -> None:
    answer = requests.get(f"{live.url}/openapi.json", timeout=10)
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "application/json")
    assert answer.json() == json.loads(json.dumps(document(PUBLISHED)))
    assert answer.json()["openapi"].startswith("3.1.")


@pytest.mark.slow
@cases_of(PUBLISHED)
def test_every_answer_matches_the_document(
    live: LiveService, real_store: JobStore, operation: schemathesis.APIOperation, mode: GenerationMode
) -> None:
    assert_answers_match(live, real_store, operation, mode)


@pytest.mark.slow
@cases_of(ONE_MORE)
def test_every_answer_matches_the_document_also_with_a_declared_kind(
    one_more: tuple[LiveService, JobStore], operation: schemathesis.APIOperation, mode: GenerationMode
) -> None:
    assert_answers_match(*one_more, operation, mode)


def assert_answers_match(
    live: LiveService, store: JobStore, operation: schemathesis.APIOperation, mode: GenerationMode
) -> None:
    """Send requests for an operation, and hold each answer against the document."""
    kinds = store.settings.kinds
    key, _ = store.api_keys.create(ORG, [*kinds.read_permissions - {"entities:bulk_import"}, "jobs:run"])
    jobs = [store.create(ORG, kind).job_id for kind in kinds.names]
    if operation.path.endswith("/events"):
        for job_id in jobs:  # or the stream would not end
            store.control(ORG, job_id, "cancel")
    # OpenAPI 3.1 describes a stream as the text that it is, and Schemathesis takes that for each event's schema.
    streams = [response_schema_conformance] if operation.path.endswith("/events") else []
    session, seen = requests.Session(), set()

    @seed(1)
    @settings(max_examples=EXAMPLES, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(case=operation.as_strategy(generation_mode=mode), job_id=st.sampled_from([None, *jobs]))
    def send(case: Any, job_id: str | None) -> None:
        if job_id and case.path_parameters:
            case.path_parameters["jobId"] = job_id
        for name in OF_HTTP.intersection(map(str.lower, case.headers or ())):
            del case.headers[name]
        # Schemathesis checks: no 5xx; status, headers, media type and body as described; no access without a key.
        response = case.call_and_validate(
            base_url=live.url,
            session=session,
            headers={"Authorization": f"Bearer {key}"},
            excluded_checks=[*EXCLUDED[mode], *streams],
        )
        seen.add(response.status_code)

    with session:
        send()
    # Nothing but a claim gives the id of a run.
    assert seen & {200, 201, 202} or mode is BAD or "{runId}" in operation.path
