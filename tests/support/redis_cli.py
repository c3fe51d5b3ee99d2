"""A stand-in for `redis-cli` as docs/redis-protocol.md uses it: one command, or `--eval`, with output to a pipe.

This is a separate program without our packages, so that it starts as fast as the real one.
"""

import os
import socket
import sys
from typing import BinaryIO


def words(arguments: list[str]) -> list[str]:
    """Returns the command as given, or the EVAL command for `--eval FILE keys … , arguments …`."""
    if arguments[0] != "--eval":
        return arguments
    _, path, *rest = arguments
    comma = rest.index(",")
    with open(path, encoding="utf-8") as file:
        return ["EVAL", file.read(), str(comma), *rest[:comma], *rest[comma + 1 :]]


def request(command: list[str]) -> bytes:
    """Returns the bytes of a command in the Redis protocol."""
    encoded = [word.encode() for word in command]
    return b"*%d\r\n" % len(encoded) + b"".join(b"$%d\r\n%b\r\n" % (len(word), word) for word in encoded)


def reply(stream: BinaryIO) -> str:
    """Returns a reply as `redis-cli` prints it to a pipe: one element per line."""
    kind, rest = stream.read(1), stream.readline().rstrip().decode()
    if kind == b"*":
        return "\n".join(reply(stream) for _ in range(int(rest)))
    if kind == b"$":
        return stream.read(int(rest) + 2)[:-2].decode() if int(rest) >= 0 else ""
    return rest


def main() -> None:
    """Run the command on the server at port STORE_PORT and print the reply."""
    with socket.create_connection(("127.0.0.1", int(os.environ["STORE_PORT"])), timeout=30) as connection:
        connection.sendall(request(words(sys.argv[1:])))
        with connection.makefile("rb") as stream:
            print(reply(stream))  # noqa: T201 - printing is the purpose of this program


if __name__ == "__main__":
    main()
