"""rq-dashboard: its endpoint for one job, under the server that its command starts.

Run: python rq_dashboard_job.py REDIS_URL PORT JOBS
"""

import sys

from redis import Redis
from rq import Queue
from rq_dashboard import cli

url, port, jobs = sys.argv[1:]
queue = Queue("bench", connection=Redis.from_url(url))
for number in range(int(jobs)):
    queue.create_job(print, job_id=f"job-{number}", meta={"done": 412, "total": 10_000}).save()
cli.run(["--bind", "127.0.0.1", "--port", port, "--redis-url", url])
