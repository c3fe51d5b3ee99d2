"""Randomly broken HTTP requests, and the check of the answers to them."""

import random
import socket
from collections.abc import Callable, Iterator
from contextlib import suppress

from tests.support.rawhttp import Answer, request

OURS_FROM_500_UP = {501, 503, 505}
"""Statuses that are not bugs: an unknown transfer coding or HTTP version, a store that is slow for a moment."""

WORDS = [
    *(b"\r\n", b"\n", b"\r", b"\r\n\r\n", b"\0", b" ", b"\t", b":", b",", b";", b"/", b"//", b"%", b"?", b"#"),
    *(b"%2F", b"%00", b"%0d%0a", b"%ff", b"..", b"{}", b"*", b"\xff", b"\xc3\xa9", b"\xed\xa0\x80", b"-1", b"1e9"),
    *(b"HTTP/1.1", b"HTTP/1.0", b"HTTP/2.0", b"HTTP/9.9", b"GET ", b"POST ", b"HEAD ", b"TRACE ", b"CONNECT "),
    *(b"Content-Length: 5\r\n", b"Content-Length: 99999999999\r\n", b"Transfer-Encoding: chunked\r\n"),
    *(b"Expect: 100-continue\r\n", b"Connection: close\r\n", b"Connection: upgrade\r\nUpgrade: h2c\r\n"),
    *(b"Host: x\r\n", b"SCRIPT_NAME: /x\r\n", b"X-Forwarded-Proto: https\r\n", b"Authorization: Bearer x\r\n"),
    *(b"failures", b"include=", b"[" * 2_000, b'{"a":' * 500, b'"', b"\\ud800", b"9" * 400, b"NaN"),
    *(b"X: " + b"y" * 9_000 + b"\r\n", b"x" * 70_000),
]
_HEX = b"0123456789abcdefABCDEF"


def corpus(job_id: str, key: str) -> list[bytes]:
    """Returns valid requests of all kinds."""
    poll, body = f"/batch-import/jobs/{job_id}", b'{"kind":"transaction_batch","action":"pause"}'
    resume = body.replace(b"pause", b"resume")
    chunks = b"5\r\n" + body[:5] + b"\r\n%x;x=y\r\n" % len(body[5:]) + body[5:] + b"\r\n0\r\nX: y\r\n\r\n"
    return [
        *(request("GET", path) for path in ("/livez", "/readyz", "/metrics", "/openapi.json", "/")),
        request("GET", poll, key=key),
        request("HEAD", poll, "If-None-Match: *", "Prefer: wait=1", key=key),
        request("GET", f"{poll}?include=failures", "Accept: */*", "Cookie: a=b; c=d", key=key),
        request("GET", f"/batch-import/transaction-jobs/{job_id}/failures", key=key),
        request("GET", f"/entities/automatic/bulk/imports/{job_id}/failures.csv", "X-Request-Id: me", key=key),
        request("POST", f"{poll}/control", "Content-Type: application/json", key=key, body=body),
        request("POST", f"{poll}/control", "Expect: 100-continue", key=key, body=resume),
        request("POST", f"{poll}/control", "Transfer-Encoding: chunked", key=key, body=chunks),
    ]


def mutant(good: list[bytes], chance: random.Random) -> bytes:
    """Returns one or two valid requests, changed in up to six places."""
    found = b"".join(chance.choices(good, k=chance.choice((1, 1, 1, 2))))
    for _ in range(chance.randint(1, 6)):
        found = chance.choice(_CHANGES)(found, chance)
    return found[:200_000]


def exchange_to_the_end(port: int, data: bytes, timeout_s: float) -> bytes:
    """Returns all bytes until the service closes the connection. TimeoutError after `timeout_s` of silence."""
    with socket.create_connection(("127.0.0.1", port), timeout_s) as connection:
        received = b""
        try:
            connection.sendall(data)
            with suppress(OSError):  # ENOTCONN: the service has closed already, and its answer is still unread
                connection.shutdown(socket.SHUT_WR)
            while piece := connection.recv(65_536):
                received += piece
        except (ConnectionResetError, BrokenPipeError):
            pass  # the service did not read the rest
        return received


def answers(received: bytes) -> Iterator[Answer]:
    """Yield the answers in the received bytes. The last one may be cut if the connection was reset."""
    while b"\r\n\r\n" in received:
        head, _, received = received.partition(b"\r\n\r\n")
        status_line, *lines = head.decode("latin-1").split("\r\n")
        headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
        # The answer to a HEAD has a Content-Length without a body; none of our bodies begins like a status line.
        length = 0 if received.startswith(b"HTTP/1.") else int(headers.get("content-length", 0))
        body, received = received[:length], received[length:]
        if headers.get("transfer-encoding") == "chunked":
            body, _, received = received.partition(b"0\r\n\r\n")
        yield Answer(int(status_line.split(" ")[1]), headers, body)


def complaint(answer: Answer) -> str | None:
    """Returns what is wrong with an answer, or None."""
    if answer.status >= 500 and answer.status not in OURS_FROM_500_UP:
        return "a server error"
    if answer.status == 100:
        return None
    if "x-request-id" not in answer.headers:
        return "no request id"
    if answer.status < 400 or not answer.body:
        return None
    try:
        refusal = answer.refusal
    except (AssertionError, ValueError, KeyError) as error:
        return f"not the shape of an error: {error!r}"
    return None if refusal[1].isupper() else "no code"


def _flip(data: bytes, chance: random.Random) -> bytes:
    place = chance.randrange(len(data) or 1)
    return data[:place] + bytes([chance.randrange(256)]) + data[place + 1 :]


def _insert(data: bytes, chance: random.Random) -> bytes:
    place = chance.randrange(len(data) + 1)
    return data[:place] + chance.choice(WORDS) + data[place:]


def _cut(data: bytes, chance: random.Random) -> bytes:
    start = chance.randrange(len(data) + 1)
    return data[:start] + data[start + chance.randrange(40) :]


def _repeat(data: bytes, chance: random.Random) -> bytes:
    start = chance.randrange(len(data) + 1)
    return data[:start] + data[start : start + 80] * chance.randint(2, 30) + data[start:]


def _end_early(data: bytes, chance: random.Random) -> bytes:
    return data[: chance.randrange(len(data) + 1)]


def _swap_lines(data: bytes, chance: random.Random) -> bytes:
    lines = data.split(b"\r\n")
    one, other = chance.randrange(len(lines)), chance.randrange(len(lines))
    lines[one], lines[other] = lines[other], lines[one]
    return b"\r\n".join(lines)


def _change_number(data: bytes, chance: random.Random) -> bytes:
    places = [place for place, byte in enumerate(data) if byte in _HEX]
    place = chance.choice(places or [0])
    return data[:place] + str(chance.choice((0, 1, 9, 2**31, 2**63, -1))).encode() + data[place + 1 :]


_CHANGES: list[Callable[[bytes, random.Random], bytes]] = [
    *(_flip, _flip, _insert, _insert, _cut, _repeat, _end_early, _swap_lines, _change_number),
]
