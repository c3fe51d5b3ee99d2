"""What a job takes in the store: the difference that many of them make to the server's `used_memory`.

The jobs go through the SDK as in production: created with a UUID as id and `{"fileName": "november.csv"}`,
claimed, one report, no failures, finished. Counted are all their keys and index entries, once the reaper has
looked at their leases. Before that some jobs warm the server's allocator up; several processes share the work.
"""

import multiprocessing
import time
from collections.abc import Iterator
from typing import Any

import redis

from batchstatus import connect
from batchstatus.keys import BUCKETS, Keys
from batchstatus.reaper import Reaper
from bench.report.figures import Answer, Table
from bench.tools.setting import KIND, ORG, Setting

PROCESSES = 3
LEASE_S = 0.5
"""So that the reaper need not wait; nothing else looks at the leases, and a finish asks for no lease."""


def measure(setting: Setting) -> Iterator[Answer]:
    """One table."""
    client = redis.Redis.from_url(setting.url)
    empty = _used(client)
    finished, running = setting.scaled((100_000, 5_000), (5_000, 1_000))
    _make(setting.url, finished // 20, end=True)
    _reap(setting.url, client)
    sizes = [_used(client)]
    _make(setting.url, finished, end=True)
    sizes.append(_used(client))
    _reap(setting.url, client)
    sizes.append(_used(client))
    _make(setting.url, running, end=False)
    sizes.append(_used(client))
    rows = [
        (f"a finished job, of {finished:,}", (sizes[2] - sizes[0]) / finished),
        *_parts(setting, client),
        (
            "once more, its entry in the index of leases, until the reaper has looked",
            (sizes[1] - sizes[2]) / finished,
        ),
        (f"a running job, of {running:,}, with that entry", (sizes[3] - sizes[2]) / running),
        ("the empty server", empty),
    ]
    yield Table("Memory in the store", {"what": "", "bytes": ",.0f"}, rows)


def _parts(setting: Setting, client: Any) -> Iterator[tuple[str, float]]:
    """What a finished job consists of, by the server's MEMORY USAGE."""
    keys = Keys(setting.store.settings.prefix)
    (job,) = setting.store.list(ORG, statuses=["completed"], limit=1).jobs
    yield "of that its own key", client.memory_usage(keys.job(ORG, job.job_id).job)
    expiries = [keys.expiries(bucket) for bucket in range(BUCKETS)]
    for name, indexes in {"history": [keys.index(ORG, job.kind, job.status)], "expiries": expiries}.items():
        entries = sum(client.zcard(index) for index in indexes)
        size = sum(client.memory_usage(index, samples=0) for index in indexes)
        yield f"and its entry in the index of {name}", size / entries


def _make(url: str, jobs: int, *, end: bool) -> None:
    """Take so many jobs through their lives; without `end` they stay running."""
    share = jobs // PROCESSES
    shares = [share] * (PROCESSES - 1) + [jobs - share * (PROCESSES - 1)]
    with multiprocessing.get_context("spawn").Pool(PROCESSES) as pool:
        pool.starmap(_live, [(url, share, end) for share in shares])


def _live(url: str, jobs: int, end: bool) -> None:
    store = connect(url, lease_s=LEASE_S if end else 3_600)
    for _ in range(jobs):
        job = store.create(ORG, KIND, total_items=1_000, metadata={"fileName": "november.csv"})
        run = store.run(ORG, job.job_id)
        run.__enter__()
        run.succeeded(412, checkpoint=412)
        if end:
            run.__exit__(None, None, None)
        else:
            run._reporter.finish(time.monotonic() + 60)  # what is left is delivered, and the job goes on
    store.close()


def _reap(url: str, client: "redis.Redis") -> None:
    """Have the reaper look until it has dropped the leases of all jobs that have ended."""
    time.sleep(LEASE_S)
    store = connect(url)
    reaper, keys = Reaper(store), Keys(store.settings.prefix)
    while any(client.zcard(keys.leases(bucket)) for bucket in range(BUCKETS)):
        reaper.reap()
    store.close()


def _used(client: "redis.Redis") -> int:
    return int(client.info("memory")["used_memory"])
