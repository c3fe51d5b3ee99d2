"""Who calls: by API key, or as the host application says. A verified key is remembered for a few seconds."""

import re
import time
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from flask import Request

from batchstatus.apikeys import KEY
from batchstatus.errors import InvalidValue
from batchstatus.keys import checked_id
from batchstatus.store import JobStore

# A revoked key must be refused 5 s later at the latest; what is left covers the request that is under way.
KNOWN_FOR_S = 4.0
UNKNOWN_FOR_S = 1.0
MAX_CACHED = 10_000

_BEARER = re.compile(rf"(?i:bearer) +({KEY.pattern})")


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls: the organization whose jobs the caller sees, and the permissions (`resource:action`) it has.

        Caller(org="org_acme", permissions={"transactions:create"})

    Raises InvalidValue for an organization that cannot be one, and for permissions that are not texts.
    """

    org: str
    permissions: Collection[str]

    def __post_init__(self) -> None:
        checked_id("org", self.org)
        given: object = self.permissions
        permissions = frozenset(given) if isinstance(given, Iterable) and not isinstance(given, str) else None
        if permissions is None or not all(isinstance(each, str) for each in permissions):
            raise InvalidValue(f"permissions {given!r:.200} are not a collection of texts")
        object.__setattr__(self, "permissions", permissions)

    def has_one_of(self, permissions: frozenset[str]) -> bool:
        """Return True if the caller has at least one of these permissions."""
        return not permissions.isdisjoint(self.permissions)


Authorize: TypeAlias = Callable[[Request], Caller | None]
"""What a host gives: tells who sends a request; None if nobody whom the host knows (401)."""


class Access(Protocol):
    """Tells who calls."""

    def caller(self, request: Request, store: AbstractContextManager[JobStore]) -> Caller | None:
        """Return who sends the request, or None. `store` is entered only if the store has to be asked."""


class HostAccess:
    """Callers as the host application knows them: by its session, its JWT, or whatever else."""

    def __init__(self, authorize: Authorize) -> None:
        self._authorize = authorize

    def caller(self, request: Request, store: AbstractContextManager[JobStore]) -> Caller | None:
        """Return what the host's `authorize` returns. Raises TypeError unless that is a Caller or None."""
        found = self._authorize(request)
        if found is not None and not isinstance(found, Caller):
            raise TypeError(f"authorize returned {type(found).__name__}, not batchstatus.web.Caller or None")
        return found


class ApiKeyAccess:
    """Callers by the API key in `Authorization: Bearer …`. Each key is remembered for a few seconds.

    Of too many keys, those are remembered that were verified last.
    """

    def __init__(self) -> None:
        self._cache: OrderedDict[str, tuple[float, Caller | None]] = OrderedDict()

    def caller(self, request: Request, store: AbstractContextManager[JobStore]) -> Caller | None:
        """Return who has the key; None for a key that is missing, malformed, unknown, expired or revoked."""
        bearer = _BEARER.fullmatch(request.environ.get("HTTP_AUTHORIZATION", ""))
        if bearer is None:
            return None
        key, now = bearer[1], time.monotonic()
        forget_at, caller = self._cache.get(key, (0.0, None))
        if forget_at > now:
            return caller
        with store as opened:
            record = opened.api_keys.verify(key)
        caller = Caller(record.org, record.permissions) if record else None
        # Counted from before the store was asked: the record is at least as old.
        self._cache[key] = now + (KNOWN_FOR_S if record else UNKNOWN_FOR_S), caller
        self._cache.move_to_end(key)
        if len(self._cache) > MAX_CACHED:
            self._cache.popitem(last=False)
        return caller
