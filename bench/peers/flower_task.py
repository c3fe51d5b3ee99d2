"""Flower: its endpoint for one task's state, which asks the result backend, as a poll does.

Run: python flower_task.py REDIS_URL PORT TASKS
"""

import os
import sys

from celery import Celery

url, port, tasks = sys.argv[1:]
app = Celery("bench", broker=url, backend=url)
for number in range(int(tasks)):
    app.backend.store_result(f"task-{number}", {"done": 412, "total": 10_000}, "PROGRESS")
os.environ["FLOWER_UNAUTHENTICATED_API"] = "true"
app.start(["flower", "--address=127.0.0.1", f"--port={port}", "--logging=error"])
