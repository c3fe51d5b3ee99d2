"""Faults that end in a failover: behind Sentinel, and in a Cluster."""

import itertools
import time
from functools import partial

from tests.chaos.finding import Finding
from tests.chaos.working import Work
from tests.support.nodes import Node
from tests.support.topologies import ClusterTopology, SentinelTopology
from tests.support.wire import job_key


def sentinel_primary_killed(times: int, busy_s: float = 0.0) -> Finding:
    """Kill the primary right after an acknowledgement; the dead node comes back as a replica."""
    with SentinelTopology(busy_s=busy_s) as redis, Work(redis.url, busy_s=busy_s) as work:
        for number in range(times):
            paused = work.imports[number % len(work.imports)]
            primary = redis.wait_ready()
            work.pause(paused)
            primary.kill()
            killed_at = time.monotonic()
            work.wait_written(f"after-{number}", killed_at, ready=partial(redis.wait_failover, primary))
            work.resume(paused)
            primary.start()
        redis.wait_ready()
        return work.finding("Sentinel: the primary is killed")


def cluster_primary_killed(times: int, busy_s: float = 0.0) -> Finding:
    """Kill a primary of a Cluster likewise. Its slots accept writes again once it is back as a replica."""
    with ClusterTopology(busy_s=busy_s) as redis, Work(redis.url, busy_s=busy_s) as work:
        for number in range(times):
            paused = work.imports[number % len(work.imports)]
            redis.wait_ready()
            primary = redis.node_of(job_key(paused))
            new_job = job_on(redis, primary, f"after-{number}")
            work.pause(paused)
            primary.kill()
            killed_at = time.monotonic()
            redis.wait_failover(job_key(paused), primary)
            primary.start()
            work.wait_written(new_job, killed_at, ready=partial(redis.wait_replicated, job_key(paused)))
            work.resume(paused)
        redis.wait_ready()
        return work.finding("Cluster: a primary is killed")


def job_on(redis: ClusterTopology, node: Node, name: str) -> str:
    """Returns the id of a job that is stored on this node."""
    ids = (f"{name}-{number}" for number in itertools.count())
    return next(each for each in ids if redis.node_of(job_key(each)) is node)
