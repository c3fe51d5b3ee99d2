"""The bound on how long a request waits for the store: nothing on the way can take it for something else."""

import time
from contextlib import suppress

import gevent
import pytest

from batchstatus import JobStore
from batchstatus.settings import StoreSettings
from batchstatus.web import create_app, runtime
from batchstatus.web.server.gevent_runtime import GEVENT
from tests.conftest import ORG
from tests.support.wire import JOB, error_of, get


def test_code_that_catches_every_exception_does_not_catch_the_bound(
    client: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = JobStore(client, StoreSettings(timeout_s=0.1))  # type: ignore[arg-type]
    key, _ = store.api_keys.create(ORG, ["transactions:create"])

    def ask_one_server_after_the_other(*_: object) -> None:
        for _server in range(20):
            with suppress(Exception):
                gevent.sleep(0.5)

    monkeypatch.setattr(runtime, "_in_use", GEVENT)
    monkeypatch.setattr(store, "get", ask_one_server_after_the_other)
    began = time.monotonic()
    assert error_of(get(create_app(store).test_client(), JOB.format("job_1"), key)) == (503, "STORE_UNAVAILABLE")
    assert time.monotonic() - began < 5  # the servers would take 10 s together
