"""Short cuts to what the worker SDK's tests talk about: rows, keys, dead workers, stores that misbehave."""

import hashlib
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import redis

from batchstatus import Job, JobStore
from batchstatus.keys import JobKeys, Keys
from batchstatus.messages import Batch, Claim
from batchstatus.protocol import verbs
from batchstatus.settings import StoreSettings
from batchstatus.transport.connection import Connection
from tests.support.waiting import wait_until

ORG = "org_acme"
VERBS = {
    text: verb
    for verb in ("CREATE", "CLAIM", "REPORT", "FINISH", "SETTLE")
    for source in [getattr(verbs, verb).source]
    for text in (source, hashlib.sha1(source.encode()).hexdigest())
}


def verb_of(words: Sequence[Any]) -> str | None:
    """The script that a command runs, such as "REPORT"; None for other commands."""
    return VERBS.get(words[1]) if words[0] in ("EVAL", "EVALSHA") else None


def rejected(number: int, **members: Any) -> dict[str, Any]:
    """A transaction that failed."""
    return {"externalId": f"T-{number}", "code": "VALIDATION_ERROR", "message": "no amount", **members}


def skipped(number: int) -> dict[str, Any]:
    """A transaction that was skipped."""
    return {"externalId": f"T-{number}", "code": "SKIPPED_ENTITY_ALREADY_EXISTS"}


def counters(job: Job) -> tuple[int, int, int]:
    """Succeeded, failed and skipped rows."""
    return job.succeeded, job.failed, job.skipped


def keys_of(job: Job) -> JobKeys:
    """The job's three keys, under the default prefix."""
    return Keys("batchstatus").job(ORG, job.job_id)


def fields(client: "redis.Redis", job: Job) -> dict[str, str]:
    """The job's hash as it is stored."""
    stored: Any = client.hgetall(keys_of(job).job)
    return {name.decode(): value.decode() for name, value in stored.items()}


def store_ms(client: "redis.Redis") -> int:
    """The store's clock, in ms since the epoch."""
    seconds, microseconds = client.time()
    return int(seconds) * 1000 + int(microseconds) // 1000


def claim_and_vanish(client: "redis.Redis", job: Job, *, lease_ms: int = 1, **report: Any) -> Claim:
    """Be a worker that claims the job, sends one report and is never heard of again, until its lease is out."""
    connection = Connection(client, StoreSettings(lease_s=lease_ms / 1000, grace_s=0, retention_s=60))
    claim = verbs.claim(connection, keys_of(job), "vanished")
    if report:
        verbs.report(connection, keys_of(job), claim, 1, Batch(**report))
    wait_until(lambda: store_ms(client) >= int(fields(client, job)["leaseExpiresAt"]))
    return claim


def raises(error: type[Exception], call: Callable[[], object]) -> bool:
    """Whether `call` raises `error` this time."""
    try:
        call()
    except error:
        return True
    return False


def enter(store: JobStore, job: Job, **options: Any) -> None:
    """Claim the job, and give it back at once as a worker does that is told to stop."""
    with suppress(SystemExit), store.run(ORG, job.job_id, **options):
        raise SystemExit


@dataclass(frozen=True)
class Report:
    """A report as it went over the wire; without content it is a heartbeat."""

    seq: int
    succeeded: int
    failures: int
    skips: int
    checkpoint: str

    @property
    def rows(self) -> int:
        """Failed and skipped rows."""
        return self.failures + self.skips

    @property
    def heartbeat(self) -> bool:
        """Whether nothing was counted."""
        return not (self.succeeded or self.rows or self.checkpoint)


class TroubledClient:
    """A client whose store can be away, or lose its answers; it keeps the reports that it has let through.

    It stands for a redis-py client in a JobStore, over fakeredis and a real Valkey alike.
    """

    def __init__(self, client: "redis.Redis") -> None:
        self.client = client
        self.away = False
        self.refuses: Callable[[tuple[Any, ...]], bool] = lambda _: False
        self.loses_answer_to: Callable[[tuple[Any, ...]], bool] = lambda _: False
        self.reports: list[Report] = []
        self.attempts: list[float] = []

    def execute_command(self, *words: Any) -> Any:
        """One command, unless the store is away, or away for this one."""
        self.attempts.append(time.monotonic())
        if self.away or self.refuses(words):
            raise redis.ConnectionError("connection refused")
        answer = self.client.execute_command(*words)
        if verb_of(words) == "REPORT":
            self.reports.append(_report(words))
        if self.loses_answer_to(words):
            raise redis.TimeoutError("timeout reading from socket")
        return answer

    def pipeline(self, *, transaction: bool) -> Any:
        """Several commands, unless the store is away."""
        if self.away:
            raise redis.ConnectionError("connection refused")
        return self.client.pipeline(transaction=transaction)


def _report(words: tuple[Any, ...]) -> Report:
    arguments = words[6:]
    n_failures = int(arguments[10])
    return Report(
        seq=int(arguments[2]),
        succeeded=int(arguments[6]),
        failures=n_failures,
        skips=len(arguments) - 11 - n_failures,
        checkpoint=arguments[8],
    )
