"""What the user of a store's URL must be allowed to do, and whether it is."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from batchstatus.doctor.findings import Finding, ok, problem, warning
from batchstatus.doctor.servers import Server
from batchstatus.model.job import Kind, Status
from batchstatus.model.keys import Keys
from batchstatus.settings import StoreSettings

CHECK = "access rules"
_ORG = _ID = "batchstatus-doctor"
_SHA256 = "0" * 64


def examine_rights(server: Server, settings: StoreSettings) -> Iterable[Finding]:
    """Find commands and keys that the user needs and may not use. Nothing is run."""
    if denied := [command for command in ("multi", "exec") if server.denies(command)]:
        rights = " ".join(f"+{word}" for word in denied)
        yield problem(CHECK, f"the user may not run {', '.join(denied)}", f"ACL SETUSER <user> {rights}")
    if "multi" in denied:
        return
    keys = Keys(settings.prefix)
    wanted = commands(keys, with_wait=settings.min_replicas > 0)
    told = zip(wanted, server.denied(wanted), strict=True)
    words = sorted({str(command[0]).lower() for command, why in told if why and "command" in why})
    if words:
        rights = " ".join(f"+{word}" for word in words)
        yield problem(CHECK, f"the user may not run {', '.join(words)}", f"ACL SETUSER <user> {rights}")
    lacking = next(_lacking(server, keys, settings.prefix), None)
    if lacking:
        yield lacking
    elif not words and not denied:
        few = _hidden(server, _to_make_api_keys(keys))
        yield ok(
            CHECK, "the user may do all that " + ("the service does, and make no API keys" if few else "is needed")
        )


def _lacking(server: Server, keys: Keys, prefix: str) -> Iterator[Finding]:
    """Yield what keys of each group the user may not use, the group that matters most first."""
    of_jobs = {
        "{*": ("HGETALL", keys.job(_ORG, _ID).job),
        "index:*": ("ZSCORE", keys.index(_ORG, Kind.TRANSACTION_BATCH, Status.QUEUED), "m"),
        "leases:*": ("ZSCORE", keys.leases(0), "m"),
        "expiries:*": ("ZSCORE", keys.expiries(0), "m"),
    }
    to_read = {"apikey:*": ("HGETALL", keys.api_key(_SHA256))}
    to_mint = {
        "ticket:*": ("HSET", keys.ticket(_SHA256), "f", 1),
        "tickets:*": ("ZADD", keys.tickets(_ORG), 1, "m"),
    }
    to_tell = {
        "notices:*": ("ZADD", keys.notices(0), 1, "m"),
        "webhooks:*": ("HSET", keys.webhooks(_ORG), "f", 1),
        "deliveries:*": ("ZADD", keys.deliveries(_ORG), 1, "m"),
    }
    if hidden := _hidden(server, of_jobs):
        patterns = _patterns(prefix, hidden)
        yield problem(CHECK, f"the user may not use the keys {patterns}", f"ACL SETUSER <user> {patterns}")
    if hidden := _hidden(server, to_read):
        said = "the user may not read API keys, which is enough for a worker, and not for the service"
        yield warning(CHECK, said, f"for the service: ACL SETUSER <user> %R{_patterns(prefix, hidden)}")
    if hidden := _hidden(server, to_mint):
        said = "the user may mint no tickets for browsers"
        yield warning(CHECK, said, f"ACL SETUSER <user> {_patterns(prefix, hidden)}")
    if hidden := _hidden(server, to_tell):
        said = "the user may tell no endpoint of the ends of jobs; the service has to, even if there are none"
        yield warning(CHECK, said, f"ACL SETUSER <user> {_patterns(prefix, hidden)}")


def _to_make_api_keys(keys: Keys) -> dict[str, Sequence[Any]]:
    return {
        "apikey:*": ("HSET", keys.api_key(_SHA256), "f", 1),
        "apikeys:*": ("HSET", keys.api_keys(_ORG), "f", 1),
    }


def _patterns(prefix: str, hidden: Iterable[str]) -> str:
    return " ".join(f"~{prefix}:{each}" for each in hidden)


def commands(keys: Keys, *, with_wait: bool) -> list[Sequence[Any]]:
    """Returns every command that service, workers and `batchstatus keys` send, with arguments that it takes."""
    job, failures, _ = keys.job(_ORG, _ID)
    reads = [
        *(("HGETALL", job), ("HGET", job, "f"), ("HMGET", job, "f"), ("EXISTS", job), ("PTTL", job)),
        *(("LRANGE", failures, 0, 0), ("LLEN", failures)),
        *(("ZRANGEBYSCORE", job, 0, 0), ("ZREVRANGEBYSCORE", job, 0, 0), ("ZSCORE", job, "m")),
    ]
    writes = [
        *(("HSET", job, "f", 1), ("HDEL", job, "f"), ("DEL", job), ("PERSIST", job)),
        *(("RPUSH", failures, "r"), ("LTRIM", failures, 0, 0), ("PEXPIRE", job, 1), ("PEXPIREAT", job, 1)),
        *(("ZADD", job, 1, "m"), ("ZREM", job, "m")),
    ]
    others: list[Sequence[Any]] = [("EVAL", "return 1", 0), ("EVALSHA", "0" * 40, 0), ("TIME",), ("PING",)]
    if with_wait:
        others.append(("WAIT", 1, 1))
    return [*reads, *writes, *others]


def _hidden(server: Server, probes: Mapping[str, Sequence[Any]]) -> list[str]:
    """Returns the patterns of those keys that the user may not use."""
    said = server.denied([*probes.values()])
    return [pattern for pattern, why in zip(probes, said, strict=True) if why and "command" not in why]
