"""Settings of the store and the service, validated once and frozen. Only this module reads the environment."""

import dataclasses
import logging
import os
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from batchstatus.model import values
from batchstatus.model.errors import InvalidValue
from batchstatus.model.keys import Keys
from batchstatus.model.kinds import PUBLISHED, JobKind, Kinds

DAY_S = 86_400.0
# Upper bounds: now plus a century still fits into a datetime; a socket timeout overflows after 24 days.
_LONG = dict.fromkeys(("lease_s", "grace_s", "retention_s", "queued_at_most_s"), 36_525 * DAY_S)
_LONGEST_S = _LONG | {"timeout_s": 3_600.0}
_TEXTS = ("tls_ca_file", "tls_cert_file", "tls_key_file", "sentinel_username", "sentinel_password")

KINDS_VARIABLE = "BATCHSTATUS_KINDS"
"""Names the TOML file with the kinds, for services, workers and the command line."""
WEBHOOKS_KEY_VARIABLE = "BATCHSTATUS_WEBHOOKS_KEY"
"""Has what the secrets of webhooks are derived from; never shown."""
_BIND = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+):(\d{1,5})")
_SOCKET = re.compile(r"unix:(/[A-Za-z0-9._/@+=-]{1,106})")


@dataclass(frozen=True, kw_only=True)
class StoreSettings:
    """Settings of the store. Workers and services that share jobs should agree on all but the limits.

    - `lease_s`: a worker that is silent for this long may be dead (seconds, fractions allowed).
    - `grace_s`: time between the first look at an expired lease and the one that settles the job (seconds).
    - `retention_s`: how long a job stays readable after its last change (seconds).
    - `queued_at_most_s`: reapers cancel a job that nobody started for this long (seconds; 0: none).
    - `prefix`: the first part of every key.
    - `timeout_s`: time limit for connecting to the store, and for each answer (seconds).
    - `max_connections`: upper limit of connections per process.
    - `min_replicas`: how many Redis replicas must confirm a write; 0 trusts the primary alone.
    - `max_rows`: how many failed, and how many skipped, rows are stored per job; further rows are only counted.
    - `kinds`: the declared kinds; jobs of another kind are neither made nor read.
    - `tls_ca_file`: the certificates, in PEM, of authorities to trust beside the system's.
    - `tls_cert_file`, `tls_key_file`: the certificate that a server asks its clients for, and its key, in PEM.
    - `sentinel_username`, `sentinel_password`: the login of the Sentinels; the URL has the primary's.
    """

    lease_s: float = 30.0
    grace_s: float = 3.0
    retention_s: float = 30 * DAY_S
    queued_at_most_s: float = 0.0
    prefix: str = "batchstatus"
    timeout_s: float = 1.0
    max_connections: int = 64
    max_rows: int = 1_000_000
    min_replicas: int = 0
    kinds: Kinds = PUBLISHED
    tls_ca_file: str | None = None
    tls_cert_file: str | None = None
    tls_key_file: str | None = None
    sentinel_username: str | None = None
    sentinel_password: str | None = dataclasses.field(default=None, repr=False)

    def __post_init__(self) -> None:
        for name, longest_s in _LONGEST_S.items():
            seconds = getattr(self, name)
            if isinstance(seconds, bool) or not isinstance(seconds, int | float) or not seconds <= longest_s:
                raise InvalidValue(f"{name} {seconds!r} is not a number of seconds up to {longest_s:.0f}")
            if seconds < 0 or (seconds == 0 and name not in ("grace_s", "queued_at_most_s")):
                raise InvalidValue(f"{name} {seconds!r} is too short")
        if self.retention_s <= self.lease_s + self.grace_s:
            raise InvalidValue(f"retention_s {self.retention_s!r} is not longer than lease_s plus grace_s")
        for name, least in {"max_connections": 1, "max_rows": 1, "min_replicas": 0}.items():
            if not isinstance(getattr(self, name), int) or getattr(self, name) < least:
                raise InvalidValue(f"{name} {getattr(self, name)!r} is not an integer from {least} up")
        for name in _TEXTS:
            if not isinstance(getattr(self, name), str | None) or getattr(self, name) == "":
                raise InvalidValue(f"{name} is neither None nor a text that is not empty")
        if self.tls_key_file and not self.tls_cert_file:
            raise InvalidValue("tls_key_file needs a tls_cert_file")
        Keys(self.prefix)
        if not isinstance(self.kinds, Kinds):
            raise InvalidValue(f"kinds {self.kinds!r:.80} is not Kinds")

    @property
    def lease_ms(self) -> int:
        """`lease_s` in whole milliseconds."""
        return max(1, round(self.lease_s * 1000))

    @property
    def grace_ms(self) -> int:
        """`grace_s` in whole milliseconds."""
        return round(self.grace_s * 1000)

    @property
    def retention_ms(self) -> int:
        """`retention_s` in whole milliseconds."""
        return max(1, round(self.retention_s * 1000))


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Settings of the service. `bind` is HOST:PORT or unix:/PATH; `workers` is the number of processes.

    A connection without a request for `keep_alive_s` seconds is closed. `cors_origins` are those whose pages may
    ask from a browser, such as `https://app.example.com`; `*` is all. Secrets of webhooks are derived from the
    `webhooks_keys`, the newest first; without one this service sends none. `webhooks_allow` is what endpoints may
    be beside public https addresses: `http`, `private`. With `trust_proxy` the X-Forwarded-… headers of a request
    count: a proxy sets them, and no caller can.
    """

    redis_url: str
    bind: str = "127.0.0.1:8000"
    workers: int = 2
    keep_alive_s: int = 15
    log_level: str = "info"
    trust_proxy: bool = False
    cors_origins: tuple[str, ...] = ()
    webhooks_keys: tuple[str, ...] = dataclasses.field(default=(), repr=False)
    webhooks_allow: frozenset[str] = frozenset()
    store: StoreSettings = StoreSettings()

    def __post_init__(self) -> None:
        match = _BIND.fullmatch(self.bind)
        if self.socket_path is None and (not match or int(match[2]) > 65_535):
            raise InvalidValue(f"bind {self.bind!r} is not HOST:PORT or unix:/PATH")
        for name, most in {"workers": 10_000, "keep_alive_s": 3_600}.items():
            if not 1 <= getattr(self, name) <= most:
                raise InvalidValue(f"{name} {getattr(self, name)!r} is not an integer from 1 to {most}")
        if self.log_level.upper() not in logging.getLevelNamesMapping():
            raise InvalidValue(f"log_level {self.log_level!r} is not one of debug, info, warning, error")

    @property
    def socket_path(self) -> str | None:
        """The path of the unix socket that `bind` names; None for HOST:PORT."""
        return match[1] if (match := _SOCKET.fullmatch(self.bind)) else None

    @property
    def address(self) -> tuple[str, int]:
        """Host (without the brackets of IPv6) and port of `bind`."""
        host, _, port = self.bind.rpartition(":")
        return host.strip("[]"), int(port)

    @classmethod
    def from_env(cls, environ: Mapping[str, str] = os.environ) -> "Settings":
        """Read `BATCHSTATUS_*` from `environ`. Raises InvalidValue naming the missing or invalid variable."""
        if not (url := environ.get("BATCHSTATUS_REDIS_URL", "").strip()):
            raise InvalidValue("BATCHSTATUS_REDIS_URL is not set; an example is redis://127.0.0.1:6379/0")
        store, service = _read(environ, _STORE_VARIABLES), _read(environ, _SERVICE_VARIABLES)
        try:
            return cls(redis_url=url, store=StoreSettings(**store), **service)
        except InvalidValue as error:
            # The first word of the message is the field's name.
            names = {field: variable for variable, (field, _) in (_STORE_VARIABLES | _SERVICE_VARIABLES).items()}
            variable = names.get(_field_at_fault(str(error).partition(" ")[0], store), "BATCHSTATUS_*")
            raise InvalidValue(f"{variable}={environ.get(variable)!r}: {error}") from None


def _converter(number: type[float] | type[int], said: str) -> Callable[[str], Any]:
    def convert(text: str) -> float | int:
        try:
            return number(text)
        except ValueError:
            raise ValueError(f"not a {said}") from None

    return convert


_number, _whole_number = _converter(float, "number"), _converter(int, "whole number")


def _yes_or_no(text: str) -> bool:
    if text.lower() not in ("1", "true", "yes", "0", "false", "no"):
        raise ValueError("neither 1 nor 0")
    return text.lower() in ("1", "true", "yes")


def declared_kinds(
    given: "Iterable[JobKind | str] | str | os.PathLike[str] | None", environ: Mapping[str, str] = os.environ
) -> Kinds:
    """Returns the kinds of a list or of a TOML file; for None, those of the file that BATCHSTATUS_KINDS names.

    InvalidValue names the file, the kind and what is wrong. Without the variable: the published kinds.
    """
    if isinstance(given, Kinds):
        return given
    if given is None:
        found: Kinds = _read(environ, {KINDS_VARIABLE: ("kinds", Kinds.of_file)}).get("kinds", PUBLISHED)
        return found
    if not isinstance(given, str | os.PathLike):
        return Kinds(given)
    try:
        return Kinds.of_file(given)
    except InvalidValue as error:
        raise InvalidValue(f"{os.fspath(given)}: {error}") from None


def webhooks_keys(environ: Mapping[str, str] = os.environ) -> tuple[str, ...]:
    """Returns the keys in BATCHSTATUS_WEBHOOKS_KEY, the newest first; none where it is not set."""
    only = {WEBHOOKS_KEY_VARIABLE: _SERVICE_VARIABLES[WEBHOOKS_KEY_VARIABLE]}
    return tuple(_read(environ, only).get("webhooks_keys", ()))


_Variables = dict[str, tuple[str, Callable[[str], Any]]]

_STORE_VARIABLES: _Variables = {
    "BATCHSTATUS_LEASE_S": ("lease_s", _number),
    "BATCHSTATUS_GRACE_S": ("grace_s", _number),
    "BATCHSTATUS_RETENTION_DAYS": ("retention_s", lambda text: _number(text) * DAY_S),
    "BATCHSTATUS_QUEUED_AT_MOST_S": ("queued_at_most_s", _number),
    "BATCHSTATUS_STORE_TIMEOUT_MS": ("timeout_s", lambda text: _whole_number(text) / 1000),
    "BATCHSTATUS_MIN_REPLICAS": ("min_replicas", _whole_number),
    "BATCHSTATUS_PREFIX": ("prefix", str),
    KINDS_VARIABLE: ("kinds", Kinds.of_file),
    "BATCHSTATUS_TLS_CA_FILE": ("tls_ca_file", str),
    "BATCHSTATUS_TLS_CERT_FILE": ("tls_cert_file", str),
    "BATCHSTATUS_TLS_KEY_FILE": ("tls_key_file", str),
    "BATCHSTATUS_SENTINEL_USERNAME": ("sentinel_username", str),
    "BATCHSTATUS_SENTINEL_PASSWORD": ("sentinel_password", str),
}
_SERVICE_VARIABLES: _Variables = {
    "BATCHSTATUS_BIND": ("bind", str),
    "BATCHSTATUS_WORKERS": ("workers", _whole_number),
    "BATCHSTATUS_KEEP_ALIVE_S": ("keep_alive_s", _whole_number),
    "BATCHSTATUS_LOG_LEVEL": ("log_level", str),
    "BATCHSTATUS_TRUST_PROXY": ("trust_proxy", _yes_or_no),
    "BATCHSTATUS_CORS_ORIGINS": ("cors_origins", values.origins),
    WEBHOOKS_KEY_VARIABLE: ("webhooks_keys", values.webhook_keys),
    "BATCHSTATUS_WEBHOOKS_ALLOW": ("webhooks_allow", values.webhook_targets),
}


def _read(environ: Mapping[str, str], variables: _Variables) -> dict[str, Any]:
    found = {}
    for variable, (field, convert) in variables.items():
        if variable in environ:
            try:
                found[field] = convert(environ[variable])
            except (ValueError, OverflowError) as error:
                shown = "" if variable == WEBHOOKS_KEY_VARIABLE else f"={environ[variable]!r}"
                raise InvalidValue(f"{variable}{shown}: {error}") from None
    return found


def _field_at_fault(field: str, given: Mapping[str, Any]) -> str:
    """Returns the field at fault: lease or grace if they are too long for the default retention."""
    if field == "retention_s" and field not in given:
        return max("lease_s", "grace_s", key=lambda name: given.get(name, 0))
    return field
