"""The tasks that docs/queues.md shows for asyncio, run by docket's real workers.

The file that they import is a pipe, so that the test decides how far they come. Reading it blocks their loop.
"""

import asyncio
import os
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest

from batchstatus import Job, JobStore, Status
from batchstatus.embedded import EmbeddedServer
from tests.queues import settings
from tests.queues.conftest import Worker
from tests.queues.settings import ORG
from tests.support.waiting import wait_until

pytest.importorskip("docket", reason="needs pydocket")
pytestmark = pytest.mark.slow

PAGE = (Path(__file__).parents[2] / "docs" / "queues.md").read_text()
LINES = "".join(f"line {number}\n" for number in range(1, 101))


@pytest.fixture
def tasks(queue_store: JobStore, broker: EmbeddedServer, redis_url: str, tmp_path: Path) -> Iterator[ModuleType]:
    """`tasks.py` of the page, with a short lease and short pauses."""
    (code,) = re.findall(r"^```python\n(.*?)^```", PAGE.partition("\n## asyncio\n")[2], re.MULTILINE | re.DOTALL)
    lease = f"lease_s={settings.LEASE_S}, grace_s={settings.GRACE_S}"
    for shown, used in (
        ('"redis://127.0.0.1:6379/0"', f'"{redis_url}", {lease}'),
        ("redis://127.0.0.1:6379/1", broker.url),
        ("seconds=30", "seconds=0.3"),
    ):
        assert shown in code
        code = code.replace(shown, used)
    (tmp_path / "docket_tasks.py").write_text(code)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(tmp_path)
        patch.setenv("PYTHONPATH", os.pathsep.join(sys.path))
        found = import_module("docket_tasks")
        yield found
        found.store.close()
    del sys.modules["docket_tasks"]


@pytest.fixture
def worker(start_worker: Callable[..., Worker], broker: EmbeddedServer, tasks: ModuleType) -> Callable[[], Worker]:
    """Starts a worker that ends once there is nothing to do."""

    def start() -> Worker:
        options = ("--url", broker.url, "--docket", "imports", "--redelivery-timeout", "2s")
        return start_worker(
            *("-m", "docket", "worker", *options, "--tasks", "docket_tasks:tasks", "--until-finished")
        )

    return start


@pytest.fixture
def pipe(tmp_path: Path) -> Path:
    path = tmp_path / "november.csv"
    os.mkfifo(path)
    return path


def wait_counted(store: JobStore, job: Job, succeeded: int) -> None:
    wait_until(lambda: store.get(ORG, job.job_id).succeeded == succeeded, what=f"{succeeded} rows")


def test_a_task_completes_its_job(tasks, worker, queue_store, tmp_path):
    (tmp_path / "november.csv").write_text(LINES)
    job = asyncio.run(tasks.enqueue(ORG, str(tmp_path / "november.csv")))
    assert worker().process.wait(60) == 0
    found = queue_store.get(ORG, job.job_id)
    assert (found.status, found.succeeded) == (Status.COMPLETED, 100)


def test_a_killed_worker_is_taken_over_with_exact_counters(tasks, worker, queue_store, pipe):
    job = asyncio.run(tasks.enqueue(ORG, str(pipe)))
    first = worker()
    with pipe.open("w") as lines:
        lines.write("".join(LINES.splitlines(keepends=True)[:50]))
        lines.flush()
        wait_counted(queue_store, job, 50)
        first.kill()
    second = worker()
    pipe.write_text(LINES)  # waits for the second worker to read
    assert second.process.wait(60) == 0
    found = queue_store.get(ORG, job.job_id)
    assert (found.status, found.succeeded) == (Status.COMPLETED, 100)


def test_an_error_fails_the_job_and_the_next_try_is_the_last(tasks, worker, queue_store, tmp_path):
    job = asyncio.run(tasks.enqueue(ORG, str(tmp_path / "missing.csv")))
    assert worker().process.wait(60) == 0
    found = queue_store.get(ORG, job.job_id)
    assert found.status is Status.FAILED
    assert "FileNotFoundError" in found.worker_error


def test_a_cancel_ends_the_task(tasks, worker, queue_store, pipe):
    job = asyncio.run(tasks.enqueue(ORG, str(pipe)))
    running = worker()
    with suppress(BrokenPipeError), pipe.open("w") as lines:
        lines.write("line 1\n")
        lines.flush()
        wait_counted(queue_store, job, 1)
        queue_store.control(ORG, job.job_id, "cancel")
        while True:  # until the task reads no more
            lines.write("another line\n")
            lines.flush()
    assert running.process.wait(60) == 0
    assert queue_store.get(ORG, job.job_id).status is Status.CANCELLED
