"""`batchstatus.connect`: a store by its URL."""

from collections.abc import Iterable
from os import PathLike

from batchstatus.model.kinds import JobKind
from batchstatus.settings import StoreSettings, declared_kinds
from batchstatus.store import JobStore


def connect(
    url: str,
    *,
    lease_s: float = StoreSettings.lease_s,
    grace_s: float = StoreSettings.grace_s,
    retention_s: float = StoreSettings.retention_s,
    queued_at_most_s: float = StoreSettings.queued_at_most_s,
    prefix: str = StoreSettings.prefix,
    timeout_s: float = StoreSettings.timeout_s,
    max_connections: int = StoreSettings.max_connections,
    max_rows: int = StoreSettings.max_rows,
    min_replicas: int = StoreSettings.min_replicas,
    kinds: Iterable[JobKind | str] | str | PathLike[str] | None = None,
    tls_ca_file: str | None = None,
    tls_cert_file: str | None = None,
    tls_key_file: str | None = None,
    sentinel_username: str | None = None,
    sentinel_password: str | None = None,
) -> JobStore:
    """Returns a store at `redis://`, `rediss://`, `valkey://`, `valkeys://`, `unix://`, a Sentinel or Cluster URL.

    `redis+sentinel://h1:26379,h2:26379/mymaster/0`, `redis+cluster://h1:6379,h2:6379`; with TLS `rediss+…`. It
    sends nothing before the first call, may be shared by threads, survives `fork`. `kinds`: JobKinds and names, or
    a TOML file; None: that of BATCHSTATUS_KINDS, if any. StoreSettings explains the options. Raises InvalidValue.

        store = batchstatus.connect("redis://127.0.0.1:6379/0", lease_s=30.0)
    """
    settings = StoreSettings(
        lease_s=lease_s,
        grace_s=grace_s,
        retention_s=retention_s,
        queued_at_most_s=queued_at_most_s,
        prefix=prefix,
        timeout_s=timeout_s,
        max_connections=max_connections,
        max_rows=max_rows,
        min_replicas=min_replicas,
        kinds=declared_kinds(kinds),
        tls_ca_file=tls_ca_file,
        tls_cert_file=tls_cert_file,
        tls_key_file=tls_key_file,
        sentinel_username=sentinel_username,
        sentinel_password=sentinel_password,
    )
    return JobStore.open(url, settings)
