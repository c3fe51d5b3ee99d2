"""TLS to the store: one context for all connections of a client, and a few handshakes at a time."""

import os
import queue
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from socket import socket
from typing import Any, cast

from batchstatus.model.errors import InvalidValue

HANDSHAKES = 4
"""How many connections a client opens at the same time: more would only let each other time out."""

_NAMES = {"tls_ca_file": "ssl_ca_certs", "tls_cert_file": "ssl_certfile", "tls_key_file": "ssl_keyfile"}
"""Our settings, and the options of a URL, in redis-py's words, that mean the same."""

_FILES = {
    "ssl_ca_certs": "CA file",
    "ssl_ca_path": "CA folder",
    "ssl_certfile": "certificate file",
    "ssl_keyfile": "key file",
}
_FLAGS = ("ssl_include_verify_flags", "ssl_exclude_verify_flags")
OPTIONS = frozenset(
    {*_FILES, *_FLAGS, "ssl_ca_data", "ssl_password", "ssl_cert_reqs", "ssl_check_hostname", "ssl_ciphers"}
)
"""The options after the `?` of a URL that are for TLS."""

_VERIFY = {"none": ssl.CERT_NONE, "optional": ssl.CERT_OPTIONAL, "required": ssl.CERT_REQUIRED}
_FALSE = {"0", "f", "false", "n", "no"}


class Tls:
    """How to encrypt the connections of one client, those to its Sentinels too.

    Making a context reads the system's authorities, 50 ms of CPU, so there is one for all connections.
    `wait_s` limits how long a connection waits for its turn to be opened.
    """

    def __init__(self, options: Mapping[str, str], wait_s: float) -> None:
        self._context = _context(options)
        self._wait_s = wait_s
        self._turns = _turns()

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Wait for a turn to open a connection, of which there are HANDSHAKES; TimeoutError after `wait_s`."""
        if self._turns[0] != os.getpid():
            self._turns = _turns()  # those of the parent, some of which its threads held at the fork
        _, turns = self._turns
        try:
            turns.get(timeout=self._wait_s)
        except queue.Empty:
            raise TimeoutError("too many connections are being opened") from None
        try:
            yield
        finally:
            turns.put_nowait(None)

    def wrap(self, plain: socket, host: str) -> ssl.SSLSocket:
        """Returns the socket after the handshake with `host`, whose certificate is checked."""
        return self._context.wrap_socket(plain, server_hostname=host)


def options_of(query: Mapping[str, str], settings: Any) -> dict[str, str]:
    """Returns the TLS options of a URL's query and of the settings. InvalidValue for one that is given twice."""
    found = {name: value for name, value in query.items() if name in OPTIONS}
    for setting, option in _NAMES.items():
        if value := getattr(settings, setting):
            if option in found:
                raise InvalidValue(f"{setting} and {option} of the store's URL say the same; give one of them")
            found[option] = value
    return found


def _turns() -> tuple[int, "queue.LifoQueue[None]"]:
    """Returns this process's id, and its turns in a queue, gevent's under gevent."""
    turns: queue.LifoQueue[None] = queue.LifoQueue(HANDSHAKES)
    for _ in range(HANDSHAKES):
        turns.put_nowait(None)
    return os.getpid(), turns


def _context(options: Mapping[str, str]) -> ssl.SSLContext:
    """Returns the context for these options, which are redis-py's. InvalidValue names the one that is wrong."""
    for name, words in _FILES.items():
        if name in options:
            _check_readable(words, options[name])
    context = ssl.create_default_context()
    verify = options.get("ssl_cert_reqs", "required").lower()
    if verify not in _VERIFY:
        raise InvalidValue(f"ssl_cert_reqs {verify!r} is not one of {', '.join(_VERIFY)}")
    check_name = options.get("ssl_check_hostname", "true").lower() not in _FALSE
    context.check_hostname = check_name and verify != "none"
    context.verify_mode = _VERIFY[verify]
    for name in _FLAGS:
        for flag in _flags(name, options.get(name, "")):
            context.verify_flags = (
                context.verify_flags | flag if name == _FLAGS[0] else context.verify_flags & ~flag
            )
    _load(context, options)
    return context


def _load(context: ssl.SSLContext, options: Mapping[str, str]) -> None:
    """Load the authorities, the client's certificate and the ciphers into a context."""
    authorities = [options.get(name) for name in ("ssl_ca_certs", "ssl_ca_path", "ssl_ca_data")]
    certificate, key = options.get("ssl_certfile"), options.get("ssl_keyfile")
    what = ""
    try:
        if any(authorities):
            what = f"CA file {authorities[0]!r} holds no certificate"
            context.load_verify_locations(*authorities)
        if certificate or key:
            what = f"certificate file {certificate!r} and key file {key!r} hold no certificate and its key"
            context.load_cert_chain(cast("str", certificate), key, options.get("ssl_password", ""))
        if "ssl_ciphers" in options:
            what = f"ssl_ciphers {options['ssl_ciphers']!r} names no cipher"
            context.set_ciphers(options["ssl_ciphers"])
    except (ssl.SSLError, OSError, TypeError, ValueError) as error:
        raise InvalidValue(f"{what}: {error}") from None


def _check_readable(words: str, path: str) -> None:
    try:
        if not os.path.isdir(path):
            with open(path, "rb"):
                pass
    except (OSError, ValueError) as error:
        raise InvalidValue(f"{words} {path!r} cannot be read: {getattr(error, 'strerror', error)}") from None


def _flags(name: str, listed: str) -> Iterator[ssl.VerifyFlags]:
    for word in filter(None, (each.strip() for each in listed.strip("[]").split(","))):
        if word not in ssl.VerifyFlags.__members__:
            raise InvalidValue(f"{name} {word!r} is not one of {', '.join(ssl.VerifyFlags.__members__)}")
        yield ssl.VerifyFlags[word]
