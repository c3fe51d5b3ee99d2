"""Fixtures: a resolver, the addresses that are connected to, and certificates."""

import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from batchstatus.embedded.encrypted import Certificates, make_certificates
from tests.support.receivers import HOST
from tests.unit.webhooks.posting import NAME, PUBLIC, Names


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Iterator[Names]:
    """A resolver in place of the system's, which knows nothing."""
    found = Names()
    monkeypatch.setattr(socket, "getaddrinfo", found.getaddrinfo)
    yield found
    found.released.set()


@pytest.fixture
def dialled(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The addresses that are connected to. Behind PUBLIC, there is this machine."""
    found: list[str] = []
    connect = socket.socket.connect

    def noted(self: socket.socket, address: Any) -> None:
        found.append(address[0])
        connect(self, (HOST, *address[1:]) if address[0] == PUBLIC else address)

    monkeypatch.setattr(socket.socket, "connect", noted)
    return found


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """An authority, and a certificate for NAME and for this machine's address."""
    if not shutil.which("openssl"):
        pytest.skip("certificates are made with openssl, which is not installed")
    return make_certificates(tmp_path_factory.mktemp("certificates"), f"DNS:{NAME},IP:{HOST}")


@pytest.fixture(scope="module")
def expired(certificates: Certificates) -> Certificates:
    """A certificate that ended yesterday, and is its own authority."""
    made, key = (str(Path(certificates.ca).with_name(name)) for name in ("expired.crt", "expired.key"))
    new = ("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")
    named = ("-subj", "/CN=expired", "-addext", f"subjectAltName=IP:{HOST}")
    for words in (
        (*new, *named, "-keyout", key, "-out", made),
        ("x509", "-in", made, "-signkey", key, "-days", "-1", "-out", made),
    ):
        subprocess.run(["openssl", *words], check=True, capture_output=True)
    return Certificates(made, made, key)
