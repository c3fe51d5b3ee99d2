"""The notices of jobs' ends: which endpoint is to be told of which, how often that was tried, and what came of it.

A job's end is one write, and the job's entry in the lease index stays until a reaper's look has found the end. The
reaper notes for whom the end is, has a dispatcher look, and only then drops its entry. Each of these steps may be
repeated, so that no end is without its notices, whoever dies in between.
"""

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import cycle

from batchstatus.jobs.looks import SLICE, Looks
from batchstatus.jobs.reader import Reader
from batchstatus.model.errors import InvalidValue, JobNotFound
from batchstatus.model.job import Job, moment
from batchstatus.model.keys import BUCKETS, Entry, Keys
from batchstatus.protocol.script import Script
from batchstatus.transport.connection import Connection, Hash
from batchstatus.webhooks.endpoints import Endpoint, Endpoints, type_of

KEPT_MS = 10 * 86_400_000
"""How much longer than its job a notice is kept: a job may expire while tries go on. They take some 3 days, and 9
where each answer asks for the longest wait."""

MOST_LISTED = 1_000
"""How many of an organization's deliveries are listed at most."""

_PACKAGE = "batchstatus.webhooks"
NOTE = Script("note", package=_PACKAGE)
TRY, TRIED, LOOK = (Script(verb, package=_PACKAGE, durable=False) for verb in ("try", "tried", "look"))


@dataclass(frozen=True, slots=True)
class Delivery:
    """How far an endpoint has been told of a job's end.

    `state` is `due`, `delivered` or `failed` (given up). `tried_at` is the last try, of `tries` so far; `answer`
    what came of it, for people; `next_at` the next try, None if there is to be none.
    """

    id: str
    org: str
    job_id: str
    endpoint: str
    state: str
    tries: int
    tried_at: datetime | None
    next_at: datetime | None
    answer: str | None


@dataclass(frozen=True, slots=True)
class Try:
    """A try that is this dispatcher's: the `number`-th (from 1), begun `at_s` (seconds since the epoch)."""

    message_id: str
    body: bytes
    number: int
    at_s: int
    token: str


class Schedule(Looks):
    """The schedule of looks at jobs with notices that are to be sent."""

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection, connection.keys.notices)

    def ask(self, entry: Entry) -> None:
        """Have a dispatcher look now."""
        LOOK(self._connection, (entry.key,), entry.member, 0, "")

    def asked_ms(self, entry: Entry) -> int | None:
        """Returns for when a look was asked for (ms since the epoch); None if none is needed any more."""
        found = self._connection.command("ZSCORE", entry.key, entry.member)
        return None if found is None else int(float(found))

    def looked(self, entry: Entry, asked_ms: int, next_ms: int | None) -> None:
        """After a look that was asked for at `asked_ms`: look again in `next_ms`, or no more.

        Does nothing if another was asked for meanwhile.
        """
        LOOK(self._connection, (entry.key,), entry.member, "" if next_ms is None else next_ms, asked_ms)


