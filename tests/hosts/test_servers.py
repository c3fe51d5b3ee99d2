"""A host's application under the servers that people have: gunicorn's threads, waitress, and our own worker."""

import http.client
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, closing
from http.client import HTTPResponse, IncompleteRead
from typing import Any, Self

import pytest
import redis

from batchstatus import Job, JobStore
from tests.support.ports import free_port
from tests.support.rawhttp import download
from tests.support.waiting import wait_until
from tests.support.wire import bearer, job_key, put_job

pytestmark = pytest.mark.slow

ORG = "org_acme"
COOKIE = {"Cookie": f"org={ORG}"}
OURS = "batchstatus.web.server.gevent_worker.Worker"
GUNICORN = ("gunicorn", "--bind", "127.0.0.1:{port}", "--log-level", "warning", "--no-control-socket")
SERVERS = {
    "gthread": (*GUNICORN, "--worker-class", "gthread", "--threads", "4", "{app}"),
    "waitress": ("waitress", "--listen", "127.0.0.1:{port}", "--threads", "4", "{app}"),
    "ours": (*GUNICORN, "--worker-class", OURS, "--reuse-port", "{app}"),
}
HELD = {"gthread": 1, "waitress": 1, "ours": 3}
"""How many of three callers that would wait are held."""

ROWS = 6_000
ROW = f'{{"externalId":"T-1","code":"VALIDATION_ERROR","message":"{"x" * 1_000}"}}'


class Host:
    """The portal under a server, in a process of its own; enter it with `with`."""

    def __init__(self, server: str, redis_url: str) -> None:
        self.port = free_port()
        self.server = server
        words = {"port": str(self.port), "app": "tests.hosts.apps.portal:mounted"}
        self._command = [sys.executable, "-m", *(word.format(**words) for word in SERVERS[server])]
        self._environment = {**os.environ, "PORTAL_REDIS_URL": redis_url}

    def ask(self, path: str, method: str = "GET", body: Any = None, **headers: str) -> tuple[int, Any]:
        """Returns the status and the body of an answer, which must be whole."""
        with closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)) as connection:
            sent = None if body is None else json.dumps(body)
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            declared = {} if body is None else {"Content-Type": "application/json"}
            connection.request(method, path, sent, headers=COOKIE | declared | named)
            response = connection.getresponse()
            self.headers = response.headers
            return response.status, response.read()

    def log(self) -> str:
        """Returns what the server has printed."""
        return os.pread(self._log.fileno(), 1 << 20, 0).decode(errors="replace")

    def stop(self) -> int:
        """Sends SIGTERM, and returns the exit code."""
        self._process.terminate()
        return self._process.wait(20)

    def __enter__(self) -> Self:
        self._log = tempfile.TemporaryFile()
        self._process = subprocess.Popen(
            self._command, env=self._environment, stdout=self._log, stderr=self._log, start_new_session=True
        )
        try:
            wait_until(self._answers, 30, "the host is up")
        except BaseException as error:
            error.add_note(self.log())
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        self._log.close()

    def _answers(self) -> bool:
        assert self._process.poll() is None, "the host has ended"
        try:
            return self.ask("/")[0] == 200
        except OSError:
            return False


@pytest.fixture(params=SERVERS)
def host(request: pytest.FixtureRequest, redis_url: str) -> Iterator[Host]:
    if request.param == "waitress":
        pytest.importorskip("waitress")
    with Host(request.param, redis_url) as running:
        yield running


@pytest.fixture
def running_job(real_store: JobStore) -> Job:
    """A queued job: whoever waits for it is held until it is claimed."""
    return real_store.create(ORG, "transaction_batch")


def test_every_route_answers(host: Host, real_store: JobStore) -> None:
    job = real_store.create(ORG, "transaction_batch", total_items=1)
    with real_store.run(ORG, job.job_id) as run:
        run.failed({"externalId": "T-1", "code": "VALIDATION_ERROR", "message": "no amount"})
    entity, queued = (real_store.create(ORG, kind).job_id for kind in ("entity_automatic", "transaction_batch"))
    at = f"/imports/batch-import/jobs/{job.job_id}"
    assert json.loads(host.ask(at)[1])["job"]["failed"] == 1
    assert json.loads(host.ask(f"{at}?include=failures")[1])["failuresTotal"] == 1
    rows = f"/imports/batch-import/transaction-jobs/{job.job_id}/failures"
    assert json.loads(host.ask(rows)[1])["failuresTotal"] == 1
    assert host.ask(f"{rows}.csv")[1] == b"external_id,code,error\r\nT-1,VALIDATION_ERROR,no amount\r\n"
    legacy = f"/imports/entities/automatic/bulk/imports/{entity}/failures.csv"
    assert host.ask(legacy)[0] == 200
    assert {each["jobId"] for each in json.loads(host.ask("/imports/batch-import/jobs")[1])["jobs"]} == {
        *(job.job_id, entity, queued)
    }
    cancel = {"kind": "transaction_batch", "action": "cancel"}
    control = f"/imports/batch-import/jobs/{queued}/control"
    assert json.loads(host.ask(control, "POST", cancel)[1])["job"]["status"] == "cancelled"
    for path in ("/livez", "/readyz", "/metrics", "/openapi.json"):
        assert host.ask(f"/imports{path}")[0] == 200
    assert host.ask("/nothing") == (404, b"the host's own page")
    status, body = host.ask("/imports/nothing")
    assert (status, json.loads(body)["error"]["code"]) == (404, "NOT_FOUND")
    status, body = host.ask(at, "DELETE")
    assert (status, json.loads(body)["error"]["code"]) == (405, "METHOD_NOT_ALLOWED")
    assert host.headers["Allow"] == "GET, HEAD"


