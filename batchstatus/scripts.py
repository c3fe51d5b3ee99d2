"""The scripts in `lua/`, one typed function each. They decide everything about a job's life.

A script answers with a plain word and what belongs to it; the functions here turn the words into results
and errors. Keys, arguments and answers are described at the head of each script.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from importlib.resources import files
from typing import Any

from batchstatus import hashes
from batchstatus.connection import Connection
from batchstatus.errors import (
    InvalidTransition,
    InvalidValue,
    JobExists,
    JobNotFound,
    LeaseHeld,
    LeaseLost,
    ReportsLost,
)
from batchstatus.keys import JobKeys
from batchstatus.model import Action, Job, Kind, Status


class Script:
    """A script by its verb, loaded once; calling it runs it and gives the answer's word and the rest."""

    def __init__(self, verb: str, *, durable: bool = True) -> None:
        self._durable = durable
        self.source = files("batchstatus").joinpath("lua", f"{verb}.lua").read_text("utf-8")
        self._sha1 = hashlib.sha1(self.source.encode(), usedforsecurity=False).hexdigest()

    def __call__(
        self, connection: Connection, keys: Sequence[str], *arguments: str | int
    ) -> tuple[str, list[Any]]:
        """Run the script; JobNotFound if it found no job."""
        word, *rest = connection.evaluate(self._sha1, self.source, keys, arguments, durable=self._durable)
        if word == b"NOT_FOUND":
            raise JobNotFound("there is no such job")
        return word.decode(), rest


CREATE, CLAIM, REPORT, FINISH = map(Script, ("create", "claim", "report", "finish"))
CONTROL, SETTLE = map(Script, ("control", "settle"))
TRACK, DUE = Script("track", durable=False), Script("due", durable=False)


class Verdict(StrEnum):
    """What settling found; the words are explained in settle.lua."""

    ALIVE = "ALIVE"
    SUSPECT = "SUSPECT"
    VACANT = "VACANT"
    SETTLED = "SETTLED"
    QUEUED = "QUEUED"
    ENDED = "ENDED"


class Wanted(StrEnum):
    """What the answer to a report asks of the worker."""

    RUN = "run"
    PAUSE = "pause"
    CANCEL = "cancel"


@dataclass(frozen=True, slots=True)
class Claim:
    """What a claim gives: the job, the fence that every later write carries, and where to go on."""

    job: Job
    fence: int
    seq: int
    checkpoint: Any

    @property
    def wanted(self) -> Wanted:
        """What had been asked of the job before it was claimed."""
        if "batchCancelRequested" in self.job.metadata:
            return Wanted.CANCEL
        return Wanted.PAUSE if "batchPauseRequested" in self.job.metadata else Wanted.RUN


def create(
    connection: Connection,
    keys: JobKeys,
    *,
    org_id: str,
    job_id: str,
    kind: Kind,
    total_items: int | None,
    metadata: str,
    takeover_ms: int,
    digest: str,
    retention_ms: int,
) -> Job:
    """Make a queued job, or give the one made before with the same content; else JobExists."""
    total = "" if total_items is None else total_items
    arguments = (org_id, job_id, kind, total, metadata, takeover_ms, digest, retention_ms)
    word, rest = CREATE(connection, keys, *arguments)
    if word == "TAKEN":
        raise JobExists(f"job {job_id} exists with another kind, total, metadata or takeover window")
    return hashes.decode(_hash(rest[0]))


def claim(
    connection: Connection, keys: JobKeys, *, token: str, lease_ms: int, grace_ms: int, retention_ms: int
) -> Claim:
    """Take the job, or raise LeaseHeld or InvalidTransition. The same token again gives the same fence."""
    word, rest = CLAIM(connection, keys, token, lease_ms, grace_ms, retention_ms)
    if word == "HELD":
        raise LeaseHeld("another worker holds the job's lease", left_s=rest[0] / 1000)
    if word == "ENDED":
        raise InvalidTransition(f"the job is {rest[0].decode()} and cannot be run")
    stored = _hash(rest[0])
    return Claim(
        job=hashes.decode(stored),
        fence=hashes.integer(stored, b"fence") or 0,
        seq=hashes.integer(stored, b"seq") or 0,
        checkpoint=hashes.load_json(stored, b"checkpoint"),
    )


