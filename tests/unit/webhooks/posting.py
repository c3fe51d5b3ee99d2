"""How the tests send to receivers, and a resolver for their names."""

import socket
import threading
from collections.abc import Mapping
from typing import Any

from batchstatus.webhooks.sending import Answer, Sender
from tests.support.receivers import Behaviour, Receiver, receiver

NAME = "hooks.acme.test"
HANGS = "hangs.acme.test"
HEADERS = {"content-type": "application/json", "webhook-id": "msg_1"}
BODY = b'{"type":"job.completed"}'
PUBLIC = "8.8.8.8"
SHORT_S = 0.5
IN_TIME = f"no answer within {SHORT_S} s"
LARGE = bytes(32 * 1024 * 1024)
"""More than the kernel buffers between a sender and a receiver that does not read."""


def post(r: Receiver, body: bytes = BODY, headers: Mapping[str, str] = HEADERS) -> Answer:
    """Send to a receiver of this machine, with time enough."""
    return Sender(allow_private=True, allow_http=True).post(r.url, headers, body)


def post_briefly(url: str, body: bytes = BODY) -> Answer:
    """Send to a receiver that will not answer in time."""
    return Sender(allow_private=True, allow_http=True, timeout_s=SHORT_S).post(url, HEADERS, body)


def outcome(behaviour: Behaviour) -> Answer:
    """Returns what comes of a try with a receiver that behaves so."""
    with receiver(behaviour) as r:
        return post(r)


class Names:
    """A resolver. `known` has the answers for a name: one list of addresses a look-up, the last one for ever.

    A look-up of HANGS takes until `released`.
    """

    def __init__(self) -> None:
        self.known: dict[str, list[list[str]]] = {}
        self.lookups: list[str] = []
        self.released = threading.Event()

    def getaddrinfo(self, host: str, port: int, *_: Any, **__: Any) -> list[Any]:
        self.lookups.append(host)
        if host == HANGS:
            self.released.wait(60)
        if host not in self.known:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        found = self.known[host]
        addresses = found.pop(0) if len(found) > 1 else found[0]
        families = [socket.AF_INET6 if ":" in each else socket.AF_INET for each in addresses]
        ends = [(each, port, 0, 0) if ":" in each else (each, port) for each in addresses]
        return [(family, socket.SOCK_STREAM, 6, "", end) for family, end in zip(families, ends, strict=True)]
