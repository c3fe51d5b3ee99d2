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
    exec(code.replace("redis://127.0.0.1:6379/0", redis_url), namespace)
    task = namespace["import_lines"]
    result = task.apply(args=[["a", "b", "c"]])
    assert result.successful()
    (line,) = re.findall(r"`(job = store\.get\(.*?\))`", section)
    exec(line, namespace, found := {"task_id": result.id})
    assert (found["job"].status, found["job"].done, found["job"].total_items) == ("completed", 3, 3)
    namespace["store"].close()
    namespace["app"].close()
