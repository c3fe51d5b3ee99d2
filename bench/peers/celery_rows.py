"""Celery: progress as it documents it, the task's state updated after each row."""

import json
import sys
import time
import uuid

from celery import Celery

url, rows = sys.argv[1], int(sys.argv[2])
app = Celery("bench", broker=url, backend=url)


@app.task(bind=True)
def load(self):
    """A task that does nothing."""


task_id = str(uuid.uuid4())
started = time.perf_counter()
for number in range(1, rows + 1):
    load.update_state(task_id=task_id, state="PROGRESS", meta={"done": number, "total": rows})
seconds = time.perf_counter() - started
load.AsyncResult(task_id).forget()
print(json.dumps({"rows_per_s": rows / seconds}))
