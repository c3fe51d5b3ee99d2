"""The task without an adapter of docs/queues.md, for people who only want a bar."""

import re
from pathlib import Path
from typing import Any

import pytest

from batchstatus import JobStore

pytest.importorskip("celery", reason="needs the extra celery")

PAGE = (Path(__file__).parents[2] / "docs" / "queues.md").read_text()


def test_the_task_of_the_documents_has_a_bar_under_its_own_id(redis_url: str, real_store: JobStore) -> None:
    _, _, section = PAGE.partition("\n## Only a bar\n")
    (code,) = re.findall(r"^```python\n(.*?)^```", section.partition("\n## ")[0], re.MULTILINE | re.DOTALL)
    namespace: dict[str, Any] = {"__name__": "tasks"}
    code = code.replace("redis://127.0.0.1:6379/0", redis_url)
    exec(code.replace("redis://127.0.0.1:6379/1", "memory://"), namespace)
    (line,) = re.findall(r"`(job = store\.get\(.*?\))`", section)
    task_id = namespace["start_import"](["a", "b", "c"]).job_id
    exec(line, namespace, found := {"task_id": task_id})
    assert (found["job"].status, found["job"].done, found["job"].total_items) == ("queued", 0, 3)
    assert namespace["import_lines"].apply(args=[["a", "b", "c"]], task_id=task_id).successful()
    exec(line, namespace, found)
    assert (found["job"].status, found["job"].done, found["job"].total_items) == ("completed", 3, 3)
    namespace["store"].close()
    namespace["app"].close()
