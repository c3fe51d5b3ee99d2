"""RQ: progress as it documents it, a job's meta saved after each row."""

import json
import sys
import time

from redis import Redis
from rq import Queue

url, rows = sys.argv[1], int(sys.argv[2])
job = Queue("bench", connection=Redis.from_url(url)).create_job(print, meta={"done": 0})
job.save()
started = time.perf_counter()
for number in range(1, rows + 1):
    job.meta["done"] = number
    job.save_meta()
seconds = time.perf_counter() - started
job.delete()
print(json.dumps({"rows_per_s": rows / seconds}))
