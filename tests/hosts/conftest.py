"""Somebody else's Flask application, with the service in it under /imports."""

from collections.abc import Callable
from typing import Any

import flask
import pytest

from batchstatus import Job, JobStore
from batchstatus.web import Caller, blueprint

ORG = "org_acme"
PREFIX = "/imports"

Register = Callable[..., flask.Flask]


@pytest.fixture
def register(store: JobStore) -> Register:
    """Returns what makes a host with the service in it, and a 404 page of its own; options go to `blueprint`."""

    def made(app: flask.Flask | None = None, **options: Any) -> flask.Flask:
        host = app or flask.Flask("host")
        host.register_error_handler(404, lambda _: ("the host's own page", 404))
        host.add_url_rule("/", "home", lambda: "home")
        host.register_blueprint(blueprint(store, **options), url_prefix=PREFIX)
        return host

    return made


@pytest.fixture
def job(store: JobStore) -> Job:
    """A completed job of ORG, one of whose two rows has failed."""
    made = store.create(ORG, "transaction_batch", total_items=2)
    with store.run(ORG, made.job_id) as run:
        run.succeeded()
        run.failed({"externalId": "T-2", "code": "VALIDATION_ERROR", "message": "no amount"})
    return made


@pytest.fixture
def clerk() -> Caller:
    """A caller whom the host knows, and who may read and control transactions."""
    return Caller(ORG, ["transactions:create"])
