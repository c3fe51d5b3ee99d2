"""The scripts in `lua/`, one typed function each. They decide everything about a job's life.

A script answers with a plain word and what belongs to the word; the functions here turn both into results and
errors. Keys, arguments and answers are described at the head of each script. A script that would change a job's
status, and is not told by `placed` that the job is in the index of that status already, writes nothing; its
function then returns the Place to write first. `batchstatus.jobs.transitions` does so.
"""

import hashlib
from collections.abc import Sequence
from importlib.resources import files
from typing import Any

from batchstatus import rows, values
from batchstatus.errors import (
    InvalidTransition,
    JobExists,
    JobNotFound,
    LeaseHeld,
    LeaseLost,
    ReportsLost,
)
from batchstatus.keys import JobKeys
from batchstatus.messages import HEARTBEAT, Batch, Claim, Content, Ending, Look, Reported, Verdict, Wanted
from batchstatus.model import Action, Job, Place, Status
from batchstatus.protocol import hashes
from batchstatus.transport.connection import Connection

FRESH_MS = 5 * 60_000
"""How long after a job was entered into the index the job may be made."""


class Script:
    """A script by its verb, loaded once. Calling it runs it, and returns the answer's word and the rest."""

    def __init__(self, verb: str, *, durable: bool = True) -> None:
        self._durable = durable
        self.source = files("batchstatus.protocol").joinpath("lua", f"{verb}.lua").read_text("utf-8")
        self._sha1 = hashlib.sha1(self.source.encode(), usedforsecurity=False).hexdigest()

    def __call__(
        self, connection: Connection, keys: Sequence[str], *arguments: str | int
    ) -> tuple[str, list[Any]]:
        """Run the script; JobNotFound if there is no job."""
        word, *rest = connection.evaluate(self._sha1, self.source, keys, arguments, durable=self._durable)
        if word == b"NOT_FOUND":
            raise JobNotFound("there is no such job")
        return word.decode(), rest


CREATE, CLAIM, REPORT, FINISH = map(Script, ("create", "claim", "report", "finish"))
CONTROL, SETTLE = map(Script, ("control", "settle"))
ENTER, PLACE = map(Script, ("enter", "place"))
TRACK, MOVE, DUE, FORGET = (Script(verb, durable=False) for verb in ("track", "move", "due", "forget"))


def create(
    connection: Connection,
    keys: JobKeys,
    org: str,
    job_id: str,
    content: Content,
    created_ms: int,
    fresh_ms: int = FRESH_MS,
) -> Job | None:
    """Make a queued job, or return the one made before with the same content; else JobExists.

    None if `created_ms` is longer ago than `fresh_ms`: it is then the time of a job that is gone.
    """
    total = "" if content.total_items is None else content.total_items
    given = (content.kind, total, content.metadata, content.takeover_ms, content.digest)
    times = (connection.settings.retention_ms, created_ms, fresh_ms)
    word, rest = CREATE(connection, keys, org, job_id, *given, *times)
    if word == "STALE":
        return None
    if word == "TAKEN":
        raise JobExists(f"job {job_id} exists with another kind, total, metadata or takeover window")
    return hashes.decode(_hash(rest[0]))


def claim(connection: Connection, keys: JobKeys, token: str, placed: str = Status.RUNNING) -> Claim | Place:
    """Take the job, or raise LeaseHeld or InvalidTransition. The same token again gives the same fence."""
    settings = connection.settings
    times = (settings.lease_ms, settings.grace_ms, settings.retention_ms)
    word, rest = CLAIM(connection, keys, token, *times, placed)
    if word == "PLACE":
        return hashes.place_of(*rest)
    if word == "HELD":
        raise LeaseHeld("another worker holds the job's lease", left_s=rest[0] / 1000)
    if word == "ENDED":
        raise InvalidTransition(f"the job is {rest[0].decode()} and cannot be run")
    stored = _hash(rest[0])
    return Claim(
        job=hashes.decode(stored),
        fence=hashes.integer(stored, b"fence") or 0,
        token=token,
        seq=hashes.integer(stored, b"seq") or 0,
        checkpoint=hashes.load_json(stored, b"checkpoint"),
    )


