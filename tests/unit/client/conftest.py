"""Fixtures: a scripted service, a client of it, and the clock of both."""

import socket
import threading
from collections.abc import Iterator

import pytest

from batchstatus.client import Client
from batchstatus.client import client as module
from tests.unit.client.service import KEY, Clock, Server


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The clock that the client sleeps and measures by; jitter is always the most there can be."""
    clock = Clock()
    monkeypatch.setattr(module, "sleep", clock.sleep)
    monkeypatch.setattr(module, "monotonic", clock.monotonic)
    monkeypatch.setattr(module, "uniform", clock.most)
    return clock


@pytest.fixture
def server(clock: Clock) -> Iterator[Server]:
    """A service that answers from the script of `says`, which the test has to use up exactly."""
    with Server(clock) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.001,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()
    assert not server.overrun, "more was asked than the script has answers"
    assert not server.script, "less was asked than the script has answers"


@pytest.fixture
def client(server: Server) -> Iterator[Client]:
    """A client of `server`."""
    with Client(server.url, KEY) as client:
        yield client


@pytest.fixture
def nowhere() -> Iterator[str]:
    """The URL of a port that refuses connections: bound, so that nobody else gets it, and not listening."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{bound.getsockname()[1]}"
