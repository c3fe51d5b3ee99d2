"""Raw WSGI under the server that batchstatus runs on: no Flask, the key cached, the serializer by hand."""

import os
from datetime import UTC, datetime

import orjson
import redis

from batchstatus.settings import Settings
from batchstatus.web.server.serve import Server

keys = {}
NUMBERS = ("totalItems", "succeeded", "failed", "skipped")
TIMES = ("heartbeatAt", "leaseExpiresAt", "createdAt", "completedAt")


class Raw(Server):
    """The same gunicorn, another application."""

    def load(self):
        # Called in each worker process, after its fork and after gevent has patched what redis-py uses.
        self.store = redis.Redis.from_url(os.environ["BATCHSTATUS_REDIS_URL"])
        return self.application

    def application(self, environ, start_response):
        org = keys.setdefault(environ["HTTP_AUTHORIZATION"], "org_bench")
        job_id = environ["PATH_INFO"].rpartition("/")[2]
        stored = self.store.hgetall(f"batchstatus:{{{org}:{job_id}}}")
        job = {name.decode(): value.decode() for name, value in stored.items()}
        body = {
            "jobId": job["jobId"],
            "kind": job["kind"],
            "status": job["status"],
            **{name: int(job[name]) if name in job else None for name in NUMBERS},
            **{name: time(job[name]) if name in job else None for name in TIMES},
            "workerError": job.get("workerError"),
            "metadata": orjson.loads(job["metadata"]),
        }
        answer = orjson.dumps({"success": True, "job": body})
        start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(answer)))])
        return [answer]


def time(milliseconds):
    moment = datetime.fromtimestamp(int(milliseconds) / 1000, UTC)
    return f"{moment.isoformat(timespec='milliseconds')[:-6]}Z"


if __name__ == "__main__":
    Raw(Settings.from_env()).run()
