"""Connections as redis-py has them, and what ours do more before the first command."""

from typing import Any

from redis.connection import Connection, UnixDomainSocketConnection
from redis.exceptions import RedisError
from redis.sentinel import SentinelManagedConnection

from batchstatus.transport.tls import Tls


class _Asking:
    """Says why a server refuses a connection.

    A server with too many clients, or in protected mode, says so unasked and hangs up. redis-py's pools throw away
    what comes unasked, and say `Connection not ready` instead.
    """

    _is_new = False

    def connect(self) -> None:
        """Connect, log in and choose the database, unless all that is done. Called by redis-py."""
        if self._sock is None:  # type: ignore[attr-defined]
            super().connect()  # type: ignore[misc]
            self._is_new = True

    def can_read(self, timeout: float = 0) -> bool:
        """Returns True if something came unasked; raises a server's reason to refuse us. For redis-py."""
        readable: bool = super().can_read(timeout)  # type: ignore[misc]
        is_new, self._is_new = self._is_new, False
        if readable and is_new:
            self._read_or_hang_up()
        return readable

    def _read_or_hang_up(self) -> None:
        try:
            self.read_response()  # type: ignore[attr-defined]
        except RedisError:
            self.disconnect()  # type: ignore[attr-defined]
            raise


class Plain(_Asking, Connection):
    """A connection over TCP."""


class Unix(_Asking, UnixDomainSocketConnection):
    """A connection over a unix socket."""


class _Encrypting:
    """Encrypts a connection, and makes a round trip before its first command.

    A TLS 1.3 server sends session tickets once the handshake is done. Without a round trip they are unread when
    redis-py's pool looks whether something came unasked, which it takes for a broken connection.
    """

    def __init__(self, *, tls: Tls, **options: Any) -> None:
        self._tls = tls
        super().__init__(**options)

    def _connect(self) -> Any:
        with self._tls.turn():
            plain = super()._connect()  # type: ignore[misc]
            try:
                return self._tls.wrap(plain, self.host)  # type: ignore[attr-defined]
            except BaseException:
                plain.close()
                raise

    def connect(self) -> None:
        """Connect, and make a round trip, unless all that is done. Called by redis-py."""
        if self._sock is None:  # type: ignore[attr-defined]
            super().connect()  # type: ignore[misc]
            self.send_command("PING", check_health=False)  # type: ignore[attr-defined]
            self._read_or_hang_up()  # type: ignore[attr-defined]


class Encrypted(_Encrypting, Plain):
    """A connection over TLS."""


class ToPrimary(_Asking, SentinelManagedConnection):
    """A connection to the primary that is closed when a read is broken off, for whatever reason.

    redis-py's class leaves the connection open, so that the next command would read the answer to this one.
    """

    def read_response(self, *args: Any, **options: Any) -> Any:
        """Returns an answer. Called by redis-py."""
        return super().read_response(*args, **(options | {"disconnect_on_error": True}))


class ToPrimaryEncrypted(_Encrypting, ToPrimary):
    """Such a connection over TLS."""
