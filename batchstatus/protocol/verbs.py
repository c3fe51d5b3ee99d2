"""The scripts in `lua/`, one typed function each. They decide everything about a job's life.

A script answers with a plain word and what belongs to the word; the functions here turn both into results and
errors. Keys, arguments and answers are described at the head of each script. A script that would change a job's
status, and is not told by `placed` that the job is in the index of that status already, writes nothing; its
function then returns the Place to write first. `batchstatus.jobs.transitions` does so.
"""

from collections.abc import Sequence
from typing import Literal, TypeAlias

from batchstatus.model import rows, values
from batchstatus.model.errors import (
    InvalidTransition,
    InvalidValue,
    JobCorrupt,
    JobEnded,
    JobExists,
    LeaseHeld,
    LeaseLost,
    ReportsLost,
)
from batchstatus.model.job import TERMINAL, Action, Job, Place, Status
from batchstatus.model.keys import JobKeys
from batchstatus.model.kinds import Kinds
from batchstatus.model.messages import HEARTBEAT, Batch, Claim, Content, Ending, Grant, Look, Reported, Verdict
from batchstatus.protocol import hashes
from batchstatus.protocol.script import Script, Sender
from batchstatus.transport.connection import Connection

Asked: TypeAlias = Action | Literal["expire"]

FRESH_MS = 5 * 60_000
"""How long after a job was entered into the index the job may be made."""

CREATE, CLAIM, REPORT, FINISH = map(Script, ("create", "claim", "report", "finish"))
CONTROL, SETTLE, SPLIT = map(Script, ("control", "settle", "split"))
ENTER, PLACE = map(Script, ("enter", "place"))
TRACK, MOVE, FORGET = (Script(verb, durable=False) for verb in ("track", "move", "forget"))
DUE, TURN = (Script(verb, durable=False) for verb in ("due", "turn"))


def create(
    connection: Sender,
    keys: JobKeys,
    org: str,
    job_id: str,
    content: Content,
    created_ms: int,
    fresh_ms: int = FRESH_MS,
) -> Job | Place | None:
    """Make a queued job, or return the one made before with the same content.

    The Place of the job that has the id, if that was made with other content. None if `created_ms` is longer ago
    than `fresh_ms`: it is then the time of a job that is gone.
    """
    total = "" if content.total_items is None else content.total_items
    given = (content.kind, total, content.metadata, content.takeover_ms, content.digest)
    times = (connection.settings.retention_ms, created_ms, fresh_ms)
    parts = "" if content.parts is None else content.parts
    word, rest = CREATE(connection, keys, org, job_id, *given, *times, parts)
    if word == "STALE":
        return None
    if word == "TAKEN":
        try:
            return hashes.place_of(connection.settings.kinds, *rest)
        except JobCorrupt as error:
            raise JobExists(f"the id is taken: {error}") from None
    return hashes.decode(_hash(rest[0]), connection.settings.kinds)


def split(connection: Sender, keys: JobKeys, parts: int) -> Job:
    """Split a queued job into parts; the same again returns the job. Else JobEnded, InvalidTransition."""
    word, rest = SPLIT(connection, keys, parts, connection.settings.retention_ms)
    if word == "SPLIT":
        raise InvalidTransition(f"the job is split into {int(rest[0])} parts already")
    if word == "BEGUN" and (status := Status(rest[0].decode())) in TERMINAL:
        raise JobEnded(status)
    if word == "BEGUN":
        raise InvalidTransition("a worker has the whole job: only a queued job can be split")
    return hashes.decode(_hash(rest[0]), connection.settings.kinds)


def claim(
    connection: Sender,
    keys: JobKeys,
    token: str,
    placed: str = Status.RUNNING,
    *,
    lease_ms: int | None = None,
    worker: str = "",
) -> Claim | Place:
    """Take the job, or raise LeaseHeld or JobEnded. The same token again gives the same fence.

    `worker` says who claims, for people. InvalidValue for a job of a kind that is not declared.
    """
    settings = connection.settings
    times = (lease_ms or settings.lease_ms, settings.grace_ms, settings.retention_ms)
    word, rest = CLAIM(connection, keys, token, *times, placed, worker)
    if word == "PLACE":
        _require_declared(settings.kinds, rest[1])
        return hashes.place_of(connection.settings.kinds, *rest)
    if word == "HELD":
        raise LeaseHeld("another worker holds the job's lease", left_s=rest[0] / 1000)
    if word == "ENDED":
        raise JobEnded(Status(rest[0].decode()))
    if word == "SPLIT":
        raise InvalidTransition(f"the job is split: run one of its parts, 1 to {int(rest[0])}, with `part`")
    stored = _hash(rest[0])
    fence = hashes.integer(stored, b"fence") or 0
    try:
        _require_declared(settings.kinds, stored.get(b"kind"))
    except InvalidValue:  # a takeover; a worker that knows the kind may have the job at once
        FINISH(connection, keys, fence, token, Status.INTERRUPTED, "", "", settings.retention_ms, "", "")
        raise
    return Claim(
        job=hashes.decode(_hash(rest[-1]), settings.kinds),
        fence=fence,
        token=token,
        seq=hashes.integer(stored, b"seq") or 0,
        checkpoint=hashes.load_json(stored, b"checkpoint"),
        attempt=hashes.integer(stored, b"attempt") or 1,
        takeover_ms=hashes.integer(stored, b"takeoverMs") or 0,
        lease_ms=lease_ms,
        lease_expires_at=hashes.time(stored, b"leaseExpiresAt"),
    )


