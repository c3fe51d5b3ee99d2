"""Tickets (contract §12): what a ticket reads, on every route, and that it does nothing else."""

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import redis
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from batchstatus import JobStore, Kind
from batchstatus.apikeys import hashed
from batchstatus.model.kinds import PUBLISHED
from batchstatus.web import create_app
from batchstatus.web.registration import router_for
from tests.support.waiting import wait_until
from tests.support.wire import FAILED_ROW, JOB, ORG, bearer, error_of, shown

MINT = "/batch-import/tickets"
TOKEN = {"token": "0123456789abcdef"}
KIND = {"kind": "transaction_batch"}
ROUTES = {(route.method, route.path) for route in router_for(PUBLISHED).routes.values()}
READS = {
    (method, path)
    for method, path in ROUTES
    if method == "GET" and path.startswith(("/batch-import", "/entities"))
}
LISTS = {("GET", f"/batch-import/{path}") for path in ("jobs", "caller", "events")}
STREAM = ("GET", "/batch-import/jobs/<job_id>/events")
READS -= {*LISTS, STREAM}
DOES: dict[tuple[str, str], Any] = {
    ("POST", "/batch-import/jobs"): {**KIND, "jobId": "another"},
    ("POST", "/batch-import/jobs/<job_id>/control"): {**KIND, "action": "cancel"},
    ("POST", "/batch-import/jobs/<job_id>/parts"): {"parts": 2},
    ("POST", "/batch-import/jobs/<job_id>/runs"): TOKEN,
    ("POST", "/batch-import/jobs/<job_id>/runs/<run_id>/reports"): {"seq": 1, "succeeded": 1},
    ("POST", "/batch-import/jobs/<job_id>/runs/<run_id>/finish"): {"seq": 0, "status": "completed"},
    ("POST", MINT): {},
}
"""Each route that does something, with a body that a key with all permissions could send."""

FOR_ANYBODY = ("/livez", "/readyz", "/metrics", "/openapi.json", "/ui")


class Service:
    """The service over a store with a transaction job, an entity job, and their tickets."""

    def __init__(self, store: JobStore) -> None:
        self.store, self.web = store, create_app(store).test_client()
        self.job, self.other = (
            store.create(ORG, "transaction_batch", job_id=each).job_id for each in ("mine", "else")
        )
        self.key, self.key_record = store.api_keys.create(ORG, ["transactions:create", "jobs:run"])
        self.of_job = self.minted(jobId=self.job)
        self.of_all = self.minted()

    def mint(self, secret: str, **asked: Any) -> TestResponse:
        return self.web.post(MINT, json=asked, headers=bearer(secret))

    def minted(self, **asked: Any) -> str:
        answer = self.mint(self.key, **asked)
        assert answer.status_code == 201
        ticket: str = answer.json["ticket"]  # type: ignore[index]
        return ticket

    def send(self, secret: str, method: str, path: str, job_id: str, body: Any = None) -> TestResponse:
        target = path.replace("<job_id>", job_id).replace(
            "<run_id>", f"1.30000.transaction_batch.{TOKEN['token']}"
        )
        return self.web.open(target, method=method, json=body, headers=bearer(secret))

    def hears(self, secret: str, path: str) -> bytes:
        """Returns the first event of a stream, which is then closed."""
        answer = self.web.get(path, headers=bearer(secret), buffered=False)
        assert answer.status_code == 200
        pieces = answer.iter_encoded()
        assert next(pieces).startswith(b"retry: ")
        event = next(pieces)
        answer.close()
        return event


@pytest.fixture
def service(store: JobStore) -> Iterator[Service]:
    made = Service(store)
    yield made
    made.web.application.parts.feed.ticks.close()  # type: ignore[attr-defined]


def test_the_matrix_has_every_route() -> None:
    for_anybody = {each for each in ROUTES if each[1].startswith(FOR_ANYBODY)}
    assert ROUTES - for_anybody == READS | LISTS | {STREAM} | DOES.keys()


@pytest.mark.parametrize(("method", "path"), sorted(READS))
def test_a_ticket_reads_its_job_as_a_key_does_and_no_other(service: Service, method: str, path: str) -> None:
    with_key = service.send(service.key, method, path, service.job)
    assert shown(service.send(service.of_job, method, path, service.job)) == shown(with_key)
    assert shown(service.send(service.of_all, method, path, service.other)) == shown(
        service.send(service.key, method, path, service.other)
    )
    unknown = service.send(service.key, method, path, "unknown")
    assert error_of(unknown) == (404, "JOB_NOT_FOUND")
    assert shown(service.send(service.of_job, method, path, service.other)) == shown(unknown)


