"""Servers that speak TLS, and the certificates that they and their callers show."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest

from batchstatus.embedded import EmbeddedServer
from batchstatus.embedded.server import HOST, server_binary
from batchstatus.errors import StoreUnavailable
from tests.support.ports import free_port


class Certificates(NamedTuple):
    """The files of an authority, and of a certificate for 127.0.0.1 that the authority has signed."""

    ca: str
    certificate: str
    key: str

    @property
    def server_options(self) -> tuple[str, ...]:
        """The options of a server that shows this certificate, and asks callers for none."""
        files = ("--tls-cert-file", self.certificate, "--tls-key-file", self.key, "--tls-ca-cert-file", self.ca)
        return (*files, "--tls-auth-clients", "no")


def make_certificates(folder: Path) -> Certificates:
    """Make an authority and a certificate, valid for a day, with the `openssl` command."""
    ca, ca_key, certificate, key = (folder / name for name in ("ca.crt", "ca.key", "server.crt", "server.key"))
    usage = ("-addext", "keyUsage=critical,keyCertSign,cRLSign")
    _openssl(*_request("an authority", ca_key), "-x509", "-out", ca, "-days", "1", *usage)
    request = folder / "server.csr"
    _openssl(*_request("a server", key), "-out", request)
    names = folder / "names"
    names.write_text(f"subjectAltName=IP:{HOST}\nextendedKeyUsage=serverAuth,clientAuth\n")
    signing = ("-CA", ca, "-CAkey", ca_key, "-CAcreateserial", "-days", "1", "-extfile", names)
    _openssl("x509", "-req", "-in", request, "-out", certificate, *signing)
    return Certificates(str(ca), str(certificate), str(key))


@cache
def tls_binary(certificates: Certificates) -> str | None:
    """Returns a server's program that speaks TLS, None if there is none; in CI that is an error."""
    programs = [server_binary(), shutil.which("redis-server"), shutil.which("valkey-server")]
    for binary in filter(None, programs):
        with suppress(StoreUnavailable):
            listening = ("--tls-port", str(free_port()), *certificates.server_options)
            with EmbeddedServer(*listening, binary=binary):
                return binary
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


def _request(name: str, key: Path) -> tuple[str | Path, ...]:
    curve = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1")
    return ("req", *curve, "-nodes", "-subj", f"/CN={name}", "-keyout", key)


def _openssl(*words: str | Path) -> None:
    subprocess.run(["openssl", *map(str, words)], check=True, capture_output=True)
