"""Fixtures: a broker of its own, workers in processes of their own, and a folder that they import into.

`app` and `worker` are Celery's; the tests of another queue have their own.
"""

import importlib
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from types import ModuleType

import pytest

from batchstatus import Job, JobStore, Status
from batchstatus.embedded import EmbeddedServer
from tests.queues import settings
from tests.support.nodes import KEEPS_DATA
from tests.support.output import Output
from tests.support.sdk import plain_client
from tests.support.waiting import wait_until

ROOT = Path(__file__).parents[2]


class Worker:
    """A worker of a queue, in a process group of its own."""

    def __init__(self, command: list[str]) -> None:
        self.output = Output(" ".join(command[2:]))
        self.process = subprocess.Popen(
            [sys.executable, *command], cwd=ROOT, stdout=self.output, stderr=self.output, start_new_session=True
        )

    def wait_for(self, text: str) -> None:
        """Wait until the worker has printed a text."""
        wait_until(lambda: text in self.output.text() or self.process.poll() is not None, what=text)
        assert text in self.output.text()

    def kill(self) -> None:
        """Kill the worker and all its children with SIGKILL."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def close(self) -> None:
        """Kill the worker, and keep its output for a report."""
        self.kill()
        self.output.close()


class Import:
    """The folder of one import, and what has happened in it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def starts(self) -> list[int]:
        """The process ids of the runs so far."""
        file = self.folder / "starts"
        return [int(line) for line in file.read_text().split()] if file.exists() else []

    @property
    def rows(self) -> list[int]:
        """The rows in SQLite."""
        with sqlite3.connect(self.folder / "rows.db") as rows_db:
            return [row for (row,) in rows_db.execute("SELECT row FROM imported ORDER BY row")]

    def wait_holding(self) -> None:
        """Wait until the import is in the middle."""
        wait_until((self.folder / "holding").exists)

    def go_on(self) -> None:
        """Let the import continue."""
        (self.folder / "go").touch()

    def part(self, number: int) -> "Import":
        """Returns the import of a part, which has a folder of its own."""
        return Import(self.folder / str(number))


@pytest.fixture(scope="module")
def broker() -> Iterator[EmbeddedServer]:
    """A Valkey for the queue alone."""
    with EmbeddedServer(*KEEPS_DATA) as server:
        yield server


@pytest.fixture
def queue_store(redis_url: str, broker: EmbeddedServer, monkeypatch: pytest.MonkeyPatch) -> Iterator[JobStore]:
    """The store as the workers use it; they find store and broker, which is empty, in the environment."""
    with plain_client(broker.url) as client:
        client.flushall()
    monkeypatch.setenv("QUEUES_STORE", redis_url)
    monkeypatch.setenv("QUEUES_BROKER", broker.url)
    store = settings.store()
    yield store
    store.close()


@pytest.fixture
def imported(tmp_path: Path) -> Import:
    return Import(tmp_path)


@pytest.fixture
def start_worker(queue_store: JobStore) -> Iterator[Callable[..., Worker]]:
    """Starts a worker by its command; all end with the test."""
    with ExitStack() as stack:

        def start(*command: str) -> Worker:
            worker = Worker(list(command))
            stack.callback(worker.close)
            return worker

        yield start


@pytest.fixture
def app(queue_store: JobStore) -> Iterator[ModuleType]:
    """The Celery application, with the store and the broker of this test."""
    from_here = importlib.import_module("tests.queues.celery_app")
    yield importlib.reload(from_here)
    consumer = from_here.app.backend.result_consumer
    consumer.subscribed_to.clear()  # results in cycles are freed when the broker is gone: they find nothing to do
    consumer.stop()
    from_here.app.backend.client.close()
    from_here.app.close()


@pytest.fixture
def worker(start_worker: Callable[..., Worker]) -> Callable[..., Worker]:
    """Starts a Celery worker of a pool, and waits until it is ready."""

    def start(pool: str = "prefork", *options: str) -> Worker:
        quiet = ("--without-gossip", "--without-mingle", "--without-heartbeat", "--loglevel", "info")
        found = start_worker(
            *("-m", "celery", "--app", "tests.queues.celery_app", "worker", "--pool", pool, "--concurrency", "2"),
            *(*quiet, *options),
        )
        found.wait_for(" ready.")
        return found

    return start


@pytest.fixture
def ended(queue_store: JobStore) -> Callable[[Job], Job]:
    """Waits for a job's end, and returns the job."""

    def wait(job: Job) -> Job:
        wait_until(lambda: queue_store.get(settings.ORG, job.job_id).terminal, what=f"end of job {job.job_id}")
        return queue_store.get(settings.ORG, job.job_id)

    return wait


def counted(job: Job) -> tuple[Status, int, int, int | None]:
    """Status, succeeded, failed and total of a job."""
    return job.status, job.succeeded, job.failed, job.total_items
