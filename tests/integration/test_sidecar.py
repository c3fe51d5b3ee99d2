"""The service on a unix socket, for workers on the same machine."""

import os
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path

import pytest

from batchstatus import InvalidValue, JobStore
from batchstatus.settings import Settings
from batchstatus.web.server.serve import checked_address
from tests.conftest import ORG
from tests.support.http_runs import new_token
from tests.support.service import LiveService
from tests.support.waiting import wait_until


class Connection(HTTPConnection):
    """HTTP over a unix socket."""

    def __init__(self, path: Path) -> None:
        super().__init__("localhost", timeout=10)
        self._path = str(path)

    def connect(self) -> None:
        """Connect; called by http.client."""
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


class Sidecar(LiveService):
    """The service on a unix socket."""

    def __init__(self, redis_url: str, path: Path) -> None:
        super().__init__(redis_url, BATCHSTATUS_BIND=f"unix:{path}")
        self.path = path

    def answers(self, path: str) -> bool:
        """Returns True if a GET of `path` gives 200."""
        connection = Connection(self.path)
        try:
            connection.request("GET", path)
            return connection.getresponse().status == 200
        except OSError:
            return False
        finally:
            connection.close()


@pytest.fixture
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where to make the socket; a short path, as the system wants it."""
    return tmp_path_factory.mktemp("s") / "x.sock"


@pytest.fixture
def sidecar(redis_url: str, path: Path) -> Iterator[Sidecar]:
    with Sidecar(redis_url, path) as started:
        yield started


def settings(path: Path) -> Settings:
    return Settings(redis_url="redis://127.0.0.1:1/0", bind=f"unix:{path}")


def test_a_job_runs_over_the_socket_which_is_for_user_and_group_and_goes_at_the_stop(
    redis_url: str, path: Path, real_store: JobStore
) -> None:
    key, _ = real_store.api_keys.create(ORG, ["transactions:create", "jobs:run"])
    with Sidecar(redis_url, path) as sidecar:
        assert stat.S_IMODE(os.stat(path).st_mode) == 0o660
        assert f"batchstatus serves unix:{path} with 2 processes" in sidecar.log()
        assert f'"Listening at: unix:{path} ({sidecar.pid})"' in sidecar.log()
        connection = Connection(path)
        headers = {"Authorization": f"Bearer {key}"}
        connection.request("POST", "/batch-import/jobs", b'{"kind": "transaction_batch", "jobId": "a"}', headers)
        made = connection.getresponse()
        assert (made.status, made.read()[:17]) == (202, b'{"success":true,"')
        connection.request("POST", "/batch-import/jobs/a/runs", f'{{"token": "{new_token()}"}}'.encode(), headers)
        assert connection.getresponse().status == 201
        connection.close()
        # Not HTTP: refused as on a port
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as raw:
            raw.settimeout(10)
            raw.connect(str(path))
            raw.sendall(b"nonsense\r\n\r\n")
            assert raw.recv(100).startswith(b"HTTP/1.1 400 ")
    assert not path.exists()


def test_a_live_socket_is_not_replaced(sidecar: Sidecar, path: Path) -> None:
    environment = {"BATCHSTATUS_REDIS_URL": "redis://127.0.0.1:1/0", "BATCHSTATUS_BIND": f"unix:{path}"}
    second = subprocess.run(
        [sys.executable, "-m", "batchstatus", "serve"],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert second.returncode != 0
    assert second.stderr.strip().endswith(f"cannot bind unix:{path}: it is taken")
    assert sidecar.answers("/livez")


def test_a_socket_that_a_killed_service_has_left_is_replaced(redis_url: str, path: Path) -> None:
    with Sidecar(redis_url, path) as killed:
        os.killpg(killed.pid, signal.SIGKILL)
        killed.wait()
    wait_until(lambda: not killed.answers("/livez"))
    assert path.exists()
    with Sidecar(redis_url, path) as sidecar:
        assert sidecar.answers("/readyz")


def test_where_no_socket_can_be_made_the_service_does_not_start(path: Path) -> None:
    checked_address(settings(path))
    with pytest.raises(InvalidValue, match="is no folder that this user may write to"):
        checked_address(settings(path.parent / "none" / "x.sock"))
    path.write_text("a file")
    with pytest.raises(InvalidValue, match="something else than a socket"):
        checked_address(settings(path))
    assert path.read_text() == "a file"
    for bind in ("unix:", "unix:relative.sock", f"unix:/{'x' * 200}", "unix:/a b"):
        with pytest.raises(InvalidValue, match="is not HOST:PORT or unix:/PATH"):
            Settings(redis_url="redis://127.0.0.1:1/0", bind=bind)
