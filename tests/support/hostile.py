"""Shared by the tests with hostile input: the routes of a job, and names for their errors."""

from tests.support.rawhttp import Answer, exchange, request
from tests.support.service import LiveService

KINDS = ("transaction", "user-event", "entity")

JOB_ROUTES = [
    ("GET", "/batch-import/jobs/{}"),
    ("GET", "/batch-import/jobs/{}?include=failures"),
    ("POST", "/batch-import/jobs/{}/control"),
    *(("GET", f"/batch-import/{kind}-jobs/{{}}/failures") for kind in KINDS),
    *(("GET", f"/batch-import/{kind}-jobs/{{}}/failures.csv") for kind in KINDS),
    ("GET", "/entities/automatic/bulk/imports/{}/failures.csv"),
    ("GET", "/batch-import/jobs/{}/events"),
]
"""Every route of a single job that a reader or controller asks, with its method."""

EVENTS = "/batch-import/events"
"""The events of an organization."""

RUN_ID = "1.30000.transaction_batch.9f86d081884c7d659a2feaa0c55ad015"
RUN_ROUTES = [
    ("POST", "/batch-import/jobs/{}/runs"),
    ("POST", f"/batch-import/jobs/{{}}/runs/{RUN_ID}/reports"),
    ("POST", f"/batch-import/jobs/{{}}/runs/{RUN_ID}/finish"),
]
"""Every route of a single job that a worker asks, with a well-formed id of a run that never was."""

UNAUTHENTICATED, FORBIDDEN = (401, "UNAUTHENTICATED"), (403, "FORBIDDEN")
JOB_NOT_FOUND, NOT_FOUND = (404, "JOB_NOT_FOUND"), (404, "NOT_FOUND")
INVALID_REQUEST, BAD_REQUEST = (400, "INVALID_REQUEST"), (400, "BAD_REQUEST")
METHOD_NOT_ALLOWED, PAYLOAD_TOO_LARGE = (405, "METHOD_NOT_ALLOWED"), (413, "PAYLOAD_TOO_LARGE")
INTERNAL_ERROR, STORE_UNAVAILABLE = (500, "INTERNAL_ERROR"), (503, "STORE_UNAVAILABLE")


def ask(
    live: LiveService,
    target: str | bytes,
    *lines: str | bytes,
    method: str = "GET",
    key: str | None = None,
    body: bytes = b"",
) -> Answer:
    """Send one request and return the answer."""
    return exchange(live.port, request(method, target, *lines, key=key, body=body))
