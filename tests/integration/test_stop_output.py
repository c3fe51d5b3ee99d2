"""A service that is told to stop prints log lines and nothing else: no traceback of an exit gone wrong."""

import json
import os
import signal
from collections.abc import Callable

import pytest

from tests.support.rawhttp import exchange, request
from tests.support.service import LiveService

pytestmark = pytest.mark.slow

STOPS: dict[str, Callable[[int], None]] = {
    "SIGTERM": lambda pid: os.kill(pid, signal.SIGTERM),
    "SIGINT": lambda pid: os.kill(pid, signal.SIGINT),
    "Ctrl-C in a terminal": lambda pid: os.killpg(pid, signal.SIGINT),
    "SIGTERM to all of a container": lambda pid: os.killpg(pid, signal.SIGTERM),
}


@pytest.mark.parametrize("stop", STOPS)
@pytest.mark.parametrize("processes", [1, 3])
def test_a_service_that_stops_prints_only_json(redis_url: str, stop: str, processes: int) -> None:
    # Given a service that has asked its store
    with LiveService(redis_url, BATCHSTATUS_WORKERS=str(processes)) as service:
        sent = request("GET", "/batch-import/jobs/unknown", key="bs_no_such_key")
        assert {exchange(service.port, sent).status for _ in range(20)} == {401}
        # When it is told to stop
        STOPS[stop](service.pid)
        assert service.wait() == 0
        # Then each line but the greeting is JSON
        greeting, *lines = service.log().splitlines()
        assert greeting.startswith("batchstatus serves http://")
        messages = [json.loads(line)["message"] for line in lines]
        assert messages[-1] == "Shutting down: Master"
