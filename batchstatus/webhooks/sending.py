"""Sends a notice to its receiver: one request, to an address that was judged, within one time limit."""

import ipaddress
import re
import socket
import ssl
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import cached_property
from typing import Any

from batchstatus.model.errors import InvalidValue
from batchstatus.webhooks.connection import AnyConnection, Connection, Deadline, EncryptedConnection, connected
from batchstatus.webhooks.http1 import NoAnswer, checked_headers, final_head, request
from batchstatus.webhooks.target import Target, is_public, target_of

MAX_RETRY_AFTER_S = 86_400.0
MAX_ADDRESSES = 4
"""How many addresses of a receiver a try connects to, one after the other."""

LOOKUPS = 8
"""How many names are looked up at once. gevent has 10 threads for those of a process, and the store needs some."""

_LONGEST_DATE = 64
_RETRY_AFTER = re.compile(rb"^retry-after:(.*)$", re.IGNORECASE | re.MULTILINE)


@dataclass(frozen=True)
class Answer:
    """What came of one try.

    `status` is the HTTP status, None if there was none; `reason` says the same in one line. `retry_after_s` is the
    time in Retry-After, more than 0 and at most a day; None if there is none, or none that makes sense.
    """

    status: int | None
    reason: str
    retry_after_s: float | None = None

    @property
    def delivered(self) -> bool:
        """Returns True if the receiver has taken the notice."""
        return self.status is not None and 200 <= self.status < 300

    @property
    def gone(self) -> bool:
        """Returns True if the receiver wants no more notices."""
        return self.status == 410


class Sender:
    """Sends requests to receivers, from any number of threads or greenlets, but of one process: fork before.

    `timeout_s` limits a whole try, from the look-up of the name to the head of the answer. `ca_file` has further
    authorities in PEM, beside those of the system. Raises InvalidValue.

        answer = Sender().post("https://hooks.example.com/imports", {"content-type": "application/json"}, b"{}")
        print(answer.delivered, answer.reason)
    """

    def __init__(
        self,
        *,
        allow_private: bool = False,
        allow_http: bool = False,
        ca_file: str | None = None,
        timeout_s: float = 15.0,
    ) -> None:
        self._allow_private, self._allow_http, self._timeout_s = allow_private, allow_http, timeout_s
        self._tls = _context(ca_file)

    def post(self, url: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """Send a request on a connection of its own. Returns the answer; a redirect is one, and not followed.

        Connects only to addresses that were judged, those of a single look-up. A resolver cannot be interrupted: a
        look-up that takes longer goes on in a thread of its own, which may hold up the end of the process. Raises
        InvalidValue for headers that cannot be sent, and nothing for what the receiver or the network does.
        """
        checked = checked_headers(headers)
        try:
            return self._try(url, checked, body)
        except (InvalidValue, NoAnswer) as error:
            return Answer(None, str(error))
        except OSError as error:
            return Answer(None, _reason(error, self._timeout_s))

    def _try(self, url: str, headers: Mapping[str, str], body: bytes) -> Answer:
        deadline = Deadline(self._timeout_s)
        target = target_of(url, allow_private=self._allow_private, allow_http=self._allow_http)
        with self._connect(target, deadline) as peer:
            connection = self._secured(Connection(peer, deadline), target)
            with suppress(BrokenPipeError, ConnectionResetError):  # an answer may have come before the peer closed
                connection.send(request(target, headers, body))
            status, head = final_head(connection)
        redirect = ", a redirect, which is not followed" if 300 <= status < 400 else ""
        return Answer(status, f"HTTP {status}{redirect}", _retry_after_s(head))

    def _secured(self, plain: Connection, target: Target) -> AnyConnection:
        return plain if target.scheme == "http" else EncryptedConnection(plain, self._tls, target.host)

    def _connect(self, target: Target, deadline: Deadline) -> socket.socket:
        """Returns a connection to the first address that takes one. Each gets its share of the time."""
        addresses = self._addresses(target, deadline)[:MAX_ADDRESSES]
        failure: OSError | None = None
        for number, (family, address) in enumerate(addresses):
            try:
                return connected(family, address, deadline.left_s() / (len(addresses) - number))
            except OSError as error:
                failure = error
        raise failure or NoAnswer(f"{target.host} has no public address")

    def _addresses(self, target: Target, deadline: Deadline) -> list[tuple[int, Any]]:
        """Returns the addresses of the host that may be sent to, each with its family, as `socket` has them."""
        looking = self._lookups.submit(socket.getaddrinfo, target.host, target.port, type=socket.SOCK_STREAM)
        try:
            found = looking.result(deadline.left_s())
        except socket.gaierror as error:
            raise NoAnswer(f"no address of {target.host}: {error.strerror}") from None
        except TimeoutError:
            raise NoAnswer(f"no address of {target.host} within {self._timeout_s:g} s") from None
        finally:
            looking.cancel()
        return [
            (family, address)
            for family, *_, address in found
            if self._allow_private or is_public(ipaddress.ip_address(address[0]))
        ]

    @cached_property
    def _lookups(self) -> ThreadPoolExecutor:
        # Made at the first use, which is after gevent's patches: locks made before would block every greenlet.
        return ThreadPoolExecutor(LOOKUPS, "webhook-lookup")


def checked_url(url: str, *, allow_private: bool, allow_http: bool) -> str:
    """Returns the URL of an endpoint if notices may be sent there. Raises InvalidValue, which says why not.

    A name is not looked up: its addresses may change, and each try judges those of its own look-up.
    """
    target_of(url, allow_private=allow_private, allow_http=allow_http)
    return url


def _context(ca_file: str | None) -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if ca_file is not None:
        try:
            context.load_verify_locations(ca_file)
        except OSError as error:
            raise InvalidValue(f"ca_file {ca_file!r} has no certificates that can be read: {error}") from None
    return context


def _retry_after_s(head: bytes) -> float | None:
    """Returns the seconds in Retry-After, which has a number of them or a date."""
    found = _RETRY_AFTER.search(head)
    text = found[1].strip()[:_LONGEST_DATE].decode("latin-1") if found else ""
    seconds = 0.0
    if text.isascii() and text.isdigit():
        seconds = float(text)
    else:
        with suppress(ValueError, OverflowError):
            until = parsedate_to_datetime(text)
            seconds = (until.replace(tzinfo=until.tzinfo or UTC) - datetime.now(UTC)).total_seconds()
    return min(seconds, MAX_RETRY_AFTER_S) if seconds > 0 else None


def _reason(error: OSError, timeout_s: float) -> str:
    match error:
        case TimeoutError():
            return f"no answer within {timeout_s:g} s"
        case ssl.SSLCertVerificationError():
            return f"the certificate is not valid: {error.verify_message.rstrip('.')}"
        case ssl.SSLError():
            return f"TLS failed: {error.reason or error.strerror or error}"
    return f"the connection failed: {error.strerror or error}"
