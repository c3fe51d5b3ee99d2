"""FastAPI: the same poll with redis.asyncio and a pydantic model, as its documentation would have it.

Run: uvicorn fastapi_app:app --workers 2
"""

import json
import os
from datetime import UTC, datetime
from typing import Any

import redis.asyncio as redis
from fastapi import FastAPI, Header, HTTPException
from pydantic import BaseModel

store = redis.from_url(os.environ["BATCHSTATUS_REDIS_URL"])
app = FastAPI()
keys: dict[str, str] = {}


class Job(BaseModel):
    jobId: str
    kind: str
    status: str
    totalItems: int | None
    succeeded: int
    failed: int
    skipped: int
    heartbeatAt: str | None
    leaseExpiresAt: str | None
    workerError: str | None
    createdAt: str
    completedAt: str | None
    metadata: dict[str, Any]


class JobResponse(BaseModel):
    success: bool = True
    job: Job


@app.get("/batch-import/jobs/{job_id}")
async def get_job(job_id: str, authorization: str = Header()) -> JobResponse:
    org = keys.setdefault(authorization, "org_bench")  # what a cached key costs
    stored = await store.hgetall(f"batchstatus:{{{org}:{job_id}}}")
    if not stored:
        raise HTTPException(404)
    job = {name.decode(): value.decode() for name, value in stored.items()}
    return JobResponse(
        job=Job(
            jobId=job["jobId"],
            kind=job["kind"],
            status=job["status"],
            totalItems=job.get("totalItems"),
            succeeded=job["succeeded"],
            failed=job["failed"],
            skipped=job["skipped"],
            heartbeatAt=time(job.get("heartbeatAt")),
            leaseExpiresAt=time(job.get("leaseExpiresAt")),
            workerError=job.get("workerError"),
            createdAt=time(job["createdAt"]),
            completedAt=time(job.get("completedAt")),
            metadata=json.loads(job["metadata"]),
        )
    )


def time(milliseconds: str | None) -> str | None:
    if milliseconds is None:
        return None
    moment = datetime.fromtimestamp(int(milliseconds) / 1000, UTC)
    return f"{moment.isoformat(timespec='milliseconds')[:-6]}Z"
