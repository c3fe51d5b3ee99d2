"""Ports for the servers of tests."""

import secrets
import socket
from contextlib import suppress

HOST = "127.0.0.1"
RANGE = range(10_000, 32_768)
"""Below the ephemeral ports: the kernel may give one of those to a connection before its server is up."""


def free_port() -> int:
    """A loopback port that nobody is bound to, for a server that is started next."""
    while True:
        port = RANGE[secrets.randbelow(len(RANGE))]
        with suppress(OSError), socket.socket() as probe:
            probe.bind((HOST, port))
            return port
