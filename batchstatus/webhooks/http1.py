"""A request and the head of its answer, as bytes of HTTP/1.1.

Not with `http.client`: its time limit starts anew with each byte, it takes a head that was cut short for a whole
one, and a 103, which only announces an answer, for the answer.
"""

import re
from collections.abc import Mapping

from batchstatus.model.errors import InvalidValue
from batchstatus.webhooks.connection import AnyConnection
from batchstatus.webhooks.target import Target

MAX_HEAD = 16 * 1024
"""The most bytes that are read of an answer. Its body is read only where it came with the head, and ignored."""

_PIECE = 4096  # bytes
_OUR_HEADERS = ("host", "content-length", "connection")
"""Those that every request has, whatever is given."""

_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_VALUE = re.compile(r"[!-~](?:[ -~]*[!-~])?")
_STATUS_LINE = re.compile(rb"HTTP/1\.[01] ([1-9][0-9]{2})(?: [^\r\n]*)?\r?\n")
_END_OF_HEAD = re.compile(rb"\r?\n\r?\n")


class NoAnswer(Exception):
    """No usable answer came. The message says why."""


def checked_headers(headers: Mapping[str, str]) -> Mapping[str, str]:
    """Returns the headers. Raises InvalidValue for one that is malformed, or would be there twice."""
    names = [*_OUR_HEADERS, *map(str.lower, headers)]
    for name, value in headers.items():
        if not _NAME.fullmatch(name):
            raise InvalidValue(f"header {name!r:.80} has a malformed name")
        if names.count(name.lower()) > 1:
            raise InvalidValue(f"header {name} would be there twice")
        if not _VALUE.fullmatch(value):
            raise InvalidValue(f"header {name} has the value {value!r:.80}, not one line of visible ASCII")
    return headers


def request(target: Target, headers: Mapping[str, str], body: bytes) -> bytes:
    """Returns the bytes of a request."""
    ours = zip(_OUR_HEADERS, (target.authority, str(len(body)), "close"), strict=True)
    lines = [f"POST {target.path} HTTP/1.1", *(f"{name}: {value}" for name, value in (*ours, *headers.items()))]
    return "\r\n".join([*lines, "", ""]).encode("ascii") + body


def final_head(connection: AnyConnection) -> tuple[int, bytes]:
    """Returns the status and the head of an answer, after those of the range 1xx, which announce it."""
    data, start, searched = b"", 0, 0
    while True:
        line = _STATUS_LINE.match(data, start)
        if line is None and b"\n" in data[start:]:
            raise NoAnswer("the answer is not HTTP")
        if line and (end := _END_OF_HEAD.search(data, max(start, searched - 3))):
            if line[1][:1] != b"1":
                return int(line[1]), data[start : end.end()]
            start = end.end()
        elif len(data) >= MAX_HEAD:
            raise NoAnswer(f"the head of the answer has more than {MAX_HEAD:,} bytes")
        elif piece := connection.receive(min(_PIECE, MAX_HEAD - len(data))):
            searched = len(data)
            data += piece
        else:
            raise NoAnswer(f"closed the connection {'in the middle of' if data else 'without'} an answer")
