"""TLS to a real server: every connection is ready, all share a context, and clients may show a certificate."""

import http.client
import ssl
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from threading import Barrier

import pytest

import batchstatus
from batchstatus import JobStore, StoreUnavailable
from batchstatus.embedded.server import HOST
from batchstatus.settings import StoreSettings
from batchstatus.transport.urls import open_client
from tests.support.callers import poll
from tests.support.nodes import Sentinel, ask
from tests.support.ports import free_port
from tests.support.sdk import ORG, UNHURRIED
from tests.support.service import LiveService
from tests.support.tls import Certificates, TlsServer, make_certificates, need_tls, tls_server
from tests.support.topologies import needs_cluster
from tests.support.waiting import wait_until


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """An authority, and a certificate for servers and callers."""
    return make_certificates(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module")
def server(certificates: Certificates) -> Iterator[TlsServer]:
    """A server that asks callers for no certificate and no password."""
    with tls_server(certificates) as server:
        yield server


def is_usable(store: JobStore) -> bool:
    """Returns True if a job can be made, run and read."""
    with closing(store):
        job = store.create(ORG, "transaction_batch")
        with store.run(ORG, job.job_id) as run:
            run.succeeded()
        return store.outcome(ORG, job.job_id).job.succeeded == 1


@pytest.mark.slow
def test_every_one_of_a_thousand_connections_without_a_password_is_ready(
    server: TlsServer, certificates: Certificates
) -> None:
    settings = StoreSettings(tls_ca_file=certificates.ca)
    with closing(open_client(server.url, settings)) as client:
        for _ in range(1_000):
            assert client.ping()
            client.connection_pool.disconnect()


def test_the_first_fifty_connections_are_ready(server: TlsServer, certificates: Certificates) -> None:
    with closing(open_client(server.url, StoreSettings(tls_ca_file=certificates.ca))) as client:
        for _ in range(50):
            assert client.ping()
            client.connection_pool.disconnect()


@pytest.mark.slow
def test_no_poll_of_a_cold_burst_of_fifty_callers_is_503(server: TlsServer, certificates: Certificates) -> None:
    polls, callers = 100, 50
    with LiveService(server.url, BATCHSTATUS_TLS_CA_FILE=certificates.ca, wait_for="/livez") as service:
        with closing(batchstatus.connect(server.url, tls_ca_file=certificates.ca, **UNHURRIED)) as store:
            path = f"/batch-import/jobs/{store.create(ORG, 'transaction_batch').job_id}"
            key, _ = store.api_keys.create(ORG, ["transactions:create"])
        together = Barrier(callers)

        def statuses() -> list[int]:
            with closing(http.client.HTTPConnection("127.0.0.1", service.port, timeout=30)) as connection:
                connection.connect()
                together.wait()
                return [poll(connection, path, key).status for _ in range(polls)]

        with ThreadPoolExecutor(callers) as threads:
            burst = [threads.submit(statuses) for _ in range(callers)]
        counted = Counter(status for each in burst for status in each.result())
    assert counted == {200: polls * callers}


@pytest.mark.parametrize("scheme", ["rediss", "valkeys"])
def test_a_ca_file_is_an_option_of_connect_or_of_the_url(
    server: TlsServer, certificates: Certificates, scheme: str
) -> None:
    url = server.url.replace("rediss", scheme)
    assert is_usable(batchstatus.connect(url, tls_ca_file=certificates.ca, **UNHURRIED))
    assert is_usable(batchstatus.connect(f"{url}?ssl_ca_certs={certificates.ca}", **UNHURRIED))
    assert is_usable(batchstatus.connect(f"{url}?ssl_cert_reqs=none", **UNHURRIED))


def test_a_server_of_an_unknown_authority_is_refused(server: TlsServer) -> None:
    with (
        closing(batchstatus.connect(server.url, **UNHURRIED)) as store,
        pytest.raises(StoreUnavailable, match="CERTIFICATE"),
    ):
        store.ping()


def test_a_certificate_for_another_name_is_refused(server: TlsServer, certificates: Certificates) -> None:
    url = server.url.replace(HOST, "localhost")
    store = batchstatus.connect(url, tls_ca_file=certificates.ca, **UNHURRIED)
    with closing(store), pytest.raises(StoreUnavailable, match="CERTIFICATE"):
        store.ping()
    assert is_usable(
        batchstatus.connect(f"{url}?ssl_check_hostname=false", tls_ca_file=certificates.ca, **UNHURRIED)
    )


def test_a_server_may_ask_for_a_certificate_of_the_client(certificates: Certificates) -> None:
    ours = {"tls_cert_file": certificates.certificate, "tls_key_file": certificates.key}
    with tls_server(certificates, "--tls-auth-clients", "yes") as server:
        assert is_usable(batchstatus.connect(server.url, tls_ca_file=certificates.ca, **ours, **UNHURRIED))
        store = batchstatus.connect(server.url, tls_ca_file=certificates.ca, **UNHURRIED)
        with closing(store), pytest.raises(StoreUnavailable):
            store.ping()


def test_all_connections_of_a_store_share_one_context(
    server: TlsServer, certificates: Certificates, monkeypatch: pytest.MonkeyPatch
) -> None:
    make, made = ssl.create_default_context, []
    monkeypatch.setattr(ssl, "create_default_context", lambda: made.append(1) or make())
    with closing(batchstatus.connect(server.url, tls_ca_file=certificates.ca, **UNHURRIED)) as store:
        with ThreadPoolExecutor(20) as callers:
            for ping in [callers.submit(store.ping) for _ in range(200)]:
                ping.result()
        store.close()  # as after a failover: the next command opens a client anew
        store.ping()
    assert made == [1]


@pytest.mark.slow
def test_sentinels_and_their_primary_are_reached_over_tls_with_a_login_each(certificates: Certificates) -> None:
    files = (f"tls-cert-file {certificates.certificate}", f"tls-key-file {certificates.key}")
    login = ("sentinel auth-pass mymaster primarys", "requirepass sentinels")
    port, binary = free_port(), need_tls(certificates)
    lines = (f"tls-port {port}", *files, f"tls-ca-cert-file {certificates.ca}", "tls-replication yes", *login)
    with tls_server(certificates, "--requirepass", "primarys") as server:
        sentinel = Sentinel(server.tls_port, *lines, hasty=True, quorum=1, binary=binary, password="sentinels")
        try:
            url = f"rediss+sentinel://:primarys@{HOST}:{port}/mymaster/0"
            ours = {"tls_ca_file": certificates.ca, "tls_cert_file": certificates.certificate}
            ours["tls_key_file"] = certificates.key
            store = batchstatus.connect(url, sentinel_password="sentinels", **ours, **UNHURRIED)
            with closing(store):
                wait_until(lambda: _pings(store), 30, "the Sentinel knows its primary")
                assert is_usable(store)
            for wrong in ({"sentinel_password": "other"}, {}):
                with closing(batchstatus.connect(url, **wrong, **ours)) as store:
                    assert not _pings(store)
        finally:
            sentinel.stop()


@pytest.mark.slow
@needs_cluster
def test_a_cluster_is_reached_over_tls(certificates: Certificates) -> None:
    # By itself the port for the servers among themselves is 10,000 above the other, and may be somebody's by now.
    among_themselves = ("--cluster-port", str(free_port()), "--tls-cluster", "yes")
    with tls_server(certificates, "--cluster-enabled", "yes", *among_themselves) as server:
        port = server.server.port
        ask(port, lambda client: client.execute_command("CLUSTER", "ADDSLOTSRANGE", 0, 16_383))
        wait_until(lambda: "cluster_state:ok" in (ask(port, _cluster_info) or ""), 30, "the Cluster is well")
        url = f"rediss+cluster://{HOST}:{server.tls_port}"
        assert is_usable(batchstatus.connect(url, tls_ca_file=certificates.ca, **UNHURRIED))
        assert is_usable(batchstatus.connect(f"{url}?ssl_ca_certs={certificates.ca}", **UNHURRIED))


def _cluster_info(client: object) -> str:
    return str(client.execute_command("CLUSTER", "INFO"))  # type: ignore[attr-defined]


def _pings(store: JobStore) -> bool:
    try:
        store.ping()
    except StoreUnavailable:
        return False
    return True
