"""deploy/nginx.conf before two replicas that restart one after the other: no request fails."""

import http.client
import json
import shutil
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import pytest

from batchstatus import JobStore, connect
from batchstatus.embedded import EmbeddedServer
from tests.support.ports import free_port
from tests.support.sdk import ORG, UNHURRIED
from tests.support.service import LiveService
from tests.support.waiting import wait_until

CONFIG = Path(__file__).parents[2] / "deploy" / "nginx.conf"
CALLERS = 8
RESTARTS = 2

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not shutil.which("nginx"), reason="there is no nginx; apt-get install nginx-light"),
]


def replaced(text: str, words: dict[str, str]) -> str:
    """Returns the configuration with these words in place of others that stand in it once."""
    for old, new in words.items():
        assert text.count(old) == 1, old
        text = text.replace(old, new)
    return text


@contextmanager
def nginx(folder: Path, replicas: list[int]) -> Iterator[int]:
    """Run nginx with the very configuration but for ports, and for where it writes. Yields its port."""
    port = free_port()
    temporary = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    places = "".join(f" {name}_temp_path {folder}/{name};" for name in temporary)
    ports = {"127.0.0.1:8001": f"127.0.0.1:{replicas[0]}", "127.0.0.1:8002": f"127.0.0.1:{replicas[1]}"}
    config = folder / "nginx.conf"
    words = {**ports, "listen 80;": f"listen 127.0.0.1:{port};", "http {": f"http {{{places}"}
    config.write_text(replaced(CONFIG.read_text(), words))
    main = f"daemon off; pid {folder}/pid; error_log {folder}/error.log;"
    command = ["nginx", "-p", str(folder), "-e", str(folder / "error.log"), "-c", str(config), "-g", main]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            wait_until(lambda: status(port, "/livez") == 404 or process.poll(), 30, "nginx is up")
            assert process.poll() is None, process.stderr and process.stderr.read()
            yield port
        finally:
            process.terminate()
            process.communicate(timeout=15)


def status(port: int, path: str) -> int:
    """The status of one request on a connection of its own; 0 if there is none."""
    with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=5)) as connection:
        try:
            connection.request("GET", path)
            return connection.getresponse().status
        except OSError:
            return 0


class Load:
    """Callers that poll all the time; what they were answered, and how often."""

    def __init__(self, port: int, path: str, key: str) -> None:
        self._port, self._path, self._headers = port, path, {"Authorization": f"Bearer {key}"}
        self._end = threading.Event()
        self.answers = Counter[str]()
        self._threads = [
            threading.Thread(target=self._poll, args=(kept,)) for kept in [True, False] * (CALLERS // 2)
        ]

    def __enter__(self) -> "Load":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        for thread in self._threads:
            thread.join()

    def _poll(self, keep: bool) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=30)
        while not self._end.is_set():
            try:
                connection.request("GET", self._path, headers=self._headers)
                answer = connection.getresponse()
                body = answer.read()
                well = answer.status == 200 and json.loads(body)["success"] is True
                self.answers["well" if well else f"{answer.status} {body[:80]!r}"] += 1
            except (OSError, http.client.HTTPException) as error:
                self.answers[repr(error)] += 1
                connection.close()
            if not keep:
                connection.close()
        connection.close()


class Replica:
    """A replica at one port that can be restarted."""

    def __init__(self, url: str) -> None:
        self._service = LiveService(url)
        self.port = self._service.port
        self._service.__enter__()

    def restart(self) -> None:
        """Stop it as an orchestrator does, and start it anew."""
        self._service.__exit__()
        self._service.__enter__()

    def stop(self) -> None:
        self._service.__exit__()


@pytest.fixture
def store_url() -> Iterator[str]:
    with EmbeddedServer() as server:
        yield server.url


@pytest.fixture
def store(store_url: str) -> Iterator[JobStore]:
    with closing(connect(store_url, **UNHURRIED)) as found:
        yield found


def test_restarting_one_replica_after_the_other_fails_no_request(
    store_url: str, store: JobStore, tmp_path: Path
) -> None:
    job_id = store.create(ORG, "transaction_batch").job_id
    key, _ = store.api_keys.create(ORG, ["transactions:create"])
    with ExitStack() as ending:
        replicas = [Replica(store_url) for _ in range(2)]
        for replica in replicas:
            ending.callback(replica.stop)
        port = ending.enter_context(nginx(tmp_path, [each.port for each in replicas]))
        load = ending.enter_context(Load(port, f"/batch-import/jobs/{job_id}", key))
        for _ in range(RESTARTS):
            for replica in replicas:
                replica.restart()
                before = load.answers["well"]
                wait_until(lambda before=before: load.answers["well"] > before + 100)  # type: ignore[misc]
    assert load.answers.keys() == {"well"}, load.answers


def test_a_held_request_and_the_shape_of_errors_pass_and_what_is_inside_stays_there(
    store_url: str, store: JobStore, tmp_path: Path
) -> None:
    job_id = store.create(ORG, "transaction_batch").job_id
    key, _ = store.api_keys.create(ORG, ["transactions:create"])
    path, headers = f"/batch-import/jobs/{job_id}", {"Authorization": f"Bearer {key}"}
    with (
        LiveService(store_url) as service,
        nginx(tmp_path, [service.port, free_port()]) as port,
    ):
        for inside in ("/metrics", "/readyz", "/livez", "/"):
            assert status(port, inside) == 404
        with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=60)) as connection:
            connection.request("GET", path, headers=headers)
            answer = connection.getresponse()
            answer.read()
            waiting = {"If-None-Match": answer.headers["ETag"], "Prefer": "wait=2"}
            began = time.monotonic()
            connection.request("GET", path, headers=headers | waiting)
            held = connection.getresponse()
            held.read()
            assert (held.status, held.headers["Preference-Applied"]) == (304, "wait=2")
            assert time.monotonic() - began >= 2
            connection.request("GET", f"{path}%2Fcontrol", headers=headers)
            unknown = connection.getresponse()
            assert (unknown.status, json.loads(unknown.read())["error"]["code"]) == (404, "JOB_NOT_FOUND")
