"""Servers that speak TLS, and the certificates that they and their callers show."""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from typing import NamedTuple

import pytest

from batchstatus.embedded import EmbeddedServer, encrypted
from batchstatus.embedded.encrypted import Certificates, make_certificates
from batchstatus.embedded.server import HOST
from batchstatus.model.errors import StoreUnavailable
from tests.support.ports import free_port

__all__ = ["Certificates", "TlsServer", "make_certificates", "need_tls", "tls_server"]


@cache
def tls_binary(certificates: Certificates) -> str | None:
    """Returns a server's program that speaks TLS, None if there is none; in CI that is an error."""
    with suppress(StoreUnavailable):
        return encrypted.tls_binary(certificates)
    assert not os.environ.get("CI"), "CI needs a server with TLS: install Debian's redis-server"
    return None


def need_tls(certificates: Certificates) -> str:
    """Returns a server's program that speaks TLS; skips the test if there is none."""
    binary = tls_binary(certificates)
    if binary is None:
        pytest.skip("no server here speaks TLS; Debian's redis-server does")
    return binary


class TlsServer(NamedTuple):
    """A server that speaks TLS at `tls_port`, and plain text at the port of `server`, for looking on."""

    server: EmbeddedServer
    tls_port: int

    @property
    def url(self) -> str:
        """The URL for `connect`."""
        return f"rediss://{HOST}:{self.tls_port}/0"


@contextmanager
def tls_server(certificates: Certificates, *options: str) -> Iterator[TlsServer]:
    """Yield a server that shows this certificate."""
    port = free_port()
    listening = ("--tls-port", str(port), *certificates.server_options)
    with EmbeddedServer(*listening, *options, binary=need_tls(certificates)) as server:
        yield TlsServer(server, port)
