"""Everything that batchstatus raises on purpose, in one tree.

BatchStatusError
├── InvalidValue            a value from the caller is wrong; nothing was written (also a ValueError)
├── JobNotFound             no such job in this organization
├── JobExists               the job id is taken by a job with other content
├── JobCorrupt              what is stored for the job cannot be a job
├── InvalidTransition       the job's status does not allow that
├── LeaseHeld               another worker's lease is alive
├── LeaseLost               the job is another worker's, or settled: stop working on it
├── ReportsLost             the store lost reports that it had acknowledged
├── JobCancelled            the job is to be cancelled
├── JobAborted              raised by an importer: the whole job fails for this reason
├── ApiKeyNotFound          no such API key
├── StoreUnavailable        the store did not answer, or refused; what happened is unknown or nothing
│   ├── StoreRefused        it answered, and refused: full memory, read-only, loading; nothing was written
│   └── NotReplicated       written, but too few replicas have it yet
└── ServiceError            the HTTP service did not give an answer that can be used
    ├── Refused             401 or 403: the API key does not do
    └── ServiceUnavailable  no answer, 5xx, or no batchstatus at that address
"""

import re
from typing import Any

CODE = re.compile(r"[A-Z][A-Z0-9_]{1,63}")
"""The shape of a failure code; matched in full."""


class BatchStatusError(Exception):
    """The root of all errors of batchstatus."""


class InvalidValue(BatchStatusError, ValueError):
    """A value that the caller gave is wrong. The message names it; nothing was written."""


class JobNotFound(BatchStatusError):
    """There is no such job in this organization (it may exist in another one)."""


class JobExists(BatchStatusError):
    """The job id is taken, by a job of the same organization with other content."""


class JobCorrupt(BatchStatusError):
    """What is stored under the job's key cannot be a job: someone else wrote there."""


class InvalidTransition(BatchStatusError):
    """The job's status does not allow what was asked, such as claiming a job that has ended."""


class LeaseHeld(BatchStatusError):
    """Another worker runs the job and its lease is alive, or it is not known yet to be dead.

    `left_s` is how long its lease still runs, in seconds; below 0 when it has run out.
    """

    def __init__(self, message: str, left_s: float = 0.0) -> None:
        super().__init__(message)
        self.left_s = left_s


class LeaseLost(BatchStatusError):
    """The job was settled, or taken over by another worker. Stop working on it; nothing more is counted."""


class ReportsLost(BatchStatusError):
    """The store lost reports that it had acknowledged (a failover without `min_replicas`).

    The counters cannot be right any more, so the run fails, and says why, rather than to count on.
    """


class JobCancelled(BatchStatusError):
    """The job is to be cancelled. Let it pass: leaving the run's block ends the job as `cancelled`."""


class JobAborted(BatchStatusError):
    """Raise it inside a run to fail the whole job for a stable, machine-readable reason.

    `code` matches `^[A-Z][A-Z0-9_]{1,63}$`; `details` is anything that JSON can carry, at most 16 KiB.

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
    """There is no API key with this id."""


class StoreUnavailable(BatchStatusError):
    """The store did not answer in time, cannot be reached, or refused for a reason of its own."""


class StoreRefused(StoreUnavailable):
    """The store answered, and refused: memory is full, it is read-only, an ACL forbids it. Nothing was written."""


class NotReplicated(StoreUnavailable):
    """It was written, but fewer than `min_replicas` replicas have confirmed it; it may be repeated."""


class ServiceError(BatchStatusError):
    """The HTTP service did not give an answer that can be used."""


class Refused(ServiceError):
    """The service refused the API key: 401 (unknown, expired, revoked) or 403 (lacks the permission)."""


class ServiceUnavailable(ServiceError):
    """No answer, a 5xx, or something at that address that does not speak batchstatus."""
