"""Memory of a job in the store: the growth of the server's `used_memory` by many jobs, divided by their number.

The SDK runs the jobs as in production: created with a UUID as id and `{"fileName": "november.csv"}`, claimed, one
report, no failures, finished. All keys and index entries count, after the reaper has looked at the leases. Some
jobs before that warm up the server's allocator; several processes share the work.
"""

import multiprocessing
import time
from collections.abc import Iterator
from typing import Any

import redis

from batchstatus import connect
from batchstatus.model.keys import BUCKETS, Keys
from batchstatus.reaper import Reaper
from bench.report.figures import Answer, Table
from bench.tools.setting import KIND, ORG, Setting

PROCESSES = 3
LEASE_S = 0.5
"""Short, so that the reaper need not wait. Nothing else looks at the leases, and a finish needs none."""


def measure(setting: Setting) -> Iterator[Answer]:
    """Yields one table."""
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
    """Yields the parts of a finished job, by the server's MEMORY USAGE."""
    keys = Keys(setting.store.settings.prefix)
    (job,) = setting.store.list(ORG, statuses=["completed"], limit=1).jobs
    yield "of that its own key", client.memory_usage(keys.job(ORG, job.job_id).job)
    expiries = [keys.expiries(bucket) for bucket in range(BUCKETS)]
    for name, indexes in {"history": [keys.index(ORG, job.kind, job.status)], "expiries": expiries}.items():
        entries = sum(client.zcard(index) for index in indexes)
        size = sum(client.memory_usage(index, samples=0) for index in indexes)
        yield f"and its entry in the index of {name}", size / entries


def _make(url: str, jobs: int, *, end: bool) -> None:
    """Run `jobs` jobs; without `end` they stay running."""
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
            run._reporter.finish(time.monotonic() + 60)  # delivers the report, and leaves the job running
    store.close()


def _reap(url: str, client: "redis.Redis") -> None:
    """Let the reaper look until it has dropped the leases of all ended jobs."""
    time.sleep(LEASE_S)
    store = connect(url)
    reaper, keys = Reaper(store), Keys(store.settings.prefix)
    while any(client.zcard(keys.leases(bucket)) for bucket in range(BUCKETS)):
        reaper.reap()
    store.close()


def _used(client: "redis.Redis") -> int:
    return int(client.info("memory")["used_memory"])
