"""Workers that speak HTTP, as tests send their requests."""

import secrets
from typing import Any

from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from batchstatus import JobStore
from batchstatus.web.permissions import RUN
from tests.support.controls import ORG, PERMISSIONS

JOBS = "/batch-import/jobs"
ROW = {"externalId": "T-7", "code": "VALIDATION_ERROR", "message": "no amount"}


def new_token() -> str:
    """Returns the random text of a new run."""
    return secrets.token_hex(16)


class HttpRuns:
    """Sends the requests of a worker, with a key of all permissions unless another is given."""

    def __init__(self, web: FlaskClient, store: JobStore) -> None:
        self._web, self._store = web, store
        self.able = self.key_with(RUN, *PERMISSIONS.values())

    def key_with(self, *permissions: str, org: str = ORG) -> str:
        """Returns a new key with these permissions."""
        return self._store.api_keys.create(org, permissions)[0]

    def post(self, path: str, body: Any = None, key: str | None = "", **more: Any) -> TestResponse:
        """Send a POST below the path of jobs."""
        headers = {} if key is None else {"Authorization": f"Bearer {key or self.able}"}
        return self._web.post(f"{JOBS}{path}", headers=headers, **({"json": body} if more == {} else more))

    def get(self, path: str) -> TestResponse:
        """Send a GET below the path of jobs."""
        return self._web.get(f"{JOBS}{path}", headers={"Authorization": f"Bearer {self.able}"})

    def create(self, **members: Any) -> TestResponse:
        """Ask for a job, of transactions unless told otherwise."""
        return self.post("", {"kind": "transaction_batch", **members})

    def claim(self, job_id: str, token: str = "", **members: Any) -> TestResponse:
        """Claim a job, with a new token unless one is given."""
        return self.post(f"/{job_id}/runs", {"token": token or new_token(), **members})

    def running(self, job_id: str, **members: Any) -> str:
        """Claim a job. Returns the path of the run."""
        answer = self.claim(job_id, **members)
        assert (answer.status_code, answer.json and answer.json.keys()) == (201, {"success", "run", "job"})
        return f"/{job_id}/runs/{answer.json['run']['runId']}"

    def report(self, run: str, seq: int, **members: Any) -> TestResponse:
        """Send a report of the run with this path."""
        return self.post(f"{run}/reports", {"seq": seq, **members})

    def finish(self, run: str, status: str, seq: int, **members: Any) -> TestResponse:
        """Finish the run with this path."""
        return self.post(f"{run}/finish", {"status": status, "seq": seq, **members})


def run_of(answer: TestResponse) -> dict[str, Any]:
    """Returns the run in a successful answer to a report."""
    assert (answer.status_code, answer.json and answer.json.keys()) == (200, {"success", "run"}), answer.text
    run: dict[str, Any] = answer.json["run"]
    return run


def details(answer: TestResponse) -> dict[str, str]:
    """Returns the details of a 400."""
    assert (answer.status_code, answer.json and answer.json["error"]["code"]) == (400, "INVALID_REQUEST")
    found: dict[str, str] = answer.json["error"]["details"]
    return found
