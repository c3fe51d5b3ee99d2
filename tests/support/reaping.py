"""Jobs for the reaper, under a prefix of their own, which the reapers of a live service do not touch."""

from dataclasses import replace
from datetime import datetime
from typing import Any

import redis

from batchstatus import Job, JobStore
from batchstatus.jobs.looks import Leases
from batchstatus.model.keys import Entry, Keys
from batchstatus.protocol import verbs
from batchstatus.settings import StoreSettings
from batchstatus.transport.connection import Connection
from tests.support.sdk import UNHURRIED
from tests.support.waiting import wait_until

ORG, KIND = "org_acme", "transaction_batch"
KEYS = Keys("reaping")
SETTINGS = StoreSettings(prefix="reaping", lease_s=30, grace_s=0.3, **UNHURRIED)


def entry(job: Job) -> Entry:
    return KEYS.lease_entry(ORG, job.job_id)


def stored(client: "redis.Redis", job: Job) -> dict[str, str]:
    fields: Any = client.hgetall(KEYS.job(ORG, job.job_id).job)
    return {name.decode(): value.decode() for name, value in fields.items()}


def field(client: "redis.Redis", job: Job, name: str) -> int:
    return int(stored(client, job)[name])


def store_ms(client: "redis.Redis") -> int:
    seconds, microseconds = client.time()
    return int(seconds) * 1000 + int(microseconds) // 1000


def ms(moment: datetime | None) -> int:
    assert moment is not None
    return round(moment.timestamp() * 1000)


def claimed(store: JobStore, client: "redis.Redis", *, lease_ms: int = 1, **options: Any) -> Job:
    """Returns a job that a worker claimed and never reported on again, due for a look by the reaper."""
    job = store.create(ORG, KIND, **options)
    connection = Connection(client, replace(SETTINGS, lease_s=lease_ms / 1000))
    verbs.claim(connection, KEYS.job(ORG, job.job_id), "token")
    Leases(connection).track(entry(job), 0)
    if lease_ms == 1:
        wait_until(lambda: store_ms(client) > field(client, job, "leaseExpiresAt"))
    return job
