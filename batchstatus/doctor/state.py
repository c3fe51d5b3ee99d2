"""What a server of a store says of itself: version, memory, persistence, replicas; clock; and how fast it is."""

import re
import statistics
import time
from collections.abc import Iterable
from typing import Any

from batchstatus.doctor.findings import Finding, ok, problem, unknown, warning
from batchstatus.doctor.servers import Server
from batchstatus.model.keys import Keys
from batchstatus.settings import StoreSettings

OLDEST = (7, 0)
POLLS = 20
ABSENT = "batchstatus-doctor"
"""An organization and a job that nobody has."""

CLOCK_OFF_S = 1.0
SLOW_SHARE = 0.1
"""The share of the store's timeout that a poll may take, before it counts as slow."""


def examine_version(server: Server, settings: StoreSettings) -> Finding:
    """Find a server that is too old."""
    said = server.info("server")
    valkey = said.get("valkey_version")
    version = str(said.get("redis_version", ""))
    name = f"Valkey {valkey}" if valkey else f"Redis {version}"
    numbers = re.match(r"(\d+)\.(\d+)", version)
    if numbers is None:
        return unknown("version", "the server does not say its version")
    if (int(numbers[1]), int(numbers[2])) < OLDEST:
        return warning("version", f"{name} is older than 7.0, and is not tested", "upgrade to Redis 7 or Valkey")
    return ok("version", name)


def examine_memory(server: Server, settings: StoreSettings) -> Finding:
    """Find an eviction policy that loses keys, and memory that is nearly full."""
    said = server.info("memory")
    policy, most = str(said.get("maxmemory_policy", "")), int(said.get("maxmemory", 0))
    if not policy:
        return unknown("memory", "the server does not say its maxmemory-policy", "see that it is noeviction")
    if policy != "noeviction":
        return _evicting(policy, most)
    if most and int(said["used_memory"]) > 0.8 * most:
        used = f"{int(said['used_memory']) / most:.0%} of maxmemory"
        return warning("memory", f"{used} is in use; once it is full, no job can be made", "raise maxmemory")
    return ok("memory", f"noeviction, {'no maxmemory' if not most else 'enough left'}")


def _evicting(policy: str, most: int) -> Finding:
    # Records of API keys that do not expire, and the indexes, have no time to live: volatile-… spares them.
    lost = "jobs, rows, indexes and API keys" if policy.startswith("allkeys") else "jobs and rows that are in use"
    when = "once memory is full" if most else "if ever a maxmemory is set"
    return warning(
        "memory",
        f"maxmemory-policy {policy} loses {lost}, without a word, {when}",
        "CONFIG SET maxmemory-policy noeviction, also in the server's configuration file",
    )


def examine_persistence(server: Server, settings: StoreSettings) -> Finding:
    """Find a server that loses everything when it is restarted, or cannot write to its disk."""
    said = server.info("persistence")
    if "aof_enabled" not in said:
        return unknown("persistence", "the server does not say whether it has an append-only file")
    if not int(said["aof_enabled"]):
        return warning(
            "persistence",
            "there is no append-only file: a restart loses what came since the last snapshot, or all",
            "CONFIG SET appendonly yes, also in the server's configuration file, with appendfsync everysec",
        )
    if said.get("aof_last_write_status", "ok") != "ok":
        return problem(
            "persistence", "the append-only file cannot be written", "look at the server's disk and log"
        )
    return ok("persistence", "append-only file")


def examine_replicas(server: Server, settings: StoreSettings) -> Finding:
    """Find a server that is read-only, or has fewer replicas than `min_replicas` asks for."""
    wanted = settings.min_replicas
    said = server.info("replication")
    online = sum(1 for each in _replicas(said) if each.get("state") == "online")
    if said.get("role") != "master":
        return problem(
            "replicas",
            "the server is a read-only replica: jobs are read, and nothing is written",
            "name its primary",
        )
    if online < wanted:
        return problem(
            "replicas",
            f"{online} replicas are online, and min_replicas is {wanted}: no write counts",
            "start replicas, or lower min_replicas for the service and all workers",
        )
    if wanted and online == wanted:
        return warning(
            "replicas",
            f"{online} replicas are online, and min_replicas is {wanted}: none may be away",
            "start one replica more",
        )
    if online and not wanted:
        return ok("replicas", f"{online} online; min_replicas is 0, so a failover may lose the last writes")
    return ok("replicas", f"{online} online, min_replicas is {wanted}")


def _replicas(said: dict[str, Any]) -> Iterable[dict[str, Any]]:
    return (value for name, value in said.items() if re.fullmatch(r"slave\d+", name) and isinstance(value, dict))


def examine_clock(server: Server, settings: StoreSettings) -> Finding:
    """Find a clock that differs from this machine's."""
    before = time.time()
    seconds, microseconds = server.ask("TIME")
    off_s = int(seconds) + int(microseconds) / 1e6 - (before + time.time()) / 2
    if abs(off_s) < CLOCK_OFF_S:
        return ok("clock", f"{abs(off_s) * 1000:.0f} ms off ours")
    return warning(
        "clock",
        f"{abs(off_s):.1f} s {'ahead of' if off_s > 0 else 'behind'} ours; only the server's decides",
        "run NTP on every server: after a failover, leases are off by the difference",
    )


def examine_latency(server: Server, settings: StoreSettings) -> Finding:
    """Find a server that is slow to answer."""
    key = Keys(settings.prefix).job(ABSENT, ABSENT).job
    # In a Cluster only one server has the key.
    poll = ("PING",) if server.name else ("HGETALL", key)
    took_s = [_seconds_of(server, poll) for _ in range(POLLS)]
    median_s, worst_s = statistics.median(took_s), max(took_s)
    said = f"a poll takes {median_s * 1000:.1f} ms, {worst_s * 1000:.1f} ms at worst"
    if median_s < settings.timeout_s * SLOW_SHARE:
        return ok("latency", said)
    timeout = f"the timeout is {settings.timeout_s:g} s"
    return warning("latency", f"{said}; {timeout}", "look at the network, the server's CPU and its SLOWLOG")


def _seconds_of(server: Server, words: tuple[str, ...]) -> float:
    began = time.perf_counter()
    server.ask(*words)
    return time.perf_counter() - began
