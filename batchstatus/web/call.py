"""One request to the service, as views get it: the request, what is known about it, and the way to the store.

Flask's `request`, `g` and `current_app` look up their context anew at every use; a poll would do so twenty times.
Views are called with a Call instead, and pass it on. `Call.request` is Flask's request, whoever made it.
"""

import itertools
import os
import re
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType

from flask import Request

from batchstatus.model.errors import BatchStatusError, StoreUnavailable
from batchstatus.model.kinds import Kinds
from batchstatus.store import JobStore
from batchstatus.web import runtime
from batchstatus.web.access import Access
from batchstatus.web.breaker import Breaker
from batchstatus.web.cors import Cors
from batchstatus.web.live.feed import Feed
from batchstatus.web.live.waiting import Waits
from batchstatus.web.metrics import Metrics

_REQUEST_ID = re.compile(r"[A-Za-z0-9._:/+=-]{1,128}")


@dataclass(frozen=True)
class Parts:
    """What a service over one store has one of, and its requests share."""

    store: JobStore
    access: Access
    breaker: Breaker
    waits: Waits
    feed: Feed
    metrics: Metrics
    cors: Cors
    new_request_id: Callable[[], str]


class Call:
    """A request, and what has come to light about it.

    - `id`: the caller's `X-Request-Id` if that is a sane one, else ours.
    - `route`: the path of the route with the names of its variables in place of their values.
    - `org`: the caller's organization, once that is known.
    - `held`: True once the request has been held to wait for a change, False if it could not be, else None.
    - `store`: the way to the store: `with call.store as store`.
    """

    __slots__ = ("held", "id", "job_id", "org", "parts", "request", "route", "started", "store")

    def __init__(self, parts: Parts, request: Request) -> None:
        self.started = time.perf_counter()
        self.parts = parts
        self.request = request
        given = request.environ.get("HTTP_X_REQUEST_ID")
        self.id: str = given if given and _REQUEST_ID.fullmatch(given) else parts.new_request_id()
        self.route = "(none)"
        self.job_id: str | None = None
        self.org: str | None = None
        self.held: bool | None = None
        self.store = StoreAccess(parts)

    @property
    def kinds(self) -> Kinds:
        """The kinds that the service knows."""
        return self.parts.store.settings.kinds

    def asked_anew(self) -> "Call":
        """Return this call, with all the time for the store again: it was held, and starts over."""
        self.store = StoreAccess(self.parts)
        return self


class StoreAccess:
    """A request's way to the store; enter it with `with` around all that asks the store.

    Entering raises StoreUnavailable at once while the breaker is open. All that is asked inside, in every `with`
    of one request together, may take the store's `timeout_s`; then StoreUnavailable. The breaker is told how it
    went, and failures are counted.
    """

    __slots__ = ("_began", "_left_s", "_limit", "_parts")

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._left_s = parts.store.settings.timeout_s

    def __enter__(self) -> JobStore:
        try:
            self._parts.breaker.check()
            if self._left_s <= 0:
                raise _too_late()
        except StoreUnavailable:
            self._parts.metrics.store_errors.inc()
            raise
        self._began = time.monotonic()
        # Each command has its own timeout, but a request may send several, and wait for a connection.
        self._limit = runtime.in_use().time_limit(self._left_s, _too_late())
        self._limit.__enter__()
        return self._parts.store

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._limit.__exit__(kind, error, trace)
        except StoreUnavailable as too_late:
            self._failed(too_late)
            raise
        self._left_s = max(0.0, self._left_s - (time.monotonic() - self._began))
        if isinstance(error, StoreUnavailable):
            self._failed(error)
        elif error is None or isinstance(error, BatchStatusError):  # "no such job" is an answer
            self._parts.breaker.succeeded()

    def _failed(self, error: StoreUnavailable) -> None:
        self._parts.breaker.failed(error)
        self._parts.metrics.store_errors.inc()


def _too_late() -> StoreUnavailable:
    return StoreUnavailable("the store took too long")


def request_ids() -> Callable[[], str]:
    """Return what makes ids that no other process and no other request has.

    A random id each would cost a system call each.
    """
    numbers = itertools.count(1)
    process: dict[int, str] = {}

    def new_id() -> str:
        pid = os.getpid()  # an application that was made before a fork is in several processes
        return f"{process.get(pid) or process.setdefault(pid, secrets.token_hex(5))}{next(numbers):06x}"

    return new_id
