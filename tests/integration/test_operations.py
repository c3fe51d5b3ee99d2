"""What an operator sees of a service with several processes: its metrics and its logs."""

import http.client
import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

import pytest
from prometheus_client.parser import text_string_to_metric_families

from batchstatus import connect
from batchstatus.embedded import EmbeddedServer
from batchstatus.settings import Settings
from tests.support.rawhttp import RawConnection, request
from tests.support.sdk import UNHURRIED
from tests.support.service import LiveService
from tests.support.waiting import wait_until

ORG = "org_acme"
JOBS = "/batch-import/jobs/<job_id>"
CONNECTIONS, EACH = 16, 25


class Operated(LiveService):
    """A service with two processes, its shared files below `directory`, and a job to ask for."""

    def __init__(self, redis_url: str, directory: Path, **environment: str) -> None:
        super().__init__(redis_url, TMPDIR=str(directory), BATCHSTATUS_WORKERS="2", **environment)
        self.directory = directory
        self.store = connect(redis_url, **UNHURRIED)

    def __enter__(self) -> Self:
        self.job_id = self.store.create(ORG, "transaction_batch").job_id
        self.key, _ = self.store.api_keys.create(ORG, ["transactions:create"])
        self.path = f"/batch-import/jobs/{self.job_id}"
        return super().__enter__()

    def __exit__(self, *error: object) -> None:
        super().__exit__(*error)
        self.store.close()

    def ask(self, *paths: str, **headers: str) -> list[http.client.HTTPResponse]:
        """The answers to GETs, all over one connection of their own."""
        connection = http.client.HTTPConnection(urlsplit(self.url).netloc, timeout=30)
        answers = []
        for path in paths:
            connection.request("GET", path, headers={"Authorization": f"Bearer {self.key}"} | headers)
            answers.append(connection.getresponse())
            answers[-1].read()
        connection.close()
        return answers

    def ask_all_processes(self) -> int:
        """Polls over many connections, until each process has had some; gives how many."""
        polls = 0
        while polls == 0 or len(self.processes_that_have_answered()) < 2:
            assert polls < 100 * EACH
            assert {answer.status for answer in self.ask(*[self.path] * EACH)} == {200}
            polls += EACH
        return polls

    def processes_that_have_answered(self) -> list[str]:
        """The files of the processes that have counted a poll."""
        files = self.directory.glob("batchstatus-metrics-*/counter_*.db")
        return [file.name for file in files if JOBS.encode() in file.read_bytes()]

    def metrics(self) -> str:
        with urllib.request.urlopen(f"{self.url}/metrics", timeout=30) as answer:
            return str(answer.read().decode())

    def metric(self, name: str, **labels: str) -> float:
        families = text_string_to_metric_families(self.metrics())
        samples = [each for family in families for each in family.samples if each.name == name]
        return sum(each.value for each in samples if each.labels.items() >= labels.items())

    def lines(self) -> list[dict[str, Any]]:
        """The log but for the greeting."""
        greeting, *rest = self.log().splitlines()
        assert greeting.startswith("batchstatus serves http://")
        return [json.loads(line) for line in rest]


@pytest.fixture(scope="module")
def operated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Operated]:
    """One for the whole module, on a store of its own: the usual one is emptied in between."""
    with EmbeddedServer() as server, Operated(server.url, tmp_path_factory.mktemp("operated")) as service:
        yield service


# Metrics


def test_the_metrics_are_of_all_processes_together(operated: Operated) -> None:
    before = operated.metric("batchstatus_requests_total", route=JOBS, status="200")
    polls = operated.ask_all_processes()
    wait_until(lambda: operated.metric("batchstatus_requests_total", route=JOBS, status="200") == before + polls)
    assert operated.metric("batchstatus_request_seconds_count", route=JOBS) == before + polls
    assert operated.metric("batchstatus_request_seconds_bucket", route=JOBS, le="+Inf") == before + polls
    # Whichever process is asked, the answer is the same
    assert len({operated.metric("batchstatus_requests_total", route=JOBS) for _ in range(10)}) == 1


