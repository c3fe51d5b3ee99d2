"""A WSGI application that does all that PEP 3333 allows, and some things that it forbids, one path each."""

import json
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from io import BytesIO
from tempfile import TemporaryFile
from typing import Any

Start = Callable[..., Callable[[bytes], object]]
Environ = dict[str, Any]
OK = "200 OK"
TEXT = [("Content-Type", "text/plain")]

closed: list[str] = []
"""The paths whose bodies have been closed."""
sleeping: list[str] = []
"""The queries of the slow requests that are being served."""


class Closing:
    """A body that notes its closing."""

    def __init__(self, path: str, pieces: Iterable[bytes]) -> None:
        self._path = path
        self._pieces = pieces

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._pieces)

    def close(self) -> None:
        closed.append(self._path)


def say(environ: Environ, start: Start) -> Iterable[bytes]:
    """What a process says of itself and of the request."""
    said = {name: value for name, value in environ.items() if isinstance(value, str | bool | int | tuple)}
    said |= {
        "pid": os.getpid(),
        "closed": closed,
        "slow": len(sleeping),
        "body": environ["wsgi.input"].read().decode("latin-1"),
    }
    body = json.dumps(said).encode()
    start(OK, [("Content-Type", "application/json"), ("Content-Length", str(len(body)))])
    return [body]


def length(_: Environ, start: Start) -> Iterable[bytes]:
    start(OK, [*TEXT, ("Content-Length", "6")])
    return [b"abc", b"def"]


def chunks(_: Environ, start: Start) -> Iterable[bytes]:
    start(OK, TEXT)
    return [b"abc", b"", b"def"]


def generator(_: Environ, start: Start) -> Iterable[bytes]:
    start(OK, TEXT)
    yield b"abc"
    yield b"def"


def nothing(_: Environ, start: Start) -> Iterable[bytes]:
    start(OK, TEXT)
    return []


def zero(_: Environ, start: Start) -> Iterable[bytes]:
    start(OK, [("Content-Length", "0")])
    return [b"more than was promised"]


def more(_: Environ, start: Start) -> Iterable[bytes]:
    start(OK, [("content-length", "4")])
    return [b"abc", b"def"]


def write(_: Environ, start: Start) -> Iterable[bytes]:
    start(OK, TEXT)(b"abc")
    return [b"def"]


def closing(environ: Environ, start: Start) -> Iterable[bytes]:
    start(OK, TEXT)
    return Closing(environ["PATH_INFO"], [b"abc"])


def closing_late(environ: Environ, start: Start) -> Iterable[bytes]:
    return Closing(environ["PATH_INFO"], raising_late(environ, start))


def replaced(_: Environ, start: Start) -> Iterable[bytes]:
    start(OK, [*TEXT, ("X-First", "1")])
    try:
        raise RuntimeError("a mishap")
    except RuntimeError:
        start("502 Bad Gateway", [("X-Second", "1")], sys.exc_info())
    return [b"sorry"]


def replaced_late(_: Environ, start: Start) -> Iterable[bytes]:
    start(OK, TEXT)
    yield b"abc"
    try:
        raise RuntimeError("a mishap")
    except RuntimeError:
        start("502 Bad Gateway", [("X-Second", "1")], sys.exc_info())
    yield b"never"


def twice(_: Environ, start: Start) -> Iterable[bytes]:
    start(OK, TEXT)
    start(OK, TEXT)
    return [b"never"]


def no_content(_: Environ, start: Start) -> Iterable[bytes]:
    start("204 No Content", [("Content-Length", "3"), ("X-Kept", "1")])
    return [b"abc"]


def not_modified(_: Environ, start: Start) -> Iterable[bytes]:
    start("304 Not Modified", [("Content-Length", "3"), ("ETag", '"a"')])
    return [b"abc"]


def hop_by_hop(_: Environ, start: Start) -> Iterable[bytes]:
    hops = ["Connection", "Keep-Alive", "Transfer-Encoding", "Upgrade", "TE", "Server", "Date", "trailers"]
    start(OK, [*[(name, "x") for name in hops], ("X-Kept", "1"), ("Content-Length", "3")])
    return [b"abc"]


def upgrade(_: Environ, start: Start) -> Iterable[bytes]:
    start("101 Switching Protocols", [("Upgrade", "websocket"), ("Connection", "Upgrade"), ("X-Kept", "1")])
    return []


def spaces(_: Environ, start: Start) -> Iterable[bytes]:
    start(
        OK,
        [
            ("X-A", "a b"),
            ("X-B", ""),
            ("X-C", "caf\xe9"),
            ("X-D", "a\tb"),
            ("Set-Cookie", "a"),
            ("Set-Cookie", "b"),
        ],
    )
    return [b"abc"]


def early_hints(environ: Environ, start: Start) -> Iterable[bytes]:
    environ["wsgi.early_hints"]([("Link", "</a.css>; rel=preload")])
    start(OK, [("Content-Length", "3")])
    return [b"abc"]


def file(environ: Environ, start: Start) -> Iterable[bytes]:
    stream = TemporaryFile()  # noqa: SIM115 - closed with the body
    stream.write(b"0123456789" * 5_000)
    stream.seek(5)
    start(OK, [("Content-Length", "49995")])
    return environ["wsgi.file_wrapper"](stream, 4_096)