def report(
    connection: Connection,
    keys: JobKeys,
    *,
    fence: int,
    seq: int,
    lease_ms: int,
    retention_ms: int,
    max_rows: int,
    succeeded: int = 0,
    total_items: int | None = None,
    checkpoint: str | None = None,
    paused: bool = False,
    failures: Sequence[str] = (),
    skips: Sequence[str] = (),
) -> Wanted:
    """Count rows and renew the lease; gives what is asked of the worker. With the last `seq`: renew only.

    Raises LeaseLost when fenced out, InvalidValue for more rows than the job has, ReportsLost when the
    store no longer has reports that it acknowledged.
    """
    total = "" if total_items is None else total_items
    head = (fence, seq, lease_ms, retention_ms, max_rows)
    counted = (succeeded, total, checkpoint or "", int(paused), len(failures))
    word, rest = REPORT(connection, keys, *head, *counted, *failures, *skips)
    if word == "FENCED":
        raise LeaseLost(_lost(rest[0].decode()))
    if word == "TOO_MANY":
        raise InvalidValue(f"more rows were reported than the job's total of {rest[0]:,}; none of them counted")
    if word == "GAP":
        raise ReportsLost(f"report {seq} follows {rest[0]} in the store: acknowledged reports were lost")
    return Wanted(rest[1].decode())


def finish(
    connection: Connection,
    keys: JobKeys,
    *,
    fence: int,
    status: Status,
    worker_error: str | None = None,
    job_failure: str | None = None,
    retention_ms: int,
) -> None:
    """End the job, or with `interrupted` give its lease back. May be repeated. LeaseLost when fenced out."""
    arguments = (fence, status, worker_error or "", job_failure or "", retention_ms)
    word, rest = FINISH(connection, keys, *arguments)
    if word == "FENCED":
        raise LeaseLost(_lost(rest[0].decode()))


def control(connection: Connection, keys: JobKeys, *, action: Action, retention_ms: int) -> Job:
    """Ask for a pause, a resume or a cancel; the job as it stands after. InvalidTransition if it has ended."""
    word, rest = CONTROL(connection, keys, action, retention_ms)
    if word == "ENDED":
        raise InvalidTransition(f"the job is {rest[0].decode()} already")
    return hashes.decode(_hash(rest[0]))


def settle(
    connection: Connection, keys: JobKeys, *, grace_ms: int, retention_ms: int
) -> tuple[Verdict, int | None]:
    """Look at a running job past its lease; the second look, `grace_ms` after the first, decides.

    Gives the verdict and, where there is a next look to take, when (ms since the epoch).
    """
    # A deposed primary must not settle even for itself: its readers would see a job end that lives on elsewhere.
    connection.confirm(keys.job, retention_ms)
    word, rest = SETTLE(connection, keys, grace_ms, retention_ms)
    return Verdict(word), int(rest[0]) if rest else None


def track(connection: Connection, keys: tuple[str], *, member: str, lease_ms: int) -> None:
    """Note when to look at a job's lease; a look that is due sooner stays."""
    TRACK(connection, keys, member, lease_ms, "LT")


def put_off(connection: Connection, keys: tuple[str], *, member: str, lease_ms: int) -> None:
    """Look at a job that is tracked in `lease_ms`, and no sooner."""
    TRACK(connection, keys, member, lease_ms, "XX")


def due(connection: Connection, keys: tuple[str], *, limit: int) -> list[str]:
    """The members of a bucket of the lease index whose next look has come."""
    _, rest = DUE(connection, keys, limit)
    return [member.decode(errors="replace") for member in rest[0]]


def _lost(status: str) -> str:
    return "another worker has taken the job over" if status == "running" else f"the job is {status} already"


def _hash(flat: list[bytes]) -> dict[bytes, bytes]:
    return dict(zip(flat[::2], flat[1::2], strict=True))
