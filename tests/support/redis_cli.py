"""A stand-in for `redis-cli`, as far as docs/redis-protocol.md uses it: one command, or `--eval`, into a pipe.

A program of its own, without our packages, so that it starts as fast as the real one.
"""

import os
import socket
import sys
from typing import BinaryIO


def words(arguments: list[str]) -> list[str]:
    """The command: as it is given, or that of `--eval FILE keys … , arguments …`."""
    if arguments[0] != "--eval":
        return arguments
    _, path, *rest = arguments
    comma = rest.index(",")
    with open(path, encoding="utf-8") as file:
        return ["EVAL", file.read(), str(comma), *rest[:comma], *rest[comma + 1 :]]


def request(command: list[str]) -> bytes:
    """A command as it is sent."""
    encoded = [word.encode() for word in command]
    return b"*%d\r\n" % len(encoded) + b"".join(b"$%d\r\n%b\r\n" % (len(word), word) for word in encoded)


def reply(stream: BinaryIO) -> str:
    """An answer as `redis-cli` prints it where nobody looks: an element a line."""
    kind, rest = stream.read(1), stream.readline().rstrip().decode()
    if kind == b"*":
        return "\n".join(reply(stream) for _ in range(int(rest)))
    if kind == b"$":
        return stream.read(int(rest) + 2)[:-2].decode() if int(rest) >= 0 else ""
    return rest


def main() -> None:
    """Ask the server at STORE_PORT."""
    with socket.create_connection(("127.0.0.1", int(os.environ["STORE_PORT"])), timeout=30) as connection:
        connection.sendall(request(words(sys.argv[1:])))
        with connection.makefile("rb") as stream:
            print(reply(stream))  # noqa: T201 - that is what it is for


if __name__ == "__main__":
    main()
