"""What a view is given: the request, what has come to light about it, and the parts of the application.

Flask's own `request`, `g` and `current_app` are proxies, which look for the context anew with every use; a poll
would do so twenty times. Views are called with the request instead, and hand it on.
"""

from collections.abc import Callable
from dataclasses import dataclass

import gevent
from flask import Request

from batchstatus.store import JobStore
from batchstatus.web.access import Access
from batchstatus.web.breaker import Breaker
from batchstatus.web.metrics import Metrics
from batchstatus.web.waiting import Waits

MAX_BODY_BYTES = 64 * 1024


@dataclass(frozen=True)
class Parts:
    """What an application has one of."""

    store: JobStore
    access: Access
    breaker: Breaker
    waits: Waits
    metrics: Metrics
    new_request_id: Callable[[], str]


class ApiRequest(Request):
    """A request to the service."""

    max_content_length = MAX_BODY_BYTES
    parts: Parts
    started: float
    """When it came (`time.perf_counter`)."""
    id: str
    """The caller's id for it if that is a sane one, else ours."""
    org: str | None = None
    """The caller's organization, once the key has been verified."""
    held: bool | None = None
    """Whether it was held to wait for a change; None as long as that was not tried."""
    asks_the_store = False
    """Whether it has to do with the store."""
    store_limit: gevent.Timeout
    """How long it may still wait for the store."""

    @property
    def route(self) -> str:
        """The path with the names of its variables in place of their values."""
        return self.url_rule.rule if self.url_rule else "(none)"

    @property
    def store(self) -> JobStore:
        """The store. StoreUnavailable, at once, while it is known not to answer."""
        self.ask_the_store()
        return self.parts.store

    def ask_the_store(self) -> None:
        """Note that it has to do with the store; StoreUnavailable while that is known not to answer."""
        self.parts.breaker.check()
        self.asks_the_store = True
