"""An embedded server with TLS where there is none, or no openssl: one clear line."""

import shutil

import pytest

from batchstatus import StoreUnavailable
from batchstatus.embedded import encrypted
from batchstatus.embedded.encrypted import Certificates, make_certificates, tls_binary


def test_without_a_server_that_speaks_tls_it_says_what_to_install(monkeypatch):
    monkeypatch.setattr(encrypted, "server_binary", lambda: shutil.which("true"))
    monkeypatch.setattr(shutil, "which", lambda _: None)
    with pytest.raises(StoreUnavailable, match=r"^no server here speaks TLS; .* apt-get install redis-server$"):
        tls_binary(Certificates("ca", "certificate", "key"))


def test_without_openssl_it_says_so(monkeypatch, tmp_path):
    monkeypatch.setattr(shutil, "which", lambda _: None)
    with pytest.raises(StoreUnavailable, match="openssl, which is not installed"):
        make_certificates(tmp_path)


def test_what_openssl_complains_of_is_one_line(tmp_path):
    if not shutil.which("openssl"):
        pytest.skip("there is no openssl")
    with pytest.raises(StoreUnavailable, match=r"openssl makes no certificate: .") as raised:
        make_certificates(tmp_path / "nowhere")
    assert "\n" not in str(raised.value)
