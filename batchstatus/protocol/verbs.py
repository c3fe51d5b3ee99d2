"""The scripts in `lua/`, one typed function each. They decide everything about a job's life.

A script answers with a plain word and what belongs to it; the functions here turn the words into results
and errors. Keys, arguments and answers are described at the head of each script. One that is about to change a
job's status raises Unplaced unless `placed` names that status: `batchstatus.transitions` takes care of it.
"""

from collections.abc import Sequence

from batchstatus.errors import (
    InvalidTransition,
    InvalidValue,
    JobExists,
    LeaseHeld,
    LeaseLost,
    ReportsLost,
)
from batchstatus.keys import JobKeys
from batchstatus.model import Action, Claim, Job, Kind, Status, Verdict, Wanted
from batchstatus.protocol import hashes
from batchstatus.protocol.script import Script
from batchstatus.transport.connection import Connection

FRESH_MS = 5 * 60_000
"""How long after it was entered into the index a job may be made."""

CREATE, CLAIM, REPORT, FINISH = map(Script, ("create", "claim", "report", "finish"))
CONTROL, SETTLE = map(Script, ("control", "settle"))
ENTER, PLACE = map(Script, ("enter", "place"))
TRACK, MOVE, DUE, FORGET = (Script(verb, durable=False) for verb in ("track", "move", "due", "forget"))


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
    created_ms: int,
    fresh_ms: int = FRESH_MS,
) -> Job | None:
    """Make a queued job, or give the one made before with the same content; else JobExists.

    None if `created_ms` is longer ago than `fresh_ms`: it is then that of a job which is gone.
    """
    total = "" if total_items is None else total_items
    arguments = (org_id, job_id, kind, total, metadata, takeover_ms, digest, retention_ms, created_ms, fresh_ms)
    word, rest = CREATE(connection, keys, *arguments)
    if word == "STALE":
        return None
    if word == "TAKEN":
        raise JobExists(f"job {job_id} exists with another kind, total, metadata or takeover window")
    return hashes.decode(_hash(rest[0]))


def claim(
    connection: Connection,
    keys: JobKeys,
    *,
    token: str,
    lease_ms: int,
    grace_ms: int,
    retention_ms: int,
    placed: str = Status.RUNNING,
) -> Claim:
    """Take the job, or raise LeaseHeld or InvalidTransition. The same token again gives the same fence."""
    word, rest = CLAIM(connection, keys, token, lease_ms, grace_ms, retention_ms, placed)
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
    *,
    fence: int,
    token: str,
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
    head = (fence, token, seq, lease_ms, retention_ms, max_rows)
    counted = (succeeded, total, checkpoint or "", int(paused), len(failures))
    word, rest = REPORT(connection, keys, *head, *counted, *failures, *skips)
    if word == "FENCED":
        raise LeaseLost(_lost(rest[0].decode()))
    if word == "TOO_MANY":
        raise InvalidValue(f"more rows were reported than the job's total of {rest[0]:,}; none of them counted")
    if word == "GAP":
        raise ReportsLost(f"the store is at report {rest[0]}, the worker at {seq}: acknowledged reports were lost")
    return Wanted(rest[1].decode())


def finish(
    connection: Connection,
    keys: JobKeys,
    *,
    fence: int,
    token: str,
    status: Status,
    worker_error: str | None = None,
    job_failure: str | None = None,
    retention_ms: int,
    seq: int | None = None,
    placed: str | None = None,
) -> None:
    """End the job, or with `interrupted` give its lease back. May be repeated. LeaseLost when fenced out.

    With `seq`, that of the last report, ReportsLost unless the store still has it.
    """
    arguments = (fence, token, status, worker_error or "", job_failure or "", retention_ms)
    last, there = "" if seq is None else seq, status if placed is None else placed
    word, rest = FINISH(connection, keys, *arguments, last, there)
    if word == "FENCED":
        raise LeaseLost(_lost(rest[0].decode()))
    if word == "GAP":
        raise ReportsLost(f"the store is at report {rest[0]} of {seq}: acknowledged reports were lost")


def control(
    connection: Connection, keys: JobKeys, *, action: Action, retention_ms: int, placed: str = Status.CANCELLED
) -> Job:
    """Ask for a pause, a resume or a cancel; the job as it stands after. InvalidTransition if it has ended."""
    word, rest = CONTROL(connection, keys, action, retention_ms, placed)
    if word == "ENDED":
        raise InvalidTransition(f"the job is {rest[0].decode()} already")
    return hashes.decode(_hash(rest[0]))


def settle(
    connection: Connection, keys: JobKeys, *, grace_ms: int, retention_ms: int, placed: str = Status.INTERRUPTED
) -> tuple[Verdict, int | None]:
    """Look at a running job past its lease; the second look, `grace_ms` after the first, decides.

    Gives the verdict and, where there is a next look to take, when (ms since the epoch).
    """
    # A deposed primary must not settle even for itself: its readers would see a job end that lives on elsewhere.
    connection.confirm(keys, retention_ms)
    word, rest = SETTLE(connection, keys, grace_ms, retention_ms, placed)
    return Verdict(word), int(rest[0]) if rest else None


def enter(connection: Connection, keys: tuple[str], *, job_id: str) -> int:
    """Put a job that is to be made into its organization's index; its `createdAt` (ms since the epoch)."""
    _, rest = ENTER(connection, keys, job_id)
    return int(float(rest[0]))


def place(connection: Connection, keys: tuple[str], *, job_id: str, created_ms: int) -> None:
    """Put a job into the index of the status that it is about to come into."""
    PLACE(connection, keys, job_id, created_ms)


def forget(connection: Connection, keys: Sequence[str], *, member: str, older_ms: int) -> bool:
    """Take a job out of indexes where its time is `older_ms` ago or longer; whether it is in none of them now."""
    _, rest = FORGET(connection, keys, member, older_ms)
    return bool(rest[0] == 0)


def track(connection: Connection, keys: tuple[str], *, member: str, in_ms: int, which: str) -> None:
    """Note when to look at a job: `LT`, no later than that; `GT`, no sooner; `XX`, then, if it is tracked."""
    TRACK(connection, keys, member, in_ms, which)


def move(connection: Connection, keys: tuple[str], *, member: str, due_ms: int) -> None:
    """Have a job that is still tracked looked at again at `due_ms`."""
    MOVE(connection, keys, member, due_ms)


def due(connection: Connection, keys: tuple[str], *, limit: int) -> list[str]:
    """The members of a bucket whose next look has come."""
    _, rest = DUE(connection, keys, limit)
    return [member.decode(errors="replace") for member in rest[0]]


def _lost(status: str) -> str:
    return "another worker has taken the job over" if status == "running" else f"the job is {status} already"


def _hash(flat: list[bytes]) -> dict[bytes, bytes]:
    return dict(zip(flat[::2], flat[1::2], strict=True))
