"""Finds job keys that would never expire."""

import redis


def keys_without_ttl(client: "redis.Redis", prefix: str = "batchstatus") -> list[str]:
    """Returns the keys of jobs without a time to live. Only keys of jobs have a hash tag after the prefix."""
    return sorted(key.decode() for key in client.scan_iter(f"{prefix}:{{*", count=1_000) if client.ttl(key) == -1)
