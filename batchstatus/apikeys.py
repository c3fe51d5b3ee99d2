"""API keys: minted once, stored as a hash, verified in one lookup, revoked by id.

A key is `bsk_` and 256 random bits. Reading the store reveals no key: only its SHA-256 is stored, which for
a random key of that length is as good as a slow password hash (NIST SP 800-63B §5.1.2.2 asks for 112 bits).
"""

import hashlib
import json
import re
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from batchstatus.model import values
from batchstatus.model.errors import ApiKeyNotFound, InvalidValue
from batchstatus.model.job import moment
from batchstatus.model.keys import ORG, checked_org
from batchstatus.transport.connection import Connection

LONGEST_LIFETIME_MS = 100 * 365 * 86_400_000
KEY = re.compile(r"bsk_[A-Za-z0-9_-]{43}")


@dataclass(frozen=True, slots=True)
class ApiKey:
    """An API key's record, without the key itself. `id` is `<org>.<12 hex digits>`; times are UTC."""

    id: str
    org: str
    permissions: frozenset[str]
    name: str | None
    created_at: datetime
    expires_at: datetime | None


class ApiKeys:
    """The API keys of all organizations; a JobStore has one as `store.api_keys`."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._keys = connection.keys

    def create(
        self,
        org: str,
        permissions: Iterable[str],
        *,
        name: str | None = None,
        expires_in_s: float | None = None,
    ) -> tuple[str, ApiKey]:
        """Mint a key; returns the key, which is not stored, and its record.

        `permissions` are `resource:action`, at least one; `expires_in_s` is in seconds, None for never.

            key, record = store.api_keys.create("org_acme", ["transactions:create"], expires_in_s=90 * 86400)
        """
        checked_org(org)
        granted = frozenset([permissions] if isinstance(permissions, str) else permissions)
        if wrong := [
            each for each in granted if not isinstance(each, str) or not values.PERMISSION.fullmatch(each)
        ]:
            raise InvalidValue(f"permission {wrong[0]!r} is not resource:action")
        if not granted:
            raise InvalidValue("a key needs at least one permission")
        lifetime_ms = None if expires_in_s is None else values.seconds_as_ms("expires_in_s", expires_in_s)
        if lifetime_ms is not None and not 0 < lifetime_ms <= LONGEST_LIFETIME_MS:
            raise InvalidValue(f"expires_in_s {expires_in_s!r} is not between 1 ms and 100 years")
        key = f"bsk_{secrets.token_urlsafe(32)}"
        return key, self._write(hashed(key), org, granted, name, lifetime_ms)

    def verify(self, key: str) -> ApiKey | None:
        """Returns the record of a key that is known, not expired and not revoked; else None. One command."""
        return self._read(hashed(key)) if KEY.fullmatch(key) else None

    def list(self, org: str) -> "list[ApiKey]":
        """Returns the records of the organization's keys that still work, oldest first."""
        listed = self._connection.hash(self._keys.api_keys(org)).values()
        records = [self._read(sha256.decode()) for sha256 in listed]
        return sorted((each for each in records if each), key=lambda each: (each.created_at, each.id))

    def revoke(self, key_id: str) -> None:
        """Make a key worthless, within 5 s on every replica. ApiKeyNotFound if no key has this id."""
        org = key_id.rpartition(".")[0]
        index = self._keys.api_keys(org) if ORG.fullmatch(org) else None
        sha256 = self._connection.command("HGET", index, key_id) if index else None
        if sha256 is None:
            raise ApiKeyNotFound(f"there is no API key {key_id!r}")
        removed = self._connection.write("DEL", self._keys.api_key(sha256.decode()))
        # The list entry goes last: after a crash in between the key is dead, and revoking again tidies up.
        self._connection.write("HDEL", index, key_id)
        if not removed:
            raise ApiKeyNotFound(f"API key {key_id!r} is worthless already: it has expired, or was revoked")

    def _write(
        self, sha256: str, org: str, granted: frozenset[str], name: str | None, lifetime_ms: int | None
    ) -> ApiKey:
        now_ms = int(self._connection.clock_ms())
        expires_ms = None if lifetime_ms is None else now_ms + lifetime_ms
        record = ApiKey(
            id=f"{org}.{sha256[:12]}",
            org=org,
            permissions=granted,
            name=None if name is None else values.text(name),
            created_at=moment(now_ms),
            expires_at=None if expires_ms is None else moment(expires_ms),
        )
        fields = {
            "id": record.id,
            "org": org,
            "permissions": json.dumps(sorted(granted)),
            "createdAt": now_ms,
            **({} if record.name is None else {"name": record.name}),
            **({} if expires_ms is None else {"expiresAt": expires_ms}),
        }
        # The list entry comes first: a key that works is always listed, and so can be revoked.
        self._connection.write("HSET", self._keys.api_keys(org), record.id, sha256)
        key = self._keys.api_key(sha256)
        write = ("HSET", key, *(word for item in fields.items() for word in item))
        expire = () if expires_ms is None else (("PEXPIREAT", key, expires_ms),)
        self._connection.write_together(write, *expire)
        return record

    def _read(self, sha256: str) -> ApiKey | None:
        stored = self._connection.hash(self._keys.api_key(sha256))
        if not stored:
            return None
        fields = {name.decode(): value.decode() for name, value in stored.items()}
        return ApiKey(
            id=fields["id"],
            org=fields["org"],
            permissions=frozenset(json.loads(fields["permissions"])),
            name=fields.get("name"),
            created_at=moment(int(fields["createdAt"])),
            expires_at=moment(int(fields["expiresAt"])) if "expiresAt" in fields else None,
        )


def hashed(secret: str) -> str:
    """Returns the SHA-256 of a key or ticket in hex, under which the store has its record."""
    return hashlib.sha256(secret.encode()).hexdigest()
