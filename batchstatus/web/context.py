"""What the views share: the parts of the application that answers."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

from flask import Flask, current_app, g

from batchstatus.store import JobStore
from batchstatus.web.access import Access
from batchstatus.web.breaker import Breaker
from batchstatus.web.metrics import Metrics
from batchstatus.web.waiting import Waits

_NAME = "batchstatus"


@dataclass(frozen=True)
class Parts:
    """What an application has one of."""

    store: JobStore
    access: Access
    breaker: Breaker
    waits: Waits
    metrics: Metrics
    new_request_id: Callable[[], str]


def install(app: Flask, parts: Parts) -> None:
    """Give an application its parts."""
    app.extensions[_NAME] = parts


def parts() -> Parts:
    """The parts of the application that answers."""
    return cast("Parts", current_app.extensions[_NAME])


def current_store() -> JobStore:
    """The store. StoreUnavailable, at once, while it is known not to answer."""
    return ask_the_store().store


def current_access() -> Access:
    """The access check; it asks the store only about keys that could be."""
    return parts().access


def current_metrics() -> Metrics:
    """The metrics."""
    return parts().metrics


def asks_the_store() -> bool:
    """Whether the request has to do with the store."""
    return bool(g.get("asks_the_store"))


def ask_the_store() -> Parts:
    """Note that the request has to do with the store; StoreUnavailable while that is known not to answer."""
    found = parts()
    found.breaker.check()
    g.asks_the_store = True
    return found
