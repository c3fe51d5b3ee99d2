"""How a store is reached and held together: TLS, Sentinels, a Cluster's slots."""

import ssl
import time
from collections.abc import Iterable
from typing import Any

from batchstatus.doctor.findings import Finding, ok, problem, warning
from batchstatus.doctor.servers import Patient, Server
from batchstatus.model.errors import StoreUnavailable
from batchstatus.settings import StoreSettings

SOON_DAYS = 21
SLOTS = 16_384


def examine_encryption(server: Server, _: StoreSettings) -> Finding:
    """Find a certificate that is about to expire."""
    found = server.encryption()
    if found is None:
        return ok("TLS", "the connection is not encrypted")
    version, certificate = found
    if "notAfter" not in certificate:
        return warning("TLS", f"{version}; the server's certificate is not checked", "give a CA file instead")
    left_days = (ssl.cert_time_to_seconds(certificate["notAfter"]) - time.time()) / 86_400
    said = f"{version}; the server's certificate expires in {left_days:.0f} days"
    return ok("TLS", said) if left_days > SOON_DAYS else warning("TLS", said, "renew it")


def examine_topology(patient: Patient) -> Iterable[Finding]:
    """Find Sentinels that are away or too few, and slots of a Cluster without a server or a replica."""
    if patient.is_cluster:
        return _of_cluster(patient)
    if patient.sentinels:
        return _of_sentinels(patient)
    return [ok("topology", "one server, by its own address: there is no failover")]


def _of_sentinels(patient: Patient) -> Iterable[Finding]:
    trouble: StoreUnavailable | None = None
    for sentinel in patient.sentinels:
        try:
            sentinel.ask("SENTINEL", "GET-MASTER-ADDR-BY-NAME", patient.primary_name)
        except StoreUnavailable as error:
            trouble = error
            yield warning("topology", f"Sentinel {sentinel.name}: {error}", "start it, or mend the URL")
            continue
        try:
            sentinel.ask("SENTINEL", "CKQUORUM", patient.primary_name)
        except StoreUnavailable as error:
            trouble = error
            yield problem(
                "topology", f"Sentinel {sentinel.name}: {error}", "a failover needs the quorum: start Sentinels"
            )
    if len(patient.sentinels) < 3:
        few = f"the URL names {len(patient.sentinels)} of the Sentinels"
        yield warning("topology", few, "name three, so that one may be away")
    elif trouble is None:
        yield ok("topology", f"{len(patient.sentinels)} Sentinels agree on the primary of {patient.primary_name}")


def _of_cluster(patient: Patient) -> Iterable[Finding]:
    shards = _first_answer(patient.servers, "CLUSTER", "SLOTS")
    served = sum(last - first + 1 for first, last, *_ in shards)
    if served < SLOTS:
        yield problem("topology", f"{SLOTS - served} slots have no server", "bring their server back")
    alone = sorted({_name(primary) for _, _, primary, *replicas in shards if not replicas})
    if alone:
        yield warning("topology", f"{', '.join(alone)} has no replica", "give each primary a replica")
    if served == SLOTS and not alone:
        yield ok("topology", f"a Cluster of {len(patient.servers)} primaries, each with a replica")


def _first_answer(servers: Iterable[Server], *words: str) -> Any:
    trouble = StoreUnavailable("the Cluster has no primary")
    for server in servers:
        try:
            return server.ask(*words)
        except StoreUnavailable as error:
            trouble = error
    raise trouble


def _name(node: Any) -> str:
    host, port = node[0], node[1]
    return f"{host.decode() if isinstance(host, bytes) else host}:{port}"