def file_in_memory(environ: Environ, start: Start) -> Iterable[bytes]:
    start(OK, TEXT)
    return environ["wsgi.file_wrapper"](BytesIO(b"x" * 10_000), 4_096)


def bad_header(name: Any, value: Any) -> Callable[[Environ, Start], Iterable[bytes]]:
    def application(_: Environ, start: Start) -> Iterable[bytes]:
        start(OK, [("X-Kept", "1"), (name, value)])
        return [b"never"]

    return application


def bad_status(status: Any) -> Callable[[Environ, Start], Iterable[bytes]]:
    def application(_: Environ, start: Start) -> Iterable[bytes]:
        start(status, TEXT)
        return [b"never"]

    return application


def text(_: Environ, start: Start) -> Iterable[Any]:
    start(OK, TEXT)
    return ["not bytes"]


def silent(_: Environ, __: Start) -> Iterable[bytes]:
    return [b"never"]


def raising(_: Environ, __: Start) -> Iterable[bytes]:
    raise RuntimeError("a mishap")


def raising_early(_: Environ, start: Start) -> Iterable[bytes]:
    start(OK, TEXT)
    raise RuntimeError("a mishap")
    yield b"never"


def raising_late(_: Environ, start: Start) -> Iterable[bytes]:
    start(OK, [])
    yield b"abc"
    raise RuntimeError("a mishap")


def exiting(_: Environ, __: Start) -> Iterable[bytes]:
    sys.exit("a mishap")


def exiting_late(_: Environ, start: Start) -> Iterable[bytes]:
    start(OK, TEXT)
    yield b"abc"
    sys.exit("a mishap")


def short(_: Environ, start: Start) -> Iterable[bytes]:
    start(OK, [("Content-Length", "6")])
    return [b"abc"]


def slow(environ: Environ, start: Start) -> Iterable[bytes]:
    """Sleep for as many seconds as the query says."""
    sleeping.append(environ["QUERY_STRING"])
    try:
        time.sleep(float(environ["QUERY_STRING"]))
    finally:
        sleeping.remove(environ["QUERY_STRING"])
    return length(environ, start)


def busy(environ: Environ, start: Start) -> Iterable[bytes]:
    """Give no other greenlet a turn for as many seconds as the query says."""
    until = time.monotonic() + float(environ["QUERY_STRING"])
    while time.monotonic() < until:
        pass
    return length(environ, start)


def raw(environ: Environ, _: Start) -> Iterable[bytes]:
    """Take the connection over, as WebSocket libraries do: greet, and echo what comes, however much."""
    with environ["gunicorn.socket"].dup() as connection:
        connection.sendall(b"hello")
        while received := connection.recv(65_536):
            connection.sendall(received)
    raise StopIteration


REFUSED = {
    "a header with a line break": bad_header("X-A", "a\r\nSet-Cookie: a=b"),
    "a header with a line feed": bad_header("X-A", "a\nb"),
    "a header with a NUL": bad_header("X-A", "a\0b"),
    "a header beyond Latin-1": bad_header("X-A", "\u20ac"),
    "a header that is no text": bad_header("X-A", 1),
    "a header name with a line break": bad_header("X-A: a\r\nX-B", "b"),
    "a header name with a space": bad_header("X A", "b"),
    "a header without a name": bad_header("", "b"),
    "a header name that is no text": bad_header(b"X-A", "b"),
    "a length that is no number": bad_header("Content-Length", "many"),
    "a status with a line break": bad_status("200 OK\r\nX-A: a"),
    "a status that is no text": bad_status(200),
    "a body that is no bytes": text,
    "no start_response": silent,
    "start_response twice": twice,
    "an exception": raising,
    "an exception before the first piece": raising_early,
    "an exit": exiting,
}
"""Applications that break before anything is sent, by what is wrong with them."""

CUT = {
    "an exception": raising_late,
    "an exit": exiting_late,
    "another start": replaced_late,
    "an exception in a body with close": closing_late,
}
"""Applications that break after the first piece."""

WHOLE = {
    "length": length,
    "chunks": chunks,
    "generator": generator,
    "nothing": nothing,
    "zero": zero,
    "more": more,
    "write": write,
    "closing": closing,
    "no content": no_content,
    "not modified": not_modified,
    "hop by hop": hop_by_hop,
    "spaces": spaces,
    "early hints": early_hints,
    "file": file,
    "upgrade": upgrade,
}
"""Applications whose responses are to be those that gunicorn's own worker would send."""

OTHERS = {
    "slow": slow,
    "busy": busy,
    "raw": raw,
    "short": short,
    "replaced": replaced,
    "file in memory": file_in_memory,
}


def path_of(group: str, name: str) -> str:
    """The path of an application."""
    return f"/{group}/{name}".replace(" ", "-")


PATHS = {
    path_of(group, name): application
    for group, applications in (("refused", REFUSED), ("cut", CUT), ("whole", WHOLE), ("others", OTHERS))
    for name, application in applications.items()
}


def app(environ: Environ, start: Start) -> Iterable[bytes]:
    """The application at the request's path."""
    return PATHS.get(environ["PATH_INFO"], say)(environ, start)