def test_a_ticket_hears_of_its_job_as_a_key_does_and_of_no_other(service: Service) -> None:
    mine, other = (STREAM[1].replace("<job_id>", job_id) for job_id in (service.job, service.other))
    assert service.hears(service.of_job, mine) == service.hears(service.key, mine)
    assert service.hears(service.of_all, other) == service.hears(service.key, other)
    unknown = service.send(service.key, *STREAM, "unknown")
    assert shown(service.send(service.of_job, *STREAM, service.other)) == shown(unknown)


def test_a_ticket_for_all_jobs_hears_of_them_and_one_for_a_job_of_none(service: Service) -> None:
    heard = service.hears(service.of_all, "/batch-import/events")
    assert all(job_id.encode() in heard for job_id in (service.job, service.other))
    refused = service.web.get("/batch-import/events", headers=bearer(service.of_job))
    assert error_of(refused) == (403, "FORBIDDEN")


@pytest.mark.parametrize(("method", "path"), sorted(DOES))
def test_a_ticket_does_nothing(service: Service, client: "redis.Redis", method: str, path: str) -> None:
    before = {name: client.dump(name) for name in client.scan_iter()}
    for ticket in (service.of_job, service.of_all):
        refused = service.send(ticket, method, path, service.job, DOES[method, path])
        assert error_of(refused) == (403, "FORBIDDEN")
        assert refused.json["error"]["message"] == "A ticket reads and does nothing else."  # type: ignore[index]
    assert {name: client.dump(name) for name in client.scan_iter()} == before
    # The same request with a key is no 403: it is the ticket that is refused.
    assert service.send(service.key, method, path, service.job, DOES[method, path]).status_code in (
        200,
        201,
        202,
        409,
    )


def test_a_ticket_for_all_jobs_lists_them_and_one_for_a_job_lists_none(service: Service) -> None:
    page = service.web.get("/batch-import/jobs", headers=bearer(service.of_all))
    assert {job["jobId"] for job in page.json["jobs"]} == {service.other, service.job}  # type: ignore[index]
    refused = service.web.get("/batch-import/jobs", headers=bearer(service.of_job))
    assert error_of(refused) == (403, "FORBIDDEN")


def test_of_several_jobs_a_ticket_for_one_finds_that_one(service: Service) -> None:
    path = f"/batch-import/jobs?ids={service.other},{service.job},unknown"
    found = service.web.get(path, headers=bearer(service.of_job)).json
    assert [job["jobId"] for job in found["jobs"]] == [service.job]  # type: ignore[index]
    assert found["notFound"] == [service.other, "unknown"]  # type: ignore[index]
    found = service.web.get(path, headers=bearer(service.of_all)).json
    assert found["notFound"] == ["unknown"]  # type: ignore[index]


def test_a_ticket_of_another_organization_finds_nothing(service: Service) -> None:
    ticket, _ = service.store.tickets.create("org_other")
    for path in (JOB.format(service.job), f"/batch-import/jobs/{service.job}/control"):
        method = "POST" if path.endswith("control") else "GET"
        answer = service.web.open(path, method=method, headers=bearer(ticket), json={**KIND, "action": "cancel"})
        assert error_of(answer) == (404, "JOB_NOT_FOUND")


def test_the_caller_is_told_who_it_is_and_what_it_may_do(service: Service) -> None:
    path = "/batch-import/caller"
    told = {secret: service.web.get(path, headers=bearer(secret)).json for secret in (service.key, service.of_job)}
    key, ticket = (told[secret] for secret in (service.key, service.of_job))
    assert key["caller"] == {"org": ORG, "ticket": False, "jobId": None}  # type: ignore[index]
    assert ticket["caller"] == {"org": ORG, "ticket": True, "jobId": service.job}  # type: ignore[index]
    assert [each["name"] for each in key["kinds"]] == [*Kind]  # type: ignore[index]
    assert [each["name"] for each in key["kinds"] if each["controls"]] == ["transaction_batch"]  # type: ignore[index]
    assert [each for each in ticket["kinds"] if each["controls"]] == []  # type: ignore[index]
    assert key["kinds"][0]["columns"][-2:] == ["code", "message"]  # type: ignore[index]


# Minting


@pytest.mark.parametrize("permission", ["transactions:create", "events:create", "entities:bulk_import"])
def test_any_key_that_may_read_mints_and_others_do_not(service: Service, permission: str) -> None:
    key, _ = service.store.api_keys.create(ORG, [permission])
    assert service.mint(key).status_code == 201
    worker, _ = service.store.api_keys.create(ORG, ["jobs:run"])
    assert error_of(service.mint(worker)) == (403, "FORBIDDEN")
    assert error_of(service.web.post(MINT, json={})) == (401, "UNAUTHENTICATED")


