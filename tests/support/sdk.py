"""Helpers for tests of the worker SDK: rows, keys, dead workers, stores that misbehave."""

import hashlib
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import redis

from batchstatus import Job, JobStore
from batchstatus.model.keys import JobKeys, Keys
from batchstatus.model.messages import Batch, Claim
from batchstatus.protocol import verbs
from batchstatus.protocol.at_once import composed
from batchstatus.settings import StoreSettings
from batchstatus.transport.connection import Connection
from tests.support.waiting import wait_until

ORG = "org_acme"
UNHURRIED = {"timeout_s": 30.0}
"""Options of a store whose answers may take their time, as on a busy machine."""


def plain_client(url: str) -> "redis.Redis":
    """Returns a client that only looks on: its answers may take their time, too."""
    return redis.Redis.from_url(url, socket_timeout=30, socket_connect_timeout=30)


VERBS = {
    text: verb
    for verb in ("CREATE", "CLAIM", "REPORT", "FINISH", "SETTLE")
    for alone in [getattr(verbs, verb).source]
    for source in (alone, composed(alone)[1])
    for text in (source, hashlib.sha1(source.encode()).hexdigest())
}


def verb_of(words: Sequence[Any]) -> str | None:
    """Returns the script that a command runs, such as "REPORT", or None for other commands."""
    return VERBS.get(words[1]) if words[0] in ("EVAL", "EVALSHA") else None


def rejected(number: int, **members: Any) -> dict[str, Any]:
    """Returns a failed transaction."""
    return {"externalId": f"T-{number}", "code": "VALIDATION_ERROR", "message": "no amount", **members}


def skipped(number: int) -> dict[str, Any]:
    """Returns a skipped transaction."""
    return {"externalId": f"T-{number}", "code": "SKIPPED_ENTITY_ALREADY_EXISTS"}


def counters(job: Job) -> tuple[int, int, int]:
    """Returns the numbers of succeeded, failed and skipped rows."""
    return job.succeeded, job.failed, job.skipped


def keys_of(job: Job) -> JobKeys:
    """Returns the job's three keys, under the default prefix."""
    return Keys("batchstatus").job(ORG, job.job_id)


def fields(client: "redis.Redis", job: Job) -> dict[str, str]:
    """Returns the job's hash as stored."""
    stored: Any = client.hgetall(keys_of(job).job)
    return {name.decode(): value.decode() for name, value in stored.items()}


def store_ms(client: "redis.Redis") -> int:
    """Returns the store's time in ms since the epoch."""
    seconds, microseconds = client.time()
    return int(seconds) * 1000 + int(microseconds) // 1000


def claim_and_vanish(client: "redis.Redis", job: Job, *, lease_ms: int = 1, **report: Any) -> Claim:
    """Claim the job as a worker that vanishes after at most one report, and wait until its lease has expired."""
    connection = Connection(client, StoreSettings(lease_s=lease_ms / 1000, grace_s=0, retention_s=60))
    claim = verbs.claim(connection, keys_of(job), "vanished")
    if report:
        verbs.report(connection, keys_of(job), claim, 1, Batch(**report))
    wait_until(lambda: store_ms(client) >= int(fields(client, job)["leaseExpiresAt"]))
    return claim


def raises(error: type[Exception], call: Callable[[], object]) -> bool:
    """Returns True if `call` raises `error`."""
    try:
        call()
    except error:
        return True
    return False


def enter(store: JobStore, job: Job, **options: Any) -> None:
    """Claim the job and give it back at once, as a worker that is told to stop does."""
    with suppress(SystemExit), store.run(ORG, job.job_id, **options):
        raise SystemExit


@dataclass(frozen=True)
class Report:
    """A report as sent to the store. A report without content is a heartbeat."""

    seq: int
    succeeded: int
    failures: int
    skips: int
    checkpoint: str

    @property
    def rows(self) -> int:
        """The number of failed and skipped rows."""
        return self.failures + self.skips

    @property
    def heartbeat(self) -> bool:
        """True if the report counts nothing."""
        return not (self.succeeded or self.rows or self.checkpoint)


class TroubledClient:
    """A client whose store can be away or lose its answers. It records the reports that reached the store.

    It takes the place of a redis-py client in a JobStore, over fakeredis or a real Valkey.
    """

    def __init__(self, client: "redis.Redis") -> None:
        self.client = client
        self.away = False
        self.refuses: Callable[[tuple[Any, ...]], bool] = lambda _: False
        self.loses_answer_to: Callable[[tuple[Any, ...]], bool] = lambda _: False
        self.reports: list[Report] = []
        self.attempts: list[float] = []

    def execute_command(self, *words: Any) -> Any:
        """Run one command, unless the store is away or refuses this command."""
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
        """Returns a pipeline, unless the store is away."""
        if self.away:
            raise redis.ConnectionError("connection refused")
        return self.client.pipeline(transaction=transaction)


def _report(words: tuple[Any, ...]) -> Report:
    arguments = words[6:]
    n_failures = int(arguments[13])
    return Report(
        seq=int(arguments[2]),
        succeeded=int(arguments[6]),
        failures=n_failures,
        skips=len(arguments) - 14 - n_failures,
        checkpoint=arguments[8],
    )
