"""The servers of a store, asked one by one: the only server, the primary behind Sentinel, or all primaries."""

import ssl
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import redis
from redis.exceptions import NoPermissionError, ResponseError

from batchstatus.settings import StoreSettings
from batchstatus.transport.redis_py import take_connection
from batchstatus.transport.trouble import STORE_ERRORS
from batchstatus.transport.urls import RedisClient, opener


class Server:
    """One server. Raises StoreRefused if it refuses, StoreUnavailable if it does not answer."""

    def __init__(self, name: str, client: Any) -> None:
        self.name = name
        self._client = client

    def ask(self, *words: Any) -> Any:
        """Send one command and return the answer."""
        with STORE_ERRORS:
            return self._client.execute_command(*words)

    def info(self, section: str) -> dict[str, Any]:
        """Returns a section of `INFO`."""
        found: dict[str, Any] = self.ask("INFO", section)
        return found

    def denied(self, commands: Sequence[Sequence[Any]]) -> list[str | None]:
        """Returns for each command why the server's access rules deny it, None where they allow it.

        Nothing is run: access rules are checked when a command is queued in a transaction, and this one is never
        executed. So no further right is needed, as for `ACL DRYRUN`.
        """
        with self._connection() as connection:
            try:
                connection.send_command("MULTI")
                connection.read_response()  # raises if denied: what follows would be run
                connection.send_packed_command(connection.pack_commands(commands))
                return [_said(connection) for _ in commands]
            finally:
                connection.disconnect()  # which drops the transaction

    def denies(self, command: str) -> bool:
        """Returns True if the access rules deny a command that is harmless alone: MULTI, EXEC."""
        with self._connection() as connection:
            try:
                connection.send_command(command)
                return _said(connection) is not None
            finally:
                connection.disconnect()

    def encryption(self) -> tuple[str, dict[str, Any]] | None:
        """Returns the version of TLS and the server's certificate (empty if unchecked); None in plain text."""
        with self._connection() as connection:
            connection.connect()
            encrypted = connection._sock
            if not isinstance(encrypted, ssl.SSLSocket):
                return None
            return encrypted.version() or "TLS", encrypted.getpeercert() or {}

    @contextmanager
    def _connection(self) -> Iterator[Any]:
        with STORE_ERRORS:
            connection = take_connection(self._client.connection_pool)
            try:
                yield connection
            finally:
                self._client.connection_pool.release(connection)


class Patient(NamedTuple):
    """A store that is examined: its servers, and its Sentinels with the primary's name, if it has any."""

    settings: StoreSettings
    servers: Sequence[Server]
    sentinels: Sequence[Server]
    primary_name: str
    is_cluster: bool


@contextmanager
def opened(url: str, settings: StoreSettings) -> Iterator[Patient]:
    """Open the servers of a store. InvalidValue if its URL is wrong, StoreUnavailable if a Cluster is away."""
    open_client = opener(url, settings)
    with STORE_ERRORS:
        client = open_client()
    try:
        with STORE_ERRORS:
            patient = _patient(client, settings)
        yield patient
    finally:
        client.close()


def _patient(client: RedisClient, settings: StoreSettings) -> Patient:
    if isinstance(client, redis.RedisCluster):
        nodes = client.get_primaries()  # type: ignore[no-untyped-call]
        servers = [Server(node.name, client.get_redis_connection(node)) for node in nodes]
        return Patient(settings, servers, (), "", True)
    pool: Any = client.connection_pool
    manager = getattr(pool, "sentinel_manager", None)
    sentinels = [Server(_address(each), each) for each in manager.sentinels] if manager else []
    return Patient(settings, [Server("", client)], sentinels, getattr(pool, "service_name", ""), False)


def _address(client: Any) -> str:
    options = client.connection_pool.connection_kwargs
    return f"{options['host']}:{options['port']}"


def _said(connection: Any) -> str | None:
    """Returns why a command is denied; None if it is queued, or refused for another reason."""
    try:
        connection.read_response()
    except ResponseError as error:
        # The denial of EXEC comes as that of a transaction.
        denied = isinstance(error, NoPermissionError) or "no permissions" in str(error)
        return str(error) if denied else None
    return None
