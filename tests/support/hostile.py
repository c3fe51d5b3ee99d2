"""What the tests with hostile input share: the routes of a job, and short words for what they answer."""

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
]
"""Every route that has to do with one job, with its method."""

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
    """The answer to one request."""
    return exchange(live.port, request(method, target, *lines, key=key, body=body))
