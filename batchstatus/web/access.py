"""Who calls: by API key or ticket, or as the host application says. Both are remembered for a few seconds."""

import re
import time
from collections import OrderedDict
from collections.abc import Callable, Collection, Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from flask import Request
from werkzeug.exceptions import UnsupportedMediaType

from batchstatus.apikeys import KEY
from batchstatus.model.errors import InvalidValue
from batchstatus.model.keys import checked_org
from batchstatus.store import JobStore
from batchstatus.tickets import TICKET

# A revoked key must be refused 5 s later at the latest; what is left covers the request that is under way.
KNOWN_FOR_S = 4.0
UNKNOWN_FOR_S = 1.0
MAX_CACHED = 10_000

READING = frozenset({"GET", "HEAD", "OPTIONS"})
"""The methods that change nothing."""

_BEARER = re.compile(rf"(?i:bearer) +({KEY.pattern}|{TICKET.pattern})")


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls: the organization whose jobs the caller sees, and the permissions (`resource:action`) it has.

        Caller(org="org_acme", permissions={"transactions:create"})

    Raises InvalidValue for an organization that cannot be one, and for permissions that are not texts.
    """

    org: str
    permissions: Collection[str]

    def __post_init__(self) -> None:
        checked_org(self.org)
        given: object = self.permissions
        permissions = frozenset(given) if isinstance(given, Iterable) and not isinstance(given, str) else None
        if permissions is None or not all(isinstance(each, str) for each in permissions):
            raise InvalidValue(f"permissions {given!r:.200} are not a collection of texts")
        object.__setattr__(self, "permissions", permissions)

    @property
    def job_id(self) -> str | None:
        """The one job that the caller may read; None for all of the organization's."""
        return None

    def may_read(self, read_permissions: frozenset[str]) -> bool:
        """Return True if the caller has at least one of the permissions that read jobs."""
        return not read_permissions.isdisjoint(self.permissions)


class TicketHolder(Caller):
    """A caller with a ticket: reads one job, or all of the organization's, and may do nothing else."""

    __slots__ = ("_job_id",)

    def __init__(self, org: str, job_id: str | None) -> None:
        super().__init__(org, ())
        object.__setattr__(self, "_job_id", job_id)

    @property
    def job_id(self) -> str | None:
        """The one job that the ticket is for; None for all of the organization's."""
        return self._job_id  # type: ignore[attr-defined,no-any-return]

    def may_read(self, read_permissions: frozenset[str]) -> bool:
        """Return True: reading is what a ticket is for."""
        return True


Authorize: TypeAlias = Callable[[Request], Caller | None]
"""What a host gives: tells who sends a request; None if nobody whom the host knows (401)."""


class Access(Protocol):
    """Tells who calls. `needed` says what is missing where nobody is known (401), `holder` who has permissions."""

    needed: str
    holder: str

    def caller(self, request: Request, store: AbstractContextManager[JobStore]) -> Caller | None:
        """Return who sends the request, or None. `store` is entered only if the store has to be asked."""

    def api_key(self, request: Request) -> str | None:
        """Return the API key in the request; None where callers are known by anything else."""

    def remembered_until(self, request: Request) -> float | None:
        """Return the monotonic time until which `caller` returns the same caller; 0 if that is to be asked.

        None where it is never remembered.
        """


class HostAccess:
    """Callers as the host application knows them, by its session, its JWT or whatever else; and by ticket."""

    needed, holder = "Valid credentials are needed.", "The caller"

    def __init__(self, authorize: Authorize) -> None:
        self._authorize = authorize
        self._tickets = ApiKeyAccess()

    def caller(self, request: Request, store: AbstractContextManager[JobStore]) -> Caller | None:
        """Return who holds the ticket in the request; without one, what the host's `authorize` returns.

        Raises UnsupportedMediaType (415) for a change that a page of another origin could send with the user's
        cookies, before anybody is asked; TypeError unless `authorize` returns a Caller or None.
        """
        if (secret_in(request) or "").startswith("bst_"):
            return self._tickets.caller(request, store)
        if request.method not in READING and not (request.is_json or _is_from_no_page(request)):
            raise UnsupportedMediaType
        found = self._authorize(request)
        if found is not None and not isinstance(found, Caller):
            raise TypeError(f"authorize returned {type(found).__name__}, not batchstatus.web.Caller or None")
        return found

    def api_key(self, _: Request) -> None:
        """Return None: a host's callers have no API keys."""

    def remembered_until(self, request: Request) -> float | None:
        """Return until when a ticket is remembered; None for the host's own callers."""
        is_ticket = (secret_in(request) or "").startswith("bst_")
        return self._tickets.remembered_until(request) if is_ticket else None


class ApiKeyAccess:
    """Callers by the API key or ticket in `Authorization: Bearer …`. Each is remembered for a few seconds.

    Of too many, those are remembered that were verified last.
    """

    needed, holder = "A valid API key is needed.", "The API key"

    def __init__(self) -> None:
        self._cache: OrderedDict[str, tuple[float, Caller | None]] = OrderedDict()

    def caller(self, request: Request, store: AbstractContextManager[JobStore]) -> Caller | None:
        """Return who has the key or ticket; None if it is missing, malformed, unknown, expired or revoked."""
        secret = secret_in(request)
        if secret is None:
            return None
        now = time.monotonic()
        forget_at, caller = self._cache.get(secret, (0.0, None))
        if forget_at > now:
            return caller
        with store as opened:
            caller = _verified(opened, secret)
        # Counted from before the store was asked: the record is at least as old.
        self._cache[secret] = now + (KNOWN_FOR_S if caller else UNKNOWN_FOR_S), caller
        self._cache.move_to_end(secret)
        if len(self._cache) > MAX_CACHED:
            self._cache.popitem(last=False)
        return caller

    def api_key(self, request: Request) -> str | None:
        """Return the API key in the request."""
        return secret_in(request)

    def remembered_until(self, request: Request) -> float:
        """Return until when the caller with this key or ticket is remembered; 0 if it is not, or is refused."""
        forget_at, caller = self._cache.get(secret_in(request) or "", (0.0, None))
        return forget_at if caller else 0.0


def _is_from_no_page(request: Request) -> bool:
    """Return True if the request shows a bearer token and comes from no page of a browser.

    A page cannot send `Authorization`, or JSON, to another origin without a preflight (Fetch standard,
    "CORS-safelisted request-header"). But the browser itself adds `Authorization: Basic`, and some proxies put a
    bearer token in place of a cookie. Every POST of a browser has an `Origin`.
    """
    environ = request.environ
    return "HTTP_ORIGIN" not in environ and environ.get("HTTP_AUTHORIZATION", "")[:7].lower() == "bearer "


def secret_in(request: Request) -> str | None:
    """Return the well-formed API key or ticket in `Authorization`; None if there is none."""
    bearer = _BEARER.fullmatch(request.environ.get("HTTP_AUTHORIZATION", ""))
    return bearer[1] if bearer else None


def _verified(store: JobStore, secret: str) -> Caller | None:
    """Return who has this API key or ticket."""
    if secret.startswith("bst_"):
        ticket = store.tickets.verify(secret)
        return TicketHolder(ticket.org, ticket.job_id) if ticket else None
    record = store.api_keys.verify(secret)
    return Caller(record.org, record.permissions) if record else None
