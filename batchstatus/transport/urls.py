"""Turns a store's URL into a redis-py client: a single server, one behind Sentinel, or a Cluster.

redis-py's defaults do not suit a status endpoint: ten retries of five seconds each make one command to a
hung server take a minute, and repeat writes. Here every wait is `timeout_s`, and nothing is repeated.
"""

import queue
import random
from collections.abc import Callable
from functools import partial
from typing import Any, TypeAlias
from urllib.parse import urlunsplit

import redis
from redis.backoff import NoBackoff
from redis.cluster import ClusterNode, RedisCluster
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisClusterException
from redis.exceptions import TimeoutError as RedisTimeoutError
from redis.retry import Retry
from redis.sentinel import Sentinel, SentinelConnectionPool

from batchstatus.model.errors import InvalidValue
from batchstatus.settings import StoreSettings
from batchstatus.transport.address import CLUSTER, SENTINEL, Address, address_of
from batchstatus.transport.opened import Encrypted, Plain, ToPrimary, ToPrimaryEncrypted, Unix
from batchstatus.transport.redis_py import ANONYMOUS, BlockingPool, address_of_primary, check_cluster
from batchstatus.transport.tls import Tls

RedisClient: TypeAlias = redis.Redis | RedisCluster


def open_client(url: str, settings: StoreSettings) -> RedisClient:
    """Returns a client. A Cluster's connects at once, others when used. InvalidValue as `opener`."""
    return opener(url, settings)()


def opener(url: str, settings: StoreSettings) -> Callable[[], RedisClient]:
    """Returns a function that opens a client for this URL. Nothing is sent.

    Raises InvalidValue, naming what is wrong, unless the URL is one of ours.
    """
    address = address_of(url, settings)
    if address.parts.scheme in CLUSTER:
        check_cluster()
        return partial(_cluster, address, settings)
    opening = partial(_sentinel if address.parts.scheme in SENTINEL else _single, address, settings)
    try:
        # Options that redis-py does not know show only when a connection is made; making one does not open it.
        opening().connection_pool.make_connection()
    except InvalidValue:
        raise
    except (ValueError, TypeError) as error:
        raise InvalidValue(f"the store's URL is wrong: {error}") from None
    return opening


def _options(settings: StoreSettings) -> dict[str, Any]:
    return {
        "socket_timeout": settings.timeout_s,
        "socket_connect_timeout": settings.timeout_s,
        "retry": Retry(NoBackoff(), 0),
        "protocol": 2,  # saves a handshake command, and there are no push messages to watch for
        **ANONYMOUS,
        "decode_responses": False,
    }


def _tls(tls: Tls | None, plain: type, encrypted: type) -> dict[str, Any]:
    """Returns the options of a pool for its connections' class."""
    return {"connection_class": plain} if tls is None else {"connection_class": encrypted, "tls": tls}


def _single(address: Address, settings: StoreSettings) -> "redis.Redis":
    parts, tls = address
    is_unix = parts.scheme == "unix"
    # urlunsplit knows no unix://, and drops the slashes.
    target = (
        f"unix://{parts.netloc}{parts.path}?{parts.query}"
        if is_unix
        else urlunsplit(parts._replace(scheme="redis"))
    )
    pool = redis.BlockingConnectionPool.from_url(
        target,
        **_tls(tls, Unix if is_unix else Plain, Encrypted),
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
        answered = self.sentinels[0]  # redis-py puts the Sentinel that answered there
        return address_of_primary(answered, service_name)


class _PrimaryPool(SentinelConnectionPool, BlockingPool):
    """A pool of such connections that waits for a free connection, as the pool of a single server does."""


def _sentinel(address: Address, settings: StoreSettings) -> "redis.Redis":
    """Returns a client for `redis+sentinel://[user:password@]host:port,…/name/database` (the primary's login)."""
    parts, tls = address
    name, _, database = parts.path.strip("/").partition("/")
    if not name:
        raise InvalidValue(
            "a Sentinel URL ends in the name of the primary: redis+sentinel://h1:26379,h2:26379/mymaster/0"
        )
    options = _options(settings)
    given = {"username": settings.sentinel_username, "password": settings.sentinel_password}
    login: dict[str, Any] = {name: value for name, value in given.items() if value}
    sentinel = _Sentinels([], **options)  # type: ignore[no-untyped-call]
    sentinel.sentinels = [
        redis.Redis.from_pool(
            redis.ConnectionPool(host=host, port=port, **_tls(tls, Plain, Encrypted), **options, **login)
        )
        for host, port in address.nodes(26379)
    ]
    primary: redis.Redis = sentinel.master_for(  # type: ignore[no-untyped-call]
        name,
        connection_pool_class=_PrimaryPool,
        **_tls(tls, ToPrimary, ToPrimaryEncrypted),
        db=int(database or 0),
        max_connections=settings.max_connections,
        timeout=settings.timeout_s,
        queue_class=_queue,
        **address.login,
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


def _cluster(address: Address, settings: StoreSettings) -> RedisCluster:
    """Returns a client for `redis+cluster://[user:password@]host:port,…`; some of the nodes are enough."""
    (host, port), *others = address.nodes(6379)
    return _Cluster(
        # With a URL, and only so, redis-py takes a class of pools.
        url=f"redis://[{host}]:{port}" if ":" in host else f"redis://{host}:{port}",
        startup_nodes=[ClusterNode(*other) for other in others],  # type: ignore[no-untyped-call]
        connection_pool_class=partial(redis.ConnectionPool, **_tls(address.tls, Plain, Encrypted)),
        require_full_coverage=False,  # only the jobs of a slot that has no node are refused
        max_connections=settings.max_connections,
        **_options(settings),
        **address.login,
    )
