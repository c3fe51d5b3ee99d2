"""The tree of errors that batchstatus raises on purpose.

BatchStatusError
├── InvalidValue            an argument is invalid; nothing was written (also a ValueError)
├── JobNotFound             the organization has no such job
├── JobExists               the job id belongs to a job with other content
├── JobCorrupt              the stored data cannot be read as a job
├── InvalidTransition       the job's status does not allow the operation
│   └── JobEnded            the job has ended already; `status` says how
├── LeaseHeld               another worker holds the job's lease
├── LeaseLost               the job was taken over or settled: stop working on it
├── ReportsLost             the store lost reports that it had acknowledged
├── RowsLost                rows that the store had are gone
├── JobCancelled            the job's cancellation was requested
├── JobAborted              raised by an importer to fail the whole job for a stated reason
├── ApiKeyNotFound          no API key has this id
├── StoreUnavailable        the store did not answer, or refused; a write may or may not have happened
│   ├── StoreRefused        the store refused: out of memory, read-only, loading; nothing was written
│   └── NotReplicated       written, but too few Redis replicas have confirmed the write
└── ServiceError            the HTTP service gave no usable answer
    ├── Refused             401 or 403: the API key is invalid or lacks the permission
    └── ServiceUnavailable  no answer, a 5xx, or an answer that batchstatus did not write
"""

import re
from typing import Any

from batchstatus.model.job import Status

CODE = re.compile(r"[A-Z][A-Z0-9_]{1,63}")
"""The pattern of a failure code; it must match the whole text."""


class BatchStatusError(Exception):
    """The base class of all errors of batchstatus."""


class InvalidValue(BatchStatusError, ValueError):
    """An argument is invalid. The message names the argument; nothing was written."""


class JobNotFound(BatchStatusError):
    """The organization has no such job. Another organization may have one with the same id."""


class JobExists(BatchStatusError):
    """The job id belongs to a job of the same organization with other content."""


class JobCorrupt(BatchStatusError):
    """The data under the job's key cannot be read as a job: some other program wrote it."""


class InvalidTransition(BatchStatusError):
    """The job's status does not allow the operation, such as claiming a job that has ended."""


class JobEnded(InvalidTransition):
    """The job has ended, and its end is final. `status` is the job's terminal status.

    It tells a redelivered message whose job is over from one whose job another worker holds (LeaseHeld):

        try:
            with store.run("org_acme", job_id) as run:
                ...
        except batchstatus.JobEnded as ended:
            print(f"nothing to do: the job is {ended.status}")
    """

    def __init__(self, status: Status) -> None:
        super().__init__(f"the job is {status} already: its end is final")
        self.status = status

    def __reduce__(self) -> tuple[type["JobEnded"], tuple[Status]]:
        """Pickle by status: a pool of processes makes the error anew from what this returns."""
        return type(self), (self.status,)


class LeaseHeld(BatchStatusError):
    """Another worker holds the job: its lease is live, or has expired but the worker is not yet settled as dead.

    `left_s` is the remaining time of that lease in seconds, negative after its end.
    """

    def __init__(self, message: str, left_s: float = 0.0) -> None:
        super().__init__(message)
        self.left_s = left_s


class LeaseLost(BatchStatusError):
    """The job was settled, or taken over by another worker. Stop working on it: no more rows are counted."""


class ReportsLost(BatchStatusError):
    """The store lost reports that it had acknowledged, for example in a failover without `min_replicas`.

    The counters can no longer be exact, so the run fails with this error instead of counting on. `last` is the
    number of the last report that the store has.
    """

    def __init__(self, message: str, last: int = 0) -> None:
        super().__init__(message)
        self.last = last


class RowsLost(BatchStatusError):
    """Failed rows that were stored are gone from the store, by eviction or by hand: the list is not whole."""


class JobCancelled(BatchStatusError):
    """The job's cancellation was requested. Do not catch this error: leaving the run's block ends the job."""


class JobAborted(BatchStatusError):
    """Raise this inside a run to fail the whole job for a stable, machine-readable reason.

    `code` matches `^[A-Z][A-Z0-9_]{1,63}$`; `details` is any JSON value of at most 16 KiB.

        raise JobAborted("INVALID_ENTITY_REFERENCES", "3 rows name unknown entities", {"rows": [5, 8, 9]})
    """

    def __init__(self, code: str, message: str, details: Any = None) -> None:
        super().__init__(code, message, details)
        if not isinstance(code, str) or not CODE.fullmatch(code):
            raise InvalidValue(f"code {code!r} does not match ^{CODE.pattern}$")
        self.code = code
        self.message = message
        self.details = details

    def __str__(self) -> str:
        return f"{self.code}: {self.message}"


class ApiKeyNotFound(BatchStatusError):
    """No API key has this id."""


class StoreUnavailable(BatchStatusError):
    """The store did not answer in time, could not be reached, or refused the command."""


class StoreRefused(StoreUnavailable):
    """The store refused the command: out of memory, read-only, forbidden by an ACL. Nothing was written."""


class NotReplicated(StoreUnavailable):
    """The store wrote, but fewer than `min_replicas` Redis replicas confirmed the write. Repeating it is safe."""


class ServiceError(BatchStatusError):
    """The HTTP service gave no usable answer."""


class Refused(ServiceError):
    """The service refused the API key: 401 (unknown, expired, revoked) or 403 (permission missing)."""


class ServiceUnavailable(ServiceError):
    """No answer, a 5xx, an unexpected 4xx or redirect, or an answer that batchstatus did not write."""
