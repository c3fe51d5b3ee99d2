"""Event streams when the service stops, the store is away, and nginx stands before them."""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import pytest

from batchstatus import JobStore, connect
from batchstatus.embedded import EmbeddedServer
from tests.support.listening import Listening
from tests.support.ports import free_port
from tests.support.rawhttp import exchange, request
from tests.support.sdk import UNHURRIED
from tests.support.service import LiveService
from tests.support.waiting import wait_until

pytestmark = pytest.mark.slow

ORG, KIND = "org_acme", "transaction_batch"
LISTENERS = 20
AWAY_S = 20.0
PATH, OF_ALL = "/batch-import/jobs/job-1/events", "/batch-import/events"


@pytest.fixture
def server() -> Iterator[EmbeddedServer]:
    with EmbeddedServer() as server:
        yield server


@pytest.fixture
def store(server: EmbeddedServer) -> Iterator[JobStore]:
    with closing(connect(server.url, **UNHURRIED)) as store:
        store.create(ORG, KIND, job_id="job-1", total_items=10)
        yield store


@pytest.fixture
def key(store: JobStore) -> str:
    return store.api_keys.create(ORG, ["transactions:create"])[0]


def test_sigterm_ends_streams_and_another_replica_goes_on(
    server: EmbeddedServer, store: JobStore, key: str
) -> None:
    with ExitStack() as opened:
        first, second = (opened.enter_context(LiveService(server.url)) for _ in range(2))
        paths = [PATH, OF_ALL] * (LISTENERS // 2)
        streams = [opened.enter_context(Listening(first.port, path, key)) for path in paths]
        tags = {stream.next().tag for stream in streams}
        os.kill(first.pid, signal.SIGTERM)
        assert [stream.rest() for stream in streams] == [[]] * LISTENERS
        assert first.wait() == 0
        (known,) = tags
        again = opened.enter_context(Listening(second.port, PATH, key, Last_Event_ID=known))
        store.control(ORG, "job-1", "cancel")
        (end,) = again.rest()
        assert end.job["status"] == "cancelled"


def test_a_store_that_is_away_for_20_s_is_a_silence(server: EmbeddedServer, store: JobStore, key: str) -> None:
    with LiveService(server.url, store_timeout_s=AWAY_S / 4) as service, ExitStack() as opened:
        streams = [opened.enter_context(Listening(service.port, path, key)) for path in (PATH, OF_ALL)]
        for stream in streams:
            assert stream.next().job["status"] == "queued"
        os.kill(server.pid, signal.SIGSTOP)
        try:
            time.sleep(AWAY_S)  # the time is what the test is about
        finally:
            os.kill(server.pid, signal.SIGCONT)
        wait_until(lambda: service.answers("/readyz"))
        store.control(ORG, "job-1", "cancel")
        for stream in streams:
            assert stream.next().job["status"] == "cancelled"
        assert exchange(service.port, request("GET", "/livez")).status == 200


@contextmanager
def nginx(folder: Path, replica: int) -> Iterator[int]:
    """nginx as it comes, before one replica. Yields its port."""
    port = free_port()
    places = "".join(
        f" {name}_temp_path {folder}/{name};" for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    place = f"server {{ listen 127.0.0.1:{port}; location / {{ proxy_pass http://127.0.0.1:{replica}; }} }}"
    (folder / "nginx.conf").write_text(f"events {{}} http {{ access_log off; {places} {place} }}")
    main = f"daemon off; pid {folder}/pid; error_log {folder}/error.log;"
    command = [
        "nginx",
        "-p",
        str(folder),
        "-e",
        str(folder / "error.log"),
        "-c",
        str(folder / "nginx.conf"),
        "-g",
        main,
    ]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        try:
            wait_until(lambda: _answers(port) or process.poll() is not None, 30, "nginx is up")
            yield port
        finally:
            process.terminate()
            process.wait(15)


def _answers(port: int) -> bool:
    try:
        return exchange(port, request("GET", "/livez")).status == 200
    except OSError:
        return False


@pytest.mark.skipif(not shutil.which("nginx"), reason="there is no nginx; apt-get install nginx-light")
def test_events_pass_an_nginx_with_its_defaults_as_they_come(
    server: EmbeddedServer, store: JobStore, key: str, tmp_path: Path
) -> None:
    with (
        LiveService(server.url) as service,
        nginx(tmp_path, service.port) as port,
        Listening(port, PATH, key) as stream,
    ):
        assert stream.next().job["status"] == "queued"
        with store.run(ORG, "job-1") as run:
            assert stream.next().job["status"] == "running"
            run.succeeded(3)
            assert stream.next().job["succeeded"] == 3
        assert stream.rest()[-1].job["status"] == "completed"
