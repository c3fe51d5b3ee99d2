"""Finds job keys that would stay for ever."""

import redis


def keys_without_ttl(client: "redis.Redis", prefix: str = "batchstatus") -> list[str]:
    """Every key of a job that has no time to live (a job's keys have a hash tag, others do not)."""
    return sorted(key.decode() for key in client.scan_iter(f"{prefix}:{{*", count=1_000) if client.ttl(key) == -1)