@pytest.mark.parametrize("job_id", ["unknown", "", "not.an.id", "x" * 65])
def test_no_ticket_is_minted_for_a_job_that_is_not_there(service: Service, job_id: str) -> None:
    unknown = service.web.get(JOB.format("unknown"), headers=bearer(service.key))
    assert shown(service.mint(service.key, jobId=job_id)) == shown(unknown)
    foreign = service.store.create("org_other", "transaction_batch").job_id
    assert shown(service.mint(service.key, jobId=foreign)) == shown(unknown)


@pytest.mark.parametrize(
    ("asked", "named"),
    [
        ({"seconds": 0}, "seconds"),
        ({"seconds": 86_401}, "seconds"),
        ({"seconds": 1.5}, "seconds"),
        ({"seconds": "900"}, "seconds"),
        ({"jobId": 5}, "jobId"),
        ({"permissions": ["transactions:create"]}, "permissions"),
    ],
)
def test_a_bad_request_is_400_and_says_what_is_bad(service: Service, asked: dict[str, Any], named: str) -> None:
    refused = service.mint(service.key, **asked)
    assert error_of(refused) == (400, "INVALID_REQUEST")
    assert [*refused.json["error"]["details"]] == [named]  # type: ignore[index]


def test_the_answer_says_when_the_ticket_ends_and_is_not_stored(service: Service) -> None:
    answer = service.mint(service.key, jobId=service.job, seconds=60)
    body: Any = answer.json
    assert [*body] == ["success", "ticket", "expiresAt"]
    assert answer.headers["Cache-Control"] == "no-store"
    record = service.store.tickets.verify(body["ticket"])
    assert record
    assert (record.expires_at - record.created_at).total_seconds() == 60
    assert body["expiresAt"] == record.expires_at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


# The end of a ticket


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """The clock of the access check, which tests set."""
    clock = SimpleNamespace(now_s=1_000.0)
    monkeypatch.setattr("batchstatus.web.access.time", SimpleNamespace(monotonic=lambda: clock.now_s))
    return clock


def test_a_ticket_is_refused_once_its_time_is_up_also_in_use(
    service: Service, client: "redis.Redis", clock: SimpleNamespace
) -> None:
    path = JOB.format(service.job)
    assert service.web.get(path, headers=bearer(service.of_job)).status_code == 200
    client.pexpire(service.store.connection.keys.ticket(hashed(service.of_job)), 1)
    wait_until(lambda: service.store.tickets.verify(service.of_job) is None, 10, "the ticket has expired")
    clock.now_s += 5.0
    assert error_of(service.web.get(path, headers=bearer(service.of_job))) == (401, "UNAUTHENTICATED")


@pytest.mark.parametrize("whose", ["the ticket", "its key"])
def test_a_ticket_is_refused_5_s_after_it_or_its_key_was_revoked(
    service: Service, clock: SimpleNamespace, whose: str
) -> None:
    path = JOB.format(service.job)
    assert service.web.get(path, headers=bearer(service.of_job)).status_code == 200
    if whose == "its key":
        service.store.api_keys.revoke(service.key_record.id)
    else:
        for each in service.store.tickets.list(ORG):
            service.store.tickets.revoke(each.id)
    clock.now_s += 5.0
    assert error_of(service.web.get(path, headers=bearer(service.of_job))) == (401, "UNAUTHENTICATED")


def test_a_key_that_was_revoked_a_moment_ago_mints_nothing(service: Service, clock: SimpleNamespace) -> None:
    assert service.mint(service.key).status_code == 201
    service.store.api_keys.revoke(service.key_record.id)
    refused = service.mint(service.key)  # which the service still takes for valid
    assert error_of(refused) == (401, "UNAUTHENTICATED")
    assert refused.headers["WWW-Authenticate"] == "Bearer"


def test_a_ticket_reads_failed_rows(web: FlaskClient, service: Service) -> None:
    job = service.store.create(ORG, Kind.ENTITY_AUTOMATIC)
    with service.store.run(ORG, job.job_id) as run:
        run.failed(FAILED_ROW[Kind.ENTITY_AUTOMATIC])
    path = f"/batch-import/entity-jobs/{job.job_id}/failures"
    assert web.get(path, headers=bearer(service.of_all)).json["failuresTotal"] == 1  # type: ignore[index]
