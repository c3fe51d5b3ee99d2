"""Turns a store's URL into a redis-py client: a single server, one behind Sentinel, or a Cluster.

redis-py's defaults do not suit a status endpoint: ten retries of five seconds each make one command to a
hung server take a minute, and repeat writes. Here every wait is `timeout_s`, and nothing is repeated.
"""

import queue
import random
from typing import Any, TypeAlias
from urllib.parse import SplitResult, unquote, urlsplit, urlunsplit

import redis
from redis.backoff import NoBackoff
from redis.cluster import ClusterNode, RedisCluster
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisClusterException
from redis.exceptions import TimeoutError as RedisTimeoutError
from redis.retry import Retry
from redis.sentinel import Sentinel, SentinelConnectionPool, SentinelManagedConnection

from batchstatus.errors import InvalidValue
from batchstatus.settings import StoreSettings
from batchstatus.transport.redis_py import ANONYMOUS, BlockingPool, check_cluster

RedisClient: TypeAlias = redis.Redis | RedisCluster

_SINGLE = {"redis": "redis", "valkey": "redis", "rediss": "rediss", "valkeys": "rediss", "unix": "unix"}
_SENTINEL, _CLUSTER = "redis+sentinel", "redis+cluster"


def open_client(url: str, settings: StoreSettings) -> RedisClient:
    """Returns a client for a URL that `check_url` has passed. A Cluster's connects at once, others when used."""
    parts = urlsplit(url)
    if parts.scheme == _CLUSTER:
        return _cluster(parts, settings)
    return _sentinel(parts, settings) if parts.scheme == _SENTINEL else _single(url, parts, settings)


def check_url(url: str, settings: StoreSettings) -> None:
    """Raise InvalidValue, naming what is wrong, unless the URL is one of ours. Nothing is sent."""
    parts = _parts(url)
    if parts.scheme == _CLUSTER:
        check_cluster()
        return
    try:
        # Options that redis-py does not know show only when a connection is made; making one does not open it.
        client: Any = open_client(url, settings)
        client.connection_pool.make_connection()
    except InvalidValue:
        raise
    except (ValueError, TypeError) as error:
        raise InvalidValue(f"the store's URL is wrong: {error}") from None


def _parts(url: str) -> SplitResult:
    """Returns the URL's parts, hosts and ports checked. No error quotes them: they may hold a password."""
    try:
        parts = urlsplit(url) if isinstance(url, str) else None
        if parts is None or parts.scheme not in [*_SINGLE, _SENTINEL, _CLUSTER]:
            known = ", ".join(f"{name}://" for name in [*_SINGLE, _SENTINEL, _CLUSTER])
            raise InvalidValue(f"the store's URL must start with one of {known}")
        if parts.scheme in (_SENTINEL, _CLUSTER):
            _nodes(parts, 0)
        else:
            _ = parts.port
    except InvalidValue:
        raise
    except ValueError:
        raise InvalidValue("the store's URL has no proper host and port, after user:password@ if any") from None
    return parts


def _options(settings: StoreSettings) -> dict[str, Any]:
    return {
        "socket_timeout": settings.timeout_s,
        "socket_connect_timeout": settings.timeout_s,
        "retry": Retry(NoBackoff(), 0),
        "protocol": 2,  # saves a handshake command, and there are no push messages to watch for
        **ANONYMOUS,
        "decode_responses": False,
    }


def _single(url: str, parts: SplitResult, settings: StoreSettings) -> "redis.Redis":
    target = url if parts.scheme == "unix" else urlunsplit(parts._replace(scheme=_SINGLE[parts.scheme]))
    pool = redis.BlockingConnectionPool.from_url(
        target,
        max_connections=settings.max_connections,
        timeout=settings.timeout_s,
        queue_class=_queue,
        **_options(settings),
    )
    # A URL may carry redis-py's options; this one would break every reader ("false" is truthy there).
    pool.connection_kwargs["decode_responses"] = False
    return redis.Redis(connection_pool=pool)


