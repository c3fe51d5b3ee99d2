"""Where a URL of an endpoint leads, and which addresses a notice may be sent to."""

import ipaddress
import re
import socket
from contextlib import suppress
from dataclasses import dataclass
from urllib.parse import SplitResult, urlsplit

from batchstatus.model.errors import InvalidValue

MAX_URL = 2_000

_PORTS = {"https": 443, "http": 80}
_URL = re.compile(r"[!-~]+")
_LABEL = "[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_AUTHORITY = re.compile(rf"(?:\[([0-9a-f:.]+)\]|((?:{_LABEL}\.)*{_LABEL}))(?::([0-9]{{1,5}}))?")
_GLOBAL_UNICAST = ipaddress.IPv6Network("2000::/3")
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


@dataclass(frozen=True)
class Target:
    """The parts of a URL: `authority` is what it says of host and port, `path` has the query with it."""

    scheme: str
    authority: str
    host: str
    port: int
    path: str


def target_of(url: str, *, allow_private: bool, allow_http: bool) -> Target:
    """Returns where a URL leads. Raises InvalidValue if it is malformed, or leads where nothing may be sent."""
    target = _read(url)
    if target.scheme == "http" and not allow_http:
        raise InvalidValue(f"{_shown(url)} is not https")
    spelled = _spelled(target.host)
    if not allow_private and (_is_local(target.host) or (spelled and not is_public(spelled))):
        raise InvalidValue(f"{_shown(url)} leads to a private address")
    return target


def is_public(address: Address) -> bool:
    """Returns True if an address is one of the public internet, for one host.

    An IPv4 address inside an IPv6 one is judged itself where systems send to it: mapped ones, and those of NAT64
    under its well-known prefix. 6to4 and Teredo are out of use, and count as private.
    """
    if isinstance(address, ipaddress.IPv4Address):
        return address.is_global and not address.is_multicast
    if address.ipv4_mapped is not None:
        return is_public(address.ipv4_mapped)
    if address in _NAT64:
        return is_public(ipaddress.IPv4Address(address.packed[-4:]))
    return address in _GLOBAL_UNICAST and address.is_global and address.sixtofour is None


def _read(url: str) -> Target:
    """Returns what a URL says. Raises InvalidValue if it is malformed."""
    parts = _split(url)
    authority = parts.netloc.lower()
    found = _AUTHORITY.fullmatch(authority)
    if parts.scheme not in _PORTS:
        raise InvalidValue(f"{_shown(url)} does not begin with https://")
    if "@" in authority:
        raise InvalidValue(f"{_shown(url)} has a user or password; only its path and query can be secret")
    if "#" in url:
        raise InvalidValue(f"{_shown(url)} has a fragment, which is never sent")
    if found is None or (found[1] and not isinstance(_spelled(found[1]), ipaddress.IPv6Address)):
        raise InvalidValue(f"{_shown(url)} has no host, or a malformed one")
    port = _PORTS[parts.scheme] if found[3] is None else int(found[3])
    if not 0 < port < 65_536:
        raise InvalidValue(f"{_shown(url)} has the port {port}; there are those from 1 to 65535")
    path = f"{parts.path or '/'}{'?' * bool(parts.query)}{parts.query}"
    return Target(parts.scheme, authority, found[1] or found[2], port, path)


def _split(url: str) -> SplitResult:
    if len(url) > MAX_URL:
        raise InvalidValue(f"{_shown(url)} is longer than {MAX_URL:,} characters")
    if not _URL.fullmatch(url):
        raise InvalidValue(f"{_shown(url)} is not ASCII without spaces: write a name as xn--…, a path with %")
    try:
        return urlsplit(url)
    except ValueError as error:
        raise InvalidValue(f"{_shown(url)} is no URL: {error}") from None


def _spelled(host: str) -> Address | None:
    """Returns the address that a host is, in any spelling that resolvers know (`0x7f.1`); None for a name."""
    with suppress(ValueError):
        return ipaddress.ip_address(host)
    with suppress(OSError):
        return ipaddress.IPv4Address(socket.inet_aton(host))
    return None


def _is_local(host: str) -> bool:
    """Returns True for the names that always mean the machine itself (RFC 6761)."""
    return host == "localhost" or host.endswith(".localhost")


def _shown(url: str) -> str:
    """Returns a URL for a message, without the password that it may have."""
    return f"url {re.sub('(?s)//.*@', '//…@', url)!r:.200}"