class Notices:
    """The notices of all organizations."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._keys: Keys = connection.keys
        self._reader = Reader(connection)
        self._keep_ms = connection.settings.retention_ms + KEPT_MS
        self.endpoints = Endpoints(connection)
        self.schedule = Schedule(connection)
        self._buckets = cycle(range(BUCKETS))

    def note(self, org: str, job_id: str) -> None:
        """Note for whom a job's end is, once; JobNotFound if there is no such job. May be repeated."""
        if endpoints := self.endpoints.list(org):
            job, _ = self._reader.read(org, job_id)
            self._note(org, job, [each for each in endpoints if each.wants(job)])

    def replay(self, org: str, job_id: str, endpoints: Sequence[Endpoint] | None = None) -> list[Endpoint]:
        """Have a job's end sent once more, whatever has become of its notices; returns the endpoints.

        Without `endpoints`, to all that are told of jobs like this one. Under the same `webhook-id` as before.
        """
        job, _ = self._reader.read(org, job_id)
        if not job.terminal:
            raise InvalidValue(f"job {job_id} has not ended, it is {job.status}")
        told = (
            [each for each in self.endpoints.list(org) if each.wants(job)] if endpoints is None else [*endpoints]
        )
        self._note(org, job, told, again="again")
        return told

    def due(self, org: str, job_id: str, endpoints: Iterable[Endpoint]) -> list[Endpoint]:
        """Returns those endpoints that are still to be told of a job's end. One round trip."""
        asked = [*endpoints]
        states = self._connection.pipeline(
            [("HGET", self._keys.notice(org, job_id, each.short_id), "state") for each in asked]
        )
        return [each for each, state in zip(asked, states, strict=True) if state == b"due"]

    def begin(self, org: str, job_id: str, endpoint: Endpoint, token: str, hold_ms: int) -> Try | int | None:
        """Take the next try; or returns in how many ms it is due, None if there is to be none."""
        key = self._keys.notice(org, job_id, endpoint.short_id)
        try:
            word, rest = TRY(self._connection, (key,), token, hold_ms)
        except JobNotFound:
            return None
        if word == "OK":
            message_id, body, tries, now = rest
            return Try(message_id.decode(), body, int(tries), int(now) // 1000, token)
        return int(rest[0]) if word == "LATER" else None

    def end(
        self, org: str, job_id: str, endpoint: Endpoint, begun: Try, state: str, in_ms: int, answer: str
    ) -> None:
        """Note what came of a try, and have the next one looked for `in_ms` from now if the state is `due`."""
        key = self._keys.notice(org, job_id, endpoint.short_id)
        try:
            TRIED(self._connection, (key,), begun.token, state, in_ms, answer)
        except JobNotFound:  # erased meanwhile
            return
        self._list(org, job_id, endpoint)
        self.schedule.ask(self._keys.notices_entry(org, job_id))

    def forget(self) -> None:
        """Drop looks that no dispatcher has taken, at notices that are gone by now; one bucket at a time.

        That is where no process has the operator's key any more.
        """
        key, long_ago_ms = (
            self._keys.notices(next(self._buckets)),
            int(self._connection.clock_ms()) - self._keep_ms,
        )
        if old := self._connection.command("ZRANGEBYSCORE", key, "-inf", long_ago_ms, "LIMIT", 0, SLICE):
            self._connection.write("ZREM", key, *old)

    def deliveries(self, org: str, *, job_id: str | None = None, limit: int = 20) -> list[Delivery]:
        """Returns the organization's deliveries, or those of one job, the latest change first."""
        listed = self._latest(org, 0, MOST_LISTED if job_id else limit)
        names = [member.decode().split(":") for member in listed]
        names = [each for each in names if job_id is None or each[0] == job_id][:limit]
        stored = self._connection.hashes([self._keys.notice(org, *each) for each in names])
        found = zip(names, stored, strict=True)
        return [_delivery(org, job, endpoint, each) for (job, endpoint), each in found if each]

    def _note(self, org: str, job: Job, endpoints: Iterable[Endpoint], again: str = "") -> None:
        text, told = body_of(job), False
        for endpoint in endpoints:
            keys = (self._keys.job(org, job.job_id).job, self._keys.notice(org, job.job_id, endpoint.short_id))
            NOTE(self._connection, keys, message_id(org, job, endpoint), text, self._keep_ms, again)
            self._list(org, job.job_id, endpoint)
            told = True
        if told:  # last: whoever dies before has the reaper, or the operator, do all of it once more
            self.schedule.ask(self._keys.notices_entry(org, job.job_id))

    def _list(self, org: str, job_id: str, endpoint: Endpoint) -> None:
        """Put a delivery at the head of the organization's list."""
        key, now_ms = self._keys.deliveries(org), int(self._connection.clock_ms())
        added = ("ZADD", key, now_ms, f"{job_id}:{endpoint.short_id}")
        self._connection.write_together(added, ("PEXPIRE", key, self._keep_ms))
        if too_many := self._latest(org, MOST_LISTED, MOST_LISTED):
            self._connection.write("ZREM", key, *too_many)

    def _latest(self, org: str, first: int, many: int) -> list[bytes]:
        """Returns at most so many members of the list of deliveries, the latest first, from number `first` on."""
        key = self._keys.deliveries(org)
        found: list[bytes] = self._connection.command(
            "ZREVRANGEBYSCORE", key, "+inf", "-inf", "LIMIT", first, many
        )
        return found


def message_id(org: str, job: Job, endpoint: Endpoint) -> str:
    """Returns the `webhook-id` of the notice of a job's end for an endpoint: the same for every try."""
    named = f"{org}:{job.job_id}:{job.created_ms}:{endpoint.short_id}"  # an id may be another job's after a while
    return f"msg_{hashlib.sha256(named.encode()).hexdigest()[:32]}"


def body_of(job: Job) -> str:
    """Returns the notice of a job's end, as it is sent (contract: docs/webhooks.md)."""
    wire = job.to_dict()
    members = (
        "jobId",
        "kind",
        "status",
        "totalItems",
        "succeeded",
        "failed",
        "skipped",
        "completedAt",
        "metadata",
    )
    notice = {
        "type": type_of(job),
        "timestamp": wire["completedAt"],
        "data": {name: wire[name] for name in members},
    }
    return json.dumps(notice, separators=(",", ":"))  # in ASCII: metadata may have half a surrogate pair


def _delivery(org: str, job_id: str, endpoint: str, stored: Hash) -> Delivery:
    fields = {name.decode(): value.decode() for name, value in stored.items()}
    state = fields.get("state", "failed")

    def at(name: str) -> datetime | None:
        return moment(int(fields[name])) if name in fields else None

    return Delivery(
        id=fields.get("id", ""),
        org=org,
        job_id=job_id,
        endpoint=f"{org}.{endpoint}",
        state=state,
        tries=int(fields.get("tries", 0)),
        tried_at=at("triedAt"),
        next_at=at("nextAt") if state == "due" else None,
        answer=fields.get("answer"),
    )