def report(
    connection: Sender, keys: JobKeys, claim: Grant, seq: int, batch: Batch = HEARTBEAT, *, paused: bool = False
) -> Reported:
    """Count a batch and renew the lease. With the last `seq`: renew only.

    Raises LeaseLost when fenced out, ReportsLost when the store no longer has reports that it acknowledged.
    """
    settings = connection.settings
    lease_ms = claim.lease_ms or settings.lease_ms
    head = (claim.fence, claim.token, seq, lease_ms, settings.retention_ms, settings.max_rows)
    total = "" if batch.total_items is None else batch.total_items
    checkpoint = "" if batch.checkpoint is None else values.checkpoint(batch.checkpoint)
    covered = batch.counts if batch.covered is None else batch.covered
    counted = (batch.succeeded, total, checkpoint, *covered, int(paused), len(batch.failures))
    listed = map(rows.encode, (*batch.failures, *batch.skips))
    word, rest = REPORT(connection, keys, *head, *counted, *listed)
    if word == "FENCED":
        raise LeaseLost(_lost(rest[0].decode()))
    if word == "GAP" or word == "EMPTY":
        raise ReportsLost(
            f"the store is at report {rest[0]}, the worker at {seq}: acknowledged reports were lost", rest[0]
        )
    return hashes.reported(*rest[1:])


def finish(
    connection: Sender,
    keys: JobKeys,
    claim: Grant,
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
        return hashes.place_of(connection.settings.kinds, *rest)
    if word == "FENCED":
        raise LeaseLost(_lost(rest[0].decode()))
    if word == "GAP":
        raise ReportsLost(f"the store is at report {rest[0]} of {seq}: acknowledged reports were lost", rest[0])
    return None


def control(connection: Sender, keys: JobKeys, action: Asked, placed: str = Status.CANCELLED) -> Job | Place:
    """Control a job, or expire it (control.lua); returns the job after it. JobEnded if it has ended."""
    word, rest = CONTROL(connection, keys, action, connection.settings.retention_ms, placed)
    if word == "PLACE":
        return hashes.place_of(connection.settings.kinds, *rest)
    if word == "ENDED":
        raise JobEnded(Status(rest[0].decode()))
    return hashes.decode(_hash(rest[0]), connection.settings.kinds)


def settle(connection: Sender, keys: JobKeys, placed: str = Status.INTERRUPTED) -> Look | Place:
    """Look at a running job past its lease; the second look, a grace after the first, decides."""
    settings = connection.settings
    # A deposed primary must not settle even for itself: its readers would see a job end that lives on elsewhere.
    connection.confirm(keys, settings.retention_ms)
    word, rest = SETTLE(connection, keys, settings.grace_ms, settings.retention_ms, placed)
    if word == "PLACE":
        return hashes.place_of(connection.settings.kinds, *rest)
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


def due(connection: Connection, keys: Sequence[str], limit: int) -> list[list[str]]:
    """Returns for each bucket the members whose next look has come."""
    _, rest = DUE(connection, keys, limit)
    return [[member.decode(errors="replace") for member in members] for members in rest[0]]


def turn(connection: Connection, keys: tuple[str], token: str, turn_ms: int) -> bool:
    """Take or keep the turn to work off an index. Returns True if it is the token's now."""
    word, _ = TURN(connection, keys, token, turn_ms)
    return word == "OK"


def _require_declared(kinds: Kinds, kind: bytes | None) -> None:
    """Refuse to run a job of a kind that this worker has not declared: its rows could not be checked."""
    if kinds.stored(kind or b"") is None:
        raise InvalidValue(f"the job's kind {kind!r:.80} is not one of {', '.join(kinds.names)}")


def _lost(status: str) -> str:
    return "another worker has taken the job over" if status == "running" else f"the job is {status} already"


def _hash(flat: list[bytes]) -> dict[bytes, bytes]:
    return dict(zip(flat[::2], flat[1::2], strict=True))