def test_they_need_no_key_and_tell_nobody_who_asked_for_what(operated: Operated) -> None:
    operated.ask(operated.path, f"/batch-import/jobs/{operated.key}", f"/{ORG}?key={operated.key}")
    text = operated.metrics()
    assert f'route="{JOBS}"' in text
    for secret in (operated.key, operated.job_id, ORG, "127.0.0.1", str(operated.process_ids()[0])):
        assert secret not in text


@pytest.mark.slow
def test_what_runs_and_how_it_ends_is_in_the_metrics_of_the_service(redis_url: str, tmp_path: Path) -> None:
    with Operated(redis_url, tmp_path) as service, closing(connect(redis_url, lease_s=1.5, **UNHURRIED)) as store:
        job = store.create(ORG, "transaction_batch")
        with store.run(ORG, job.job_id):
            wait_until(lambda: service.metric("batchstatus_running_jobs") == 1, 90)
            assert service.metric("batchstatus_oldest_heartbeat_seconds") < 90
        wait_until(lambda: service.metric("batchstatus_ended_jobs_total", status="completed") == 1)
        wait_until(lambda: service.metric("batchstatus_running_jobs") == 0, 90)
        assert service.metric("batchstatus_ended_jobs_total") == 1


@pytest.mark.slow
def test_a_killed_process_leaves_its_counts_and_takes_its_gauges_along(tmp_path: Path) -> None:
    quick = {"BATCHSTATUS_STORE_TIMEOUT_MS": "200"}
    with EmbeddedServer() as server, Operated(server.url, tmp_path, **quick) as service:
        # Given two processes that both have counted, and both have stopped asking a store that hangs
        polls = service.ask_all_processes()
        server.pause()
        wait_until(lambda: service.ask(service.path) and service.metric("batchstatus_breaker_open") == 2, 60)
        errors = service.metric("batchstatus_store_errors_total")
        wait_until(lambda: service.metric("batchstatus_requests_total", route=JOBS, status="200") == polls)
        # When one of them is killed
        killed, alive = service.process_ids()
        os.kill(killed, signal.SIGKILL)
        wait_until(lambda: len(service.process_ids()) == 2 and killed not in service.process_ids(), 30)
        # Then one has stopped asking, and all is counted that ever was
        wait_until(lambda: service.metric("batchstatus_breaker_open") == 1)
        assert alive in service.process_ids()
        assert service.metric("batchstatus_requests_total", route=JOBS, status="200") == polls
        assert service.metric("batchstatus_store_errors_total") == errors
        # And when the store is back, so is everyone
        server.resume()
        wait_until(lambda: service.metric("batchstatus_breaker_open") == 0)
        assert service.ask(service.path)[0].status == 200


@pytest.mark.slow
def test_a_process_that_is_told_to_end_leaves_all_that_it_has_counted(redis_url: str, tmp_path: Path) -> None:
    with Operated(redis_url, tmp_path) as service:
        ended, polls = service.process_ids(), 40 * EACH
        for _ in range(40):  # over so many connections that each process has had some
            service.ask(*[service.path] * EACH)
        for pid in ended:
            os.kill(pid, signal.SIGTERM)
        wait_until(lambda: len(service.process_ids()) == 2 and not {*ended} & {*service.process_ids()}, 30)
        assert service.metric("batchstatus_requests_total", route=JOBS, status="200") == polls


@pytest.mark.slow
def test_the_files_that_the_processes_share_go_with_the_service(redis_url: str, tmp_path: Path) -> None:
    with Operated(redis_url, tmp_path) as service:
        service.ask(service.path)
        assert [path.name.startswith("batchstatus-metrics-") for path in tmp_path.iterdir()] == [True]
    assert list(tmp_path.iterdir()) == []


# Logs


