"""Control requests over HTTP, and what their answers show."""

from typing import Any

from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from batchstatus import Job, JobStore, Kind

ORG = "org_acme"
PERMISSIONS = {
    Kind.TRANSACTION_BATCH: "transactions:create",
    Kind.USER_EVENT_BATCH: "events:create",
    Kind.ENTITY_AUTOMATIC: "entities:bulk_import",
}
"""The permission that control of each kind needs."""

CANCEL, PAUSE, PAUSED = "batchCancelRequested", "batchPauseRequested", "batchPaused"
KIND_MISMATCH, JOB_ALREADY_TERMINAL = (409, "KIND_MISMATCH"), (409, "JOB_ALREADY_TERMINAL")


class Controls:
    """Sends control requests, with a key of all permissions unless another is given."""

    def __init__(self, web: FlaskClient, store: JobStore) -> None:
        self._web = web
        self._store = store
        self._able = self.key_with(*PERMISSIONS.values())

    def key_with(self, *permissions: str, org: str = ORG) -> str:
        """Returns a new key with these permissions."""
        return self._store.api_keys.create(org, permissions)[0]

    def __call__(
        self, job: Job | str, action: Any = "cancel", kind: Any = None, key: str | None = "", **members: Any
    ) -> TestResponse:
        """Request an action on a job or on a job id. `kind` defaults to the job's."""
        job_id, own_kind = (job, "transaction_batch") if isinstance(job, str) else (job.job_id, job.kind)
        headers = {} if key is None else {"Authorization": f"Bearer {key or self._able}"}
        body = {"kind": kind or own_kind, "action": action, **members}
        return self._web.post(f"/batch-import/jobs/{job_id}/control", headers=headers, json=body)


def refusal(answer: TestResponse) -> tuple[int, str]:
    """Returns status and code of an error."""
    assert answer.json is not None
    assert (answer.json.keys(), answer.json["success"]) == ({"success", "error"}, False)
    return answer.status_code, answer.json["error"]["code"]


def shown(answer: TestResponse) -> dict[str, Any]:
    """Returns the job in a successful answer."""
    assert (answer.status_code, answer.json and answer.json.keys()) == (200, {"success", "job"})
    job: dict[str, Any] = answer.json["job"]
    return job


def flags(answer: TestResponse) -> set[str]:
    """Returns the control flags of the job in an answer. Asserts that their values are true."""
    metadata = shown(answer)["metadata"]
    found = {name for name in (CANCEL, PAUSE, PAUSED) if name in metadata}
    assert {metadata[name] for name in found} <= {True}
    return found