def test_a_waiting_read_is_answered_when_the_job_changes(
    host: Host, real_store: JobStore, running_job: Job
) -> None:
    path = f"/imports/batch-import/jobs/{running_job.job_id}"
    host.ask(path)
    tag = host.headers["ETag"]
    with ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(host.ask, path, If_None_Match=tag, Prefer="wait=20")
        wait_until(lambda: b"batchstatus_held_requests 1.0" in host.ask("/imports/metrics")[1], what="it is held")
        assert not waiting.done()
        real_store.control(ORG, running_job.job_id, "cancel")
        status, body = waiting.result(60)
    assert (status, json.loads(body)["job"]["status"]) == (200, "cancelled")


def test_events_come_as_they_happen_and_end_with_the_job(
    host: Host, real_store: JobStore, running_job: Job
) -> None:
    path = f"/imports/batch-import/jobs/{running_job.job_id}/events"
    with closing(http.client.HTTPConnection("127.0.0.1", host.port, timeout=60)) as connection:
        connection.request("GET", path, headers=COOKIE)
        response = connection.getresponse()
        assert (response.status, response.headers["Content-Type"]) == (200, "text/event-stream")
        assert next_status(response) == "queued"
        real_store.control(ORG, running_job.job_id, "cancel")
        assert next_status(response) == "cancelled"
        assert response.read() == b""


def next_status(response: HTTPResponse) -> str:
    """Returns the status of the job in the next event, waiting for it."""
    for line in response:
        if line.startswith(b"data: "):
            assert response.readline() == b"\n"
            return str(json.loads(line.removeprefix(b"data: "))["job"]["status"])
    raise AssertionError("the stream has ended")


def test_waiting_reads_leave_threads_to_others(host: Host, running_job: Job) -> None:
    path = f"/imports/batch-import/jobs/{running_job.job_id}"
    host.ask(path)
    tag = host.headers["ETag"]
    over = threading.Event()

    def wait(_: int) -> float:
        began = time.monotonic()
        assert host.ask(path, If_None_Match=tag, Prefer="wait=3")[0] == 304
        return time.monotonic() - began

    with ThreadPoolExecutor(3) as threads:
        waiting = [threads.submit(wait, number) for number in range(3)]
        while not all(each.done() for each in waiting) and not over.is_set():
            assert host.ask(path)[0] == 200
        took = [each.result(60) for each in waiting]
    assert sum(seconds > 2.5 for seconds in took) == HELD[host.server]


def slow_download(host: Host, job_id: str) -> AbstractContextManager[HTTPResponse]:
    """Returns an answer of which nothing has been read yet, so that the server cannot have sent it all."""
    path = f"/imports/batch-import/transaction-jobs/{job_id}/failures.csv"
    head = f"GET {path} HTTP/1.1\r\nHost: x\r\nCookie: org={ORG}\r\n\r\n"
    return download(host.port, head.encode(), receive_buffer=4_096)


def test_a_csv_comes_whole(host: Host, redis_client: "redis.Redis") -> None:
    put_job(redis_client, "big", failures=[ROW] * ROWS)
    with slow_download(host, "big") as response:
        assert response.read().count(b"\r\n") == ROWS + 1


def test_a_csv_whose_rows_are_lost_on_the_way_does_not_look_whole(host: Host, redis_client: "redis.Redis") -> None:
    put_job(redis_client, "big", failures=[ROW] * 5 * ROWS)
    with slow_download(host, "big") as response:
        assert response.status == 200
        redis_client.delete(f"{job_key('big')}:failures")
        with pytest.raises((IncompleteRead, ConnectionResetError)):
            response.read()


def test_an_encoded_slash_is_no_path_of_ours_below_a_mount(
    host: Host, real_store: JobStore, running_job: Job
) -> None:
    key, _ = real_store.api_keys.create(ORG, ["transactions:create"])
    path = f"/mounted/batch-import/jobs/{running_job.job_id}"
    assert host.ask(path, **bearer(key))[0] == 200
    for encoded in ("%2Fcontrol", "%2fcontrol"):
        status, body = host.ask(path + encoded, **bearer(key))
        assert (status, json.loads(body)["error"]["code"]) == (404, "JOB_NOT_FOUND")


def test_it_stops_when_it_is_told_to(host: Host) -> None:
    assert host.ask("/imports/livez")[0] == 200
    assert host.stop() in (0, -signal.SIGTERM)  # waitress knows no SIGTERM
    assert "Traceback" not in host.log()