def _queue(size: int) -> "queue.LifoQueue[Any]":
    """Returns the queue of a pool; the class is looked up when the pool is made, and so is gevent's under gevent.

    redis-py keeps the standard library's class, which a `gevent.Timeout` leaves in disorder: a wait that is broken
    off while taking its lock again releases a lock that it does not hold, callers get a RuntimeError, and the
    pool loses connections for good.
    """
    return queue.LifoQueue(size)


class _Sentinels(Sentinel):
    """Sentinels that name the new primary while they promote it.

    redis-py's class names the old primary until the failover is complete, should the old one wake up meanwhile.
    """

    def discover_master(self, service_name: str) -> tuple[str, int]:
        """Returns the primary's address; MasterNotFoundError if no Sentinel sees one."""
        super().discover_master(service_name)  # type: ignore[no-untyped-call]
        first: Any = self.sentinels[0]  # redis-py puts the Sentinel that answered there
        address: tuple[str, int] = first.sentinel_get_master_addr_by_name(service_name)
        return address


class _PrimaryConnection(SentinelManagedConnection):
    """A connection to the primary that is closed when a read is broken off, for whatever reason.

    redis-py's class leaves the connection open, so that the next command would read the answer to this one.
    """

    def read_response(self, *args: Any, **options: Any) -> Any:
        return super().read_response(*args, **(options | {"disconnect_on_error": True}))


class _PrimaryPool(SentinelConnectionPool, BlockingPool):
    """A pool of such connections that waits for a free connection, as the pool of a single server does."""


def _sentinel(parts: SplitResult, settings: StoreSettings) -> "redis.Redis":
    """Returns a client for `redis+sentinel://[user:password@]host:port,…/name/database` (the primary's login)."""
    name, _, database = parts.path.strip("/").partition("/")
    if not name:
        raise InvalidValue(
            "a Sentinel URL ends in the name of the primary: redis+sentinel://h1:26379,h2:26379/mymaster/0"
        )
    options = _options(settings)
    sentinel = _Sentinels(_nodes(parts, 26379), sentinel_kwargs=options, **options)  # type: ignore[no-untyped-call]
    primary: redis.Redis = sentinel.master_for(  # type: ignore[no-untyped-call]
        name,
        connection_pool_class=_PrimaryPool,
        connection_class=_PrimaryConnection,
        db=int(database or 0),
        max_connections=settings.max_connections,
        timeout=settings.timeout_s,
        queue_class=_queue,
        **_credentials(parts),
    )
    return primary


class _Cluster(RedisCluster):
    """A Cluster's client that can be opened while one of the primaries is away.

    redis-py's class asks the first primary, and no other, for the table of commands that it needs.
    """

    def command(self, **_: Any) -> Any:
        """Returns the table of commands from whichever primary answers, asked in random order."""
        primaries: list[ClusterNode] = self.get_primaries()  # type: ignore[no-untyped-call]
        random.shuffle(primaries)
        trouble: Exception = RedisClusterException("the Cluster has no primary")
        for node in primaries:
            try:
                return self.execute_command("COMMAND", target_nodes=node)  # type: ignore[no-untyped-call]
            except (RedisConnectionError, RedisTimeoutError) as error:
                trouble = error
        raise trouble


def _cluster(parts: SplitResult, settings: StoreSettings) -> RedisCluster:
    """Returns a client for `redis+cluster://[user:password@]host:port,…`; some of the nodes are enough."""
    options = {**_options(settings), **_credentials(parts), "max_connections": settings.max_connections}
    nodes = [ClusterNode(host, port) for host, port in _nodes(parts, 6379)]  # type: ignore[no-untyped-call]
    # Without full coverage, only the jobs of a slot that has no node are refused.
    return _Cluster(startup_nodes=nodes, require_full_coverage=False, **options)


def _credentials(parts: SplitResult) -> dict[str, Any]:
    given = {"username": parts.username, "password": parts.password}
    return {name: unquote(value) for name, value in given.items() if value}


def _nodes(parts: SplitResult, default_port: int) -> list[tuple[str, int]]:
    nodes = [urlsplit(f"//{node}") for node in parts.netloc.rpartition("@")[2].split(",")]
    if not all(node.hostname for node in nodes):
        raise InvalidValue("the store's URL names no host where one should be")
    return [(str(node.hostname), node.port or default_port) for node in nodes]
