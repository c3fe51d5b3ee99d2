"""A store's URL, taken apart and checked."""

from typing import Any, NamedTuple
from urllib.parse import SplitResult, parse_qsl, unquote, urlencode, urlsplit

from batchstatus.model.errors import InvalidValue
from batchstatus.settings import StoreSettings
from batchstatus.transport.tls import OPTIONS as TLS_OPTIONS
from batchstatus.transport.tls import Tls, options_of

_SINGLE = ("redis", "valkey", "rediss", "valkeys", "unix")
SENTINEL, CLUSTER = ("redis+sentinel", "rediss+sentinel"), ("redis+cluster", "rediss+cluster")
_SCHEMES = (*_SINGLE, *SENTINEL, *CLUSTER)
_ENCRYPTED = ("rediss", "valkeys", "rediss+sentinel", "rediss+cluster")


class Address(NamedTuple):
    """A URL of ours, checked: its parts, without the options for TLS, and how to encrypt, if at all."""

    parts: SplitResult
    tls: Tls | None

    @property
    def login(self) -> dict[str, Any]:
        """The user and the password of the URL, as far as they are given."""
        given = {"username": self.parts.username, "password": self.parts.password}
        return {name: unquote(value) for name, value in given.items() if value}

    def nodes(self, default_port: int) -> list[tuple[str, int]]:
        """The hosts and ports of a URL that names several."""
        return _nodes(self.parts, default_port)


def address_of(url: str, settings: StoreSettings) -> Address:
    """Returns the URL's parts and its TLS. InvalidValue for options that would be of no effect."""
    parts = _parts(url)
    many, encrypted = parts.scheme in (*SENTINEL, *CLUSTER), parts.scheme in _ENCRYPTED
    if parts.scheme not in SENTINEL and (settings.sentinel_username or settings.sentinel_password):
        raise InvalidValue("sentinel_username and sentinel_password need the URL of a store behind Sentinel")
    query = parse_qsl(parts.query, keep_blank_values=True)
    for name, _ in query:
        if name not in TLS_OPTIONS and (many or name.startswith("ssl_")):
            raise InvalidValue(f"the store's URL has an option {name!r} that is unknown or not supported")
    tls_options = options_of(dict(query), settings)
    if tls_options and not encrypted:
        schemes = ", ".join(f"{scheme}://" for scheme in _ENCRYPTED)
        raise InvalidValue(f"the store's URL is not encrypted; options for TLS need one of {schemes}")
    rest = urlencode([each for each in query if each[0] not in TLS_OPTIONS])
    try:
        return Address(parts._replace(query=rest), Tls(tls_options, settings.timeout_s) if encrypted else None)
    except InvalidValue as error:
        raise InvalidValue(f"the store's TLS: {error}") from None


def _parts(url: str) -> SplitResult:
    """Returns the URL's parts, hosts and ports checked. No error quotes them: they may hold a password."""
    try:
        parts = urlsplit(url) if isinstance(url, str) else None
        if parts is None or parts.scheme not in _SCHEMES:
            raise InvalidValue(f"the store's URL must start with one of {', '.join(f'{n}://' for n in _SCHEMES)}")
        if parts.scheme in (*SENTINEL, *CLUSTER):
            _nodes(parts, 0)
        else:
            _ = parts.port
    except InvalidValue:
        raise
    except ValueError:
        raise InvalidValue("the store's URL has no proper host and port, after user:password@ if any") from None
    return parts


def _nodes(parts: SplitResult, default_port: int) -> list[tuple[str, int]]:
    nodes = [urlsplit(f"//{node}") for node in parts.netloc.rpartition("@")[2].split(",")]
    if not all(node.hostname for node in nodes):
        raise InvalidValue("the store's URL names no host where one should be")
    return [(str(node.hostname), node.port or default_port) for node in nodes]