def test_each_request_is_one_line_that_its_answer_can_be_found_by(operated: Operated) -> None:
    many = 50
    answers = operated.ask(*[operated.path] * many)
    ids = {answer.headers["X-Request-Id"] for answer in answers}
    assert len(ids) == many

    def found() -> list[dict[str, Any]]:
        return [line for line in operated.lines() if line.get("requestId") in ids]

    wait_until(lambda: len(found()) >= many)
    assert {line["requestId"] for line in found()} == ids
    assert len(found()) == many
    told = [(line["org"], line["job"], line["route"], line["status"], line["method"]) for line in found()]
    assert set(told) == {(ORG, operated.job_id, JOBS, 200, "GET")}
    assert all(0 < line["ms"] < 60_000 for line in found())


def test_a_callers_own_request_id_is_in_the_log(operated: Operated) -> None:
    (answer,) = operated.ask("/nowhere", **{"X-Request-Id": "mine-and-only-mine"})
    assert answer.headers["X-Request-Id"] == "mine-and-only-mine"
    wait_until(lambda: [line for line in operated.lines() if line.get("requestId") == "mine-and-only-mine"])


def test_what_gunicorn_says_is_json_too(operated: Operated) -> None:
    said = [line for line in operated.lines() if line["logger"] == "gunicorn.error"]
    listening = f"Listening at: {operated.url} ({operated.pid})"
    assert [line["message"] for line in said if "Listening" in line["message"]] == [listening]
    assert sum("Booting worker" in line["message"] for line in said) == 2
    assert {line["level"] for line in said} == {"info"}


def test_no_key_is_in_the_log_wherever_the_caller_has_put_it(operated: Operated) -> None:
    key = operated.key
    operated.ask(operated.path, f"{operated.path}?key={key}", f"/batch-import/jobs/{key}", f"/{key}")
    operated.ask(operated.path, Authorization=key)
    operated.ask(operated.path, Authorization=f"Bearer {key}, {key}", Cookie=key, Referer=f"http://x/{key}")
    operated.ask("/livez", **{"X-Request-Id": "the-last-of-them"})
    wait_until(lambda: "the-last-of-them" in operated.log())
    assert key not in operated.log()
    assert key[4:] not in operated.log()


@pytest.mark.slow
def test_with_a_higher_level_the_log_is_quiet(redis_url: str, tmp_path: Path) -> None:
    with Operated(redis_url, tmp_path, BATCHSTATUS_LOG_LEVEL="warning") as service:
        assert {answer.status for answer in service.ask(service.path, "/nowhere", "/livez")} == {200, 404}
        assert service.lines() == []


# The end


@pytest.mark.slow
def test_a_service_that_is_told_to_stop_while_it_starts_does_so_soon(redis_url: str, tmp_path: Path) -> None:
    service = Operated(redis_url, tmp_path)
    command = [sys.executable, "-m", "batchstatus", "serve", "--redis-url", redis_url, "--workers", "4"]
    command += ["--bind", f"127.0.0.1:{service.port}"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, env={**os.environ, "TMPDIR": str(tmp_path)}) as process:
        assert process.stderr is not None
        booting = (line for line in process.stderr if b"Booting worker" in line)
        assert len(list(islice(booting, 4))) == 4
        process.terminate()
        process.communicate(timeout=20)  # a graceful stop gives requests 30 s
    assert process.returncode == 0
    assert list(tmp_path.iterdir()) == []


def test_an_idle_connection_is_closed_after_as_long_as_the_operator_says(redis_url: str) -> None:
    service, unset_s = LiveService(redis_url, BATCHSTATUS_KEEP_ALIVE_S="1"), Settings.keep_alive_s
    with service, RawConnection(service.port) as connection:
        for _ in range(2):
            connection.send(request("GET", "/livez"))
            assert connection.receive().headers["connection"] == "keep-alive"
        idle_since = time.monotonic()
        assert connection.is_closed()
        assert time.monotonic() - idle_since < unset_s - 1
