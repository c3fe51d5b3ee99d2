"""The endpoints of an organization: URLs that are told of the ends of its jobs."""

import json
import logging
import secrets
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from batchstatus.model import values
from batchstatus.model.errors import InvalidValue, JobNotFound
from batchstatus.model.job import TERMINAL, Job, moment
from batchstatus.model.keys import ORG, checked_org
from batchstatus.protocol.script import Script
from batchstatus.transport.connection import Connection
from batchstatus.webhooks.secrets import Secrets, fingerprint

MOST = 20
"""How many endpoints an organization may have."""

OVERLAP_S = 86_400.0
"""How long the secret before the newest is used beside it, unless told otherwise."""

TYPES = tuple(f"job.{status}" for status in sorted(TERMINAL))
"""The types of notices: `job.completed` and so on."""

CLOCKS_APART_MS = 2_000
"""How far the clocks of several servers may be apart: rather tell of an end just before than miss one after."""

DISABLE = Script("disable", package="batchstatus.webhooks")

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Secret:
    """What is stored of a secret: its name, its fingerprint, and until when it is used (ms); None for good."""

    name: str
    fingerprint: str
    until_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Endpoint:
    """An endpoint. `id` is `<org>.<12 hex digits>`; times are UTC.

    `kinds` are those that it is told of, None for every kind; `types` likewise. `secrets` has the newest first.
    `disabled` says why the endpoint gets no notices any more, None if it gets them.
    """

    id: str
    org: str
    url: str
    kinds: frozenset[str] | None
    types: frozenset[str]
    created_at: datetime
    secrets: tuple[Secret, ...]
    disabled: str | None = None

    @property
    def short_id(self) -> str:
        """The id within the organization."""
        return self.id.rpartition(".")[2]

    def wants(self, job: Job) -> bool:
        """Returns True if the endpoint is to be told of the end of this job: not of one that came before it."""
        since = job.completed_at is not None and job.completed_at >= self.created_at
        of_kind = self.kinds is None or job.kind in self.kinds
        return not self.disabled and since and of_kind and type_of(job) in self.types


def type_of(job: Job) -> str:
    """Returns the type of the notice of a job's end."""
    return f"job.{job.status}"


class Endpoints:
    """The endpoints of all organizations."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._keys = connection.keys
        self._kinds = connection.settings.kinds

    def add(
        self,
        org: str,
        url: str,
        known: Secrets,
        *,
        kinds: Iterable[str] | None = None,
        types: Iterable[str] | None = None,
    ) -> tuple[str, Endpoint]:
        """Add an endpoint; returns its secret, which is not stored, and the endpoint.

        `url` is not judged here. `kinds` and `types` are those that it is told of; None for all.
        """
        if len(self.list(org)) >= MOST:
            raise InvalidValue(f"org {org} has {MOST} endpoints already, which is the most")
        since_ms = int(self._connection.clock_ms())
        if self._connection.has_many_servers():
            since_ms -= CLOCKS_APART_MS
        short = secrets.token_hex(6)
        secret, stored = _new_secret(known, checked_org(org), short, 1)
        endpoint = Endpoint(
            id=f"{org}.{short}",
            org=org,
            url=url,
            kinds=None if kinds is None else frozenset(values.members("kind", self._kinds.names, kinds)),
            types=frozenset(values.members("type", TYPES, types)),
            created_at=moment(since_ms),
            secrets=(stored,),
        )
        self._write(endpoint)
        return secret, endpoint

    def list(self, org: str) -> "list[Endpoint]":
        """Returns the organization's endpoints, oldest first. One command."""
        stored = self._connection.hash(self._keys.webhooks(org))
        found = []
        for name, record in stored.items():
            if name.endswith(b":disabled"):
                continue
            try:
                found.append(_endpoint(org, name.decode(), json.loads(record), stored.get(name + b":disabled")))
            except (ValueError, KeyError, TypeError) as error:
                _log.error("the endpoint %r of %s cannot be read: %r", name, org, error)
        return sorted(found, key=lambda each: (each.created_at, each.id))

    def get(self, endpoint_id: str) -> Endpoint:
        """Returns the endpoint with this id; InvalidValue if there is none."""
        org = endpoint_id.rpartition(".")[0]
        found = self.list(org) if ORG.fullmatch(org) else []
        for endpoint in found:
            if endpoint.id == endpoint_id:
                return endpoint
        raise InvalidValue(f"there is no endpoint {endpoint_id!r}")

    def remove(self, endpoint_id: str) -> None:
        """Remove an endpoint; what it has not been told yet, it is not told any more."""
        endpoint = self.get(endpoint_id)
        key, short = self._keys.webhooks(endpoint.org), endpoint.short_id
        self._connection.write("HDEL", key, short, f"{short}:disabled")

    def rotate(self, endpoint_id: str, known: Secrets, overlap_s: float = OVERLAP_S) -> tuple[str, Endpoint]:
        """Give an endpoint a new secret; returns the secret, which is not stored, and the endpoint.

        For `overlap_s` (seconds) notices bear the signature of the secret before it, too. A disabled endpoint is
        enabled again: its receiver has just been seen to.
        """
        endpoint = self.get(endpoint_id)
        version = int(endpoint.secrets[0].name.rpartition(":")[2]) + 1
        secret, newest = _new_secret(known, endpoint.org, endpoint.short_id, version)
        until_ms = int(self._connection.clock_ms()) + values.seconds_as_ms("overlap_s", overlap_s)
        before = Secret(endpoint.secrets[0].name, endpoint.secrets[0].fingerprint, until_ms)
        rotated = replace(endpoint, secrets=(newest, before), disabled=None)
        self._write(rotated)
        self._connection.write("HDEL", self._keys.webhooks(endpoint.org), f"{endpoint.short_id}:disabled")
        return secret, rotated

    def disable(self, endpoint: Endpoint, reason: str) -> None:
        """Note that an endpoint wants no notices any more; nothing if it has been removed."""
        with suppress(JobNotFound):
            short = endpoint.short_id
            DISABLE(self._connection, (self._keys.webhooks(endpoint.org),), short, f"{short}:disabled", reason)

    def _write(self, endpoint: Endpoint) -> None:
        record: dict[str, Any] = {
            "url": endpoint.url,
            "kinds": None if endpoint.kinds is None else sorted(endpoint.kinds),
            "types": sorted(endpoint.types),
            "createdAt": round(endpoint.created_at.timestamp() * 1000),
            "secrets": [[each.name, each.fingerprint, each.until_ms] for each in endpoint.secrets],
        }
        self._connection.write("HSET", self._keys.webhooks(endpoint.org), endpoint.short_id, json.dumps(record))


def _new_secret(known: Secrets, org: str, short_id: str, version: int) -> tuple[str, Secret]:
    name = f"{org}.{short_id}:{version}"
    secret = known.newest(name)
    return secret, Secret(name, fingerprint(secret))


def _endpoint(org: str, short_id: str, record: dict[str, Any], disabled: bytes | None) -> Endpoint:
    return Endpoint(
        id=f"{org}.{short_id}",
        org=org,
        url=record["url"],
        kinds=None if record["kinds"] is None else frozenset(record["kinds"]),
        types=frozenset(record["types"]),
        created_at=moment(record["createdAt"]),
        secrets=tuple(Secret(*each) for each in record["secrets"]),
        disabled=None if disabled is None else disabled.decode(),
    )