def report(
    connection: Connection,
    keys: JobKeys,
    claim: Claim,
    seq: int,
    batch: Batch = HEARTBEAT,
    *,
    paused: bool = False,
) -> Reported:
    """Count a batch and renew the lease. With the last `seq`: renew only.

    Raises LeaseLost when fenced out, ReportsLost when the store no longer has reports that it acknowledged.
    """
    settings = connection.settings
    head = (claim.fence, claim.token, seq, settings.lease_ms, settings.retention_ms, settings.max_rows)
    total = "" if batch.total_items is None else batch.total_items
    checkpoint = "" if batch.checkpoint is None else values.checkpoint(batch.checkpoint)
    covered = batch.counts if batch.covered is None else batch.covered
    counted = (batch.succeeded, total, checkpoint, *covered, int(paused), len(batch.failures))
    listed = map(rows.encode, (*batch.failures, *batch.skips))
    word, rest = REPORT(connection, keys, *head, *counted, *listed)
    if word == "FENCED":
        raise LeaseLost(_lost(rest[0].decode()))
    if word == "GAP":
        raise ReportsLost(f"the store is at report {rest[0]}, the worker at {seq}: acknowledged reports were lost")
    return Reported(Wanted(rest[1].decode()), int(rest[2]) if rest[2] != b"" else None)


def finish(
    connection: Connection,
    keys: JobKeys,
    claim: Claim,
    ending: Ending,
    seq: int | None = None,
    placed: str | None = None,
) -> Place | None:
    """End the job, or with `interrupted` give its lease back. May be repeated. LeaseLost when fenced out.

    With `seq`, the number of the last report, ReportsLost unless the store still has that report.
    """
    last, there = "" if seq is None else seq, ending.status if placed is None else placed
    end = (ending.status, ending.worker_error or "", ending.job_failure or "")
    retention_ms = connection.settings.retention_ms
    word, rest = FINISH(connection, keys, claim.fence, claim.token, *end, retention_ms, last, there)
    if word == "PLACE":
        return hashes.place_of(*rest)
    if word == "FENCED":
        raise LeaseLost(_lost(rest[0].decode()))
    if word == "GAP":
        raise ReportsLost(f"the store is at report {rest[0]} of {seq}: acknowledged reports were lost")
    return None


def control(connection: Connection, keys: JobKeys, action: Action, placed: str = Status.CANCELLED) -> Job | Place:
    """Ask for a pause, a resume or a cancel; returns the job after it. InvalidTransition if the job has ended."""
    word, rest = CONTROL(connection, keys, action, connection.settings.retention_ms, placed)
    if word == "PLACE":
        return hashes.place_of(*rest)
    if word == "ENDED":
        raise InvalidTransition(f"the job is {rest[0].decode()} already")
    return hashes.decode(_hash(rest[0]))


def settle(connection: Connection, keys: JobKeys, placed: str = Status.INTERRUPTED) -> Look | Place:
    """Look at a running job past its lease; the second look, a grace after the first, decides."""
    settings = connection.settings
    # A deposed primary must not settle even for itself: its readers would see a job end that lives on elsewhere.
    connection.confirm(keys, settings.retention_ms)
    word, rest = SETTLE(connection, keys, settings.grace_ms, settings.retention_ms, placed)
    if word == "PLACE":
        return hashes.place_of(*rest)
    return Look(Verdict(word), int(rest[0]) if rest else None)


def enter(connection: Connection, keys: tuple[str], job_id: str) -> int:
    """Put a job that is to be made into its organization's index; returns its `createdAt` (ms since the epoch)."""
    _, rest = ENTER(connection, keys, job_id)
    return int(float(rest[0]))


def place(connection: Connection, keys: tuple[str], job_id: str, created_ms: int) -> None:
    """Put a job into the index of the status that it is about to come into."""
    PLACE(connection, keys, job_id, created_ms)


def forget(connection: Connection, keys: Sequence[str], member: str, older_ms: int) -> bool:
    """Take a job out of indexes where its time is `older_ms` ago or longer. Returns True if it is in none now."""
    _, rest = FORGET(connection, keys, member, older_ms)
    return bool(rest[0] == 0)


def track(connection: Connection, keys: tuple[str], member: str, in_ms: int, which: str) -> None:
    """Note when to look at a job: `LT`, no later than that; `GT`, no sooner; `XX`, then, if it is tracked."""
    TRACK(connection, keys, member, in_ms, which)


def move(connection: Connection, keys: tuple[str], member: str, due_ms: int) -> None:
    """Have a job that is still tracked looked at again at `due_ms`."""
    MOVE(connection, keys, member, due_ms)


def due(connection: Connection, keys: tuple[str], limit: int) -> list[str]:
    """Returns the members of a bucket whose next look has come."""
    _, rest = DUE(connection, keys, limit)
    return [member.decode(errors="replace") for member in rest[0]]


def _lost(status: str) -> str:
    return "another worker has taken the job over" if status == "running" else f"the job is {status} already"


def _hash(flat: list[bytes]) -> dict[bytes, bytes]:
    return dict(zip(flat[::2], flat[1::2], strict=True))
