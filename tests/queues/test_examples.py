"""The tasks that docs/queues.md shows for Celery, run by Celery without a worker."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from batchstatus import JobStore, Status
from tests.queues.settings import ORG

pytest.importorskip("celery", reason="needs the extra celery")

PAGE = (Path(__file__).parents[2] / "docs" / "queues.md").read_text()


@pytest.fixture
def tasks(redis_url: str, real_store: JobStore) -> Iterator[dict[str, Any]]:
    """What `tasks.py` of the page defines, in an application that runs its tasks where they are sent."""
    _, _, section = PAGE.partition("\n## Celery\n")
    blocks = re.findall(r"^```python\n(.*?)^```", section.partition("\n## ")[0], re.MULTILINE | re.DOTALL)
    code = "".join(block for block in blocks if "@batch_task" in block)
    code = code.replace("redis://127.0.0.1:6379/0", redis_url)
    code = code.replace('broker="redis://127.0.0.1:6379/1"', 'broker="memory://", set_as_current=False')
    found: dict[str, Any] = {"__name__": "tasks"}
    exec(code, found)
    found["app"].conf.task_always_eager = True
    yield found
    found["store"].close()
    found["app"].close()


@pytest.fixture
def file(tmp_path: Path) -> str:
    path = tmp_path / "november.csv"
    path.write_text("".join(f"line {number}\n" for number in range(1, 101)))
    return str(path)


def test_the_task_imports_the_file(tasks: dict[str, Any], real_store: JobStore, file: str) -> None:
    job = real_store.get(ORG, tasks["import_file"].enqueue(ORG, file).job_id)
    assert (job.status, job.succeeded) == (Status.COMPLETED, 100)


def test_the_parts_import_each_line_once_and_the_callback_follows(
    tasks: dict[str, Any], real_store: JobStore, file: str, capsys: pytest.CaptureFixture[str]
) -> None:
    made = tasks["import_part"].enqueue_parts(ORG, file, parts=8, callback=tasks["tell"].s())
    job = real_store.get(ORG, made.job_id)
    assert (job.status, job.succeeded) == (Status.COMPLETED, 100)
    assert [part.succeeded for part in real_store.parts(ORG, made.job_id)] == [13, 13, 13, 13, 12, 12, 12, 12]
    assert capsys.readouterr().out == "8 parts are done\n"
