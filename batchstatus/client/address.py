"""Reads the URL of a service."""

import re
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from urllib.parse import quote, urlsplit

from batchstatus.model.errors import InvalidValue

_SCHEMES: dict[str, type[HTTPConnection]] = {"http": HTTPConnection, "https": HTTPSConnection}


def address_of(url: str, timeout_s: float) -> tuple[HTTPConnection, str, str]:
    """Returns an unopened connection to the URL's host, the URL up to its path, and its path."""
    try:
        parts = urlsplit(url)
        host = (parts.hostname or "").encode("idna").decode()
        connection = _SCHEMES[parts.scheme](host, parts.port, timeout=timeout_s)
        base = quote(parts.path.rstrip("/"), safe="/%:@!$&'()*+,;=~")
        fits = host and not (parts.query or parts.fragment or "@" in parts.netloc)
    except (ValueError, LookupError, HTTPException):
        fits = False
    if not fits:
        raise InvalidValue(f"url {re.sub('//.*@', '//…@', url)!r} is not like https://host[:port][/path]")
    return connection, f"{parts.scheme}://{parts.netloc}", base
