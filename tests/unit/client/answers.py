"""Answers for a scripted service: whole, cut, held and missing ones, and the pages of a proxy."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

HTML = b"<html>Bad gateway</html>"
APPLIED = {"Preference-Applied": "wait=30"}


@dataclass
class Answer:
    """One answer. `cut`: the connection is closed after it. `held_s`: the clock moves so far before it.

    `hold` runs before the answer is sent, in real time. `silent`: the client hears nothing until it hangs up.
    """

    raw: bytes
    cut: bool = False
    held_s: float = 0.0
    hold: Callable[[], object] = lambda: None
    silent: bool = False


def answer(
    status: int = 200, body: bytes = b"", kind: str = "application/json", headers: Mapping[str, str] | None = None
) -> Answer:
    lines = [f"HTTP/1.1 {status} Whatever", f"Content-Type: {kind}", f"Content-Length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    return Answer("\r\n".join([*lines, "", ""]).encode("latin-1") + body)


def wire(**changes: Any) -> dict[str, Any]:
    return {
        "jobId": "J",
        "kind": "transaction_batch",
        "status": "running",
        "totalItems": 1000,
        "succeeded": 412,
        "failed": 3,
        "skipped": 0,
        "heartbeatAt": "2026-11-23T15:04:05.123Z",
        "leaseExpiresAt": "2026-11-23T15:04:35.123Z",
        "workerError": None,
        "createdAt": "2026-11-23T15:03:00.000Z",
        "completedAt": None,
        "metadata": {"fileName": "november.csv"},
    } | changes


def ok(headers: Mapping[str, str] | None = None, **changes: Any) -> Answer:
    return answer(body=json.dumps({"success": True, "job": wire(**changes)}).encode(), headers=headers)


def done(**changes: Any) -> Answer:
    return ok(status="completed", **changes)


def tagged(tag: str, headers: Mapping[str, str] | None = None, **changes: Any) -> Answer:
    return ok({"ETag": tag, **(headers or {})}, **changes)


def unchanged(tag: str, held_s: float = 0.0, **headers: str) -> Answer:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    given = answer(304, headers={"ETag": tag, **named})
    return Answer(given.raw.replace(b"Content-Length: 0\r\n", b""), held_s=held_s)


def held(tag: str) -> Answer:
    return unchanged(tag, held_s=30, Preference_Applied="wait=30")


def error(status: int, code: str, headers: Mapping[str, str] | None = None) -> Answer:
    body = {"success": False, "error": {"code": code, "message": "because"}}
    return answer(status, json.dumps(body).encode(), headers=headers)


def page(status: int) -> Answer:
    return answer(status, HTML, "text/html")


def csv(body: bytes = b"external_id,code,error\r\n") -> Answer:
    return answer(body=body, kind="text/csv; charset=utf-8")


def cut(whole: Answer, missing: int) -> Answer:
    return Answer(whole.raw[:-missing], cut=True)


NO_ANSWER = Answer(b"", cut=True)
SILENCE = Answer(b"", cut=True, silent=True)
