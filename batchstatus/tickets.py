"""Tickets: short-lived secrets for browsers, each of which reads one job, or an organization's, and does no more.

A ticket is `bst_` and 256 random bits; only its SHA-256 is stored. Tickets have keys of their own in the store, so
that a service that may mint tickets need not be able to mint API keys.
"""

import re
import secrets
from dataclasses import dataclass
from datetime import datetime

from batchstatus.apikeys import hashed
from batchstatus.model import values
from batchstatus.model.errors import ApiKeyNotFound, InvalidValue
from batchstatus.model.job import moment
from batchstatus.model.keys import ORG, checked_job, checked_org
from batchstatus.transport.connection import Connection, Hash

DEFAULT_S = 900.0
LONGEST_S = 86_400.0
TICKET = re.compile(r"bst_[A-Za-z0-9_-]{43}")


@dataclass(frozen=True, slots=True)
class Ticket:
    """A ticket's record, without the ticket itself. `id` is `<org>.<12 hex digits>`; times are UTC.

    `job_id` is the one job that the ticket reads, None for all jobs of the organization.
    """

    id: str
    org: str
    job_id: str | None
    created_at: datetime
    expires_at: datetime


class Tickets:
    """The tickets of all organizations; a JobStore has one as `store.tickets`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._keys = connection.keys

    def create(
        self, org: str, *, job_id: str | None = None, expires_in_s: float = DEFAULT_S, api_key: str | None = None
    ) -> tuple[str, Ticket]:
        """Mint a ticket; returns the ticket, which is not stored, and its record.

        `job_id` is the only job that it reads, None for all of the organization's; no job is looked up.
        `expires_in_s` is in seconds, up to 24 h. With `api_key`, the ticket ends when that key does, expired or
        revoked. Raises InvalidValue, and ApiKeyNotFound if the key has ended already.

            ticket, record = store.tickets.create("org_acme", job_id="november-1", expires_in_s=3600)
        """
        checked_org(org)
        if job_id is not None:
            checked_job(job_id)
        lifetime_ms = values.seconds_as_ms("expires_in_s", expires_in_s)
        if not 0 < lifetime_ms <= LONGEST_S * 1000:
            raise InvalidValue(f"expires_in_s {expires_in_s!r} is not between 1 ms and 24 hours")
        now_ms = int(self._connection.clock_ms())
        parent = None if api_key is None else hashed(api_key)
        ends_ms = now_ms + lifetime_ms if parent is None else min(now_ms + lifetime_ms, self._end_of(parent))
        ticket = f"bst_{secrets.token_urlsafe(32)}"
        return ticket, self._write(hashed(ticket), org, job_id, parent, now_ms, ends_ms)

    def verify(self, ticket: str) -> Ticket | None:
        """Returns the record of a ticket that is known and has not ended; else None. At most two commands."""
        return self._read(hashed(ticket)) if TICKET.fullmatch(ticket) else None

    def list(self, org: str) -> "list[Ticket]":
        """Returns the records of the organization's tickets that still work, oldest first."""
        listed = self._connection.command("ZRANGEBYSCORE", self._keys.tickets(org), "-inf", "+inf")
        stored = self._connection.hashes([self._keys.ticket(each.decode()) for each in listed])
        found = [each for each in stored if each]
        ended = {key for key in {each.get(b"key") for each in found} if key and self._has_ended(key)}
        records = (_record(each) for each in found if each.get(b"key") not in ended)
        return sorted(records, key=lambda each: (each.created_at, each.id))

    def revoke(self, ticket_id: str) -> None:
        """End a ticket, within 5 s on every replica. ApiKeyNotFound if no ticket has this id."""
        org, _, digits = ticket_id.rpartition(".")
        index = self._keys.tickets(org) if ORG.fullmatch(org) and re.fullmatch("[0-9a-f]{12}", digits) else None
        listed = self._connection.command("ZRANGEBYSCORE", index, "-inf", "+inf") if index else ()
        found = next((each for each in listed if each.startswith(digits.encode())), None)
        if found is None:
            raise ApiKeyNotFound(f"there is no ticket {ticket_id!r}")
        # The list entry goes last: after a crash in between the ticket is dead, and revoking again tidies up.
        removed = self._connection.write("DEL", self._keys.ticket(found.decode()))
        self._connection.write("ZREM", index, found)
        if not removed:
            raise ApiKeyNotFound(f"ticket {ticket_id!r} is worthless already: it has expired")

    def _end_of(self, key_sha256: str) -> float:
        """Returns when the API key expires, in ms. ApiKeyNotFound if it has ended."""
        stored = self._connection.hash(self._keys.api_key(key_sha256))
        if not stored:
            raise ApiKeyNotFound("the API key has expired, or was revoked")
        return int(stored.get(b"expiresAt", b"0")) or float("inf")

    def _write(
        self, digest: str, org: str, job_id: str | None, parent: str | None, now_ms: int, ends_ms: float
    ) -> Ticket:
        expires_ms = int(ends_ms)
        record = Ticket(f"{org}.{digest[:12]}", org, job_id, moment(now_ms), moment(expires_ms))
        index, key = self._keys.tickets(org), self._keys.ticket(digest)
        if expired := self._connection.command("ZRANGEBYSCORE", index, "-inf", now_ms, "LIMIT", 0, 1_000):
            self._connection.write("ZREM", index, *expired)
        # The list entry comes first: a ticket that works is always listed, and so can be revoked.
        self._connection.write_together(
            ("ZADD", index, expires_ms, digest), ("PEXPIRE", index, int(LONGEST_S * 1000))
        )
        fields = {
            "id": record.id,
            "org": org,
            "createdAt": now_ms,
            "expiresAt": expires_ms,
            **({} if job_id is None else {"job": job_id}),
            **({} if parent is None else {"key": parent}),
        }
        write = ("HSET", key, *(word for item in fields.items() for word in item))
        self._connection.write_together(write, ("PEXPIREAT", key, expires_ms))
        return record

    def _read(self, digest: str) -> Ticket | None:
        stored = self._connection.hash(self._keys.ticket(digest))
        if not stored or (b"key" in stored and self._has_ended(stored[b"key"])):
            return None
        return _record(stored)

    def _has_ended(self, key_sha256: bytes) -> bool:
        return not self._connection.command("EXISTS", self._keys.api_key(key_sha256.decode()))


def _record(stored: Hash) -> Ticket:
    fields = {name.decode(): value.decode() for name, value in stored.items()}
    times = moment(int(fields["createdAt"])), moment(int(fields["expiresAt"]))
    return Ticket(fields["id"], fields["org"], fields.get("job"), *times)
