"""Invalid bodies of control requests, sent to the live service: none has an effect."""

import json
from typing import Any

import pytest

from batchstatus import JobStore
from tests.conftest import ORG
from tests.support.hostile import INVALID_REQUEST, PAYLOAD_TOO_LARGE, UNAUTHENTICATED, ask
from tests.support.rawhttp import Answer
from tests.support.service import LiveService

PAUSE = b'{"kind":"transaction_batch","action":"pause"}'
MAX_BYTES = 64 * 1024


def control(live: LiveService, job_id: str, key: str | None, body: bytes, *lines: str) -> Answer:
    return ask(live, f"/batch-import/jobs/{job_id}/control", *lines, method="POST", key=key, body=body)


def padded(size: int) -> bytes:
    """Returns a valid body, padded with spaces to `size` bytes."""
    return PAUSE.ljust(size)


@pytest.mark.parametrize(
    ("body", "bad"),
    [
        pytest.param(b"", {"body"}, id="nothing"),
        pytest.param(b" \n", {"body"}, id="spaces"),
        pytest.param(b"pause", {"body"}, id="no JSON"),
        pytest.param(PAUSE[:-1], {"body"}, id="half of it"),
        pytest.param(PAUSE + b" x", {"body"}, id="something after it"),
        pytest.param(PAUSE + PAUSE, {"body"}, id="two of them"),
        pytest.param(b"kind=transaction_batch&action=pause", {"body"}, id="a form"),
        pytest.param(b"\xff" + PAUSE, {"body"}, id="no UTF-8"),
        pytest.param(b"\xef\xbb\xbf" + PAUSE, {"body"}, id="a byte order mark"),
        pytest.param(PAUSE.decode().encode("utf-16"), {"body"}, id="UTF-16"),
        pytest.param(PAUSE.decode().encode("utf-32-be"), {"body"}, id="UTF-32"),
        pytest.param(b"\x00" + PAUSE, {"body"}, id="NUL"),
        pytest.param(b"null", {"body"}, id="null"),
        pytest.param(b"true", {"body"}, id="a boolean"),
        pytest.param(b"NaN", {"body"}, id="no number"),
        pytest.param(b'"pause"', {"body"}, id="text"),
        pytest.param(b"[" + PAUSE + b"]", {"body"}, id="a list"),
        pytest.param(b"[" * 60_000, {"body"}, id="60,000 brackets"),
        pytest.param(b"[" * 30_000 + b"]" * 30_000, {"body"}, id="a deep list"),
        pytest.param(b'{"kind":' * 7_000 + b"1" + b"}" * 7_000, {"body"}, id="a deep object"),
        pytest.param(PAUSE[:-1] + b',"n":' + b"9" * 5_000 + b"}", {"body"}, id="5,000 digits"),
        pytest.param(PAUSE[:-1] + b',"action":"pause"}', {"body"}, id="a member twice"),
        pytest.param(PAUSE[:-1] + b',"action":"cancel"}', {"body"}, id="a member twice, and otherwise"),
        pytest.param(PAUSE[:-1] + b',"\\u0061ction":"cancel"}', {"body"}, id="a member twice, once escaped"),
        pytest.param(PAUSE[:-1] + b',"x":{"a":1,"a":1}}', {"body"}, id="a member twice, inside"),
        pytest.param(PAUSE[:-1] + b',"x":1}', {"x"}, id="an unknown member"),
        pytest.param(PAUSE[:-1] + b',"Action":"pause"}', {"Action"}, id="a member in capitals"),
        pytest.param(PAUSE[:-1] + b',"jobId":"x"}', {"jobId"}, id="another job"),
        pytest.param(PAUSE[:-1] + b',"\\u0000":1}', {"\0"}, id="a member named NUL"),
        pytest.param(PAUSE[:-1] + b',"\\ud800":1}', {"\ud800"}, id="a member named half a surrogate pair"),
        pytest.param(PAUSE[:-1] + b',"__proto__":{}}', {"__proto__"}, id="a prototype"),
        pytest.param(json.dumps(dict.fromkeys(map(str, range(4_000)))).encode(), {"body"}, id="4,000 members"),
        pytest.param(b"{}", {"kind", "action"}, id="no members"),
        pytest.param(b'{"action":"pause"}', {"kind"}, id="no kind"),
        pytest.param(b'{"kind":"transaction_batch"}', {"action"}, id="no action"),
    ],
)
def test_an_invalid_body_is_400_and_names_the_bad_members(
    live: LiveService, real_store: JobStore, key: str, job_id: str, body: bytes, bad: set[str]
) -> None:
    before = real_store.get(ORG, job_id)
    answer = control(live, job_id, key, body)
    assert answer.refusal == INVALID_REQUEST
    assert answer.json()["error"]["details"].keys() == bad
    assert control(live, job_id, None, body).refusal == UNAUTHENTICATED
    assert real_store.get(ORG, job_id) == before


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        1,
        1.5,
        [],
        ["pause"],
        {},
        {"pause": 1},
        "",
        "Pause",
        "pause ",
        "pause\0",
        "explode",
        "x" * 9_000,
    ],
    ids=lambda value: f"{value!r:.20}",
)
@pytest.mark.parametrize("member", ["kind", "action"])
def test_a_member_of_the_wrong_type_or_value_is_400_and_named(
    live: LiveService, real_store: JobStore, key: str, job_id: str, member: str, value: Any
) -> None:
    body = json.loads(PAUSE) | {member: value}
    answer = control(live, job_id, key, json.dumps(body).encode())
    assert answer.refusal == INVALID_REQUEST
    assert answer.json()["error"]["details"].keys() == {member}
    assert real_store.get(ORG, job_id).rev == 1


def test_all_bad_members_are_named_at_once(live: LiveService, key: str, job_id: str) -> None:
    answer = control(live, job_id, key, b'{"kind":1,"action":2,"x":3,"y":4}')
    assert answer.json()["error"]["details"].keys() == {"kind", "action", "x", "y"}


def test_a_body_is_limited_to_64_kib(live: LiveService, real_store: JobStore, key: str, job_id: str) -> None:
    for size in (MAX_BYTES + 1, MAX_BYTES + 2, 1_000_000):
        assert control(live, job_id, key, padded(size)).refusal == PAYLOAD_TOO_LARGE
    assert real_store.get(ORG, job_id).rev == 1
    assert control(live, job_id, key, padded(MAX_BYTES)).status == 200
    assert real_store.get(ORG, job_id).rev == 2


@pytest.mark.parametrize("size", [MAX_BYTES - 1, MAX_BYTES, MAX_BYTES + 1, MAX_BYTES + 2, 200_000])
def test_a_chunked_body_is_limited_to_64_kib(
    live: LiveService, real_store: JobStore, key: str, job_id: str, size: int
) -> None:
    whole = padded(size)
    pieces = [whole[start : start + 10_000] for start in range(0, size, 10_000)]
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in [*pieces, b""])
    answer = control(live, job_id, key, chunks, "Transfer-Encoding: chunked")
    if size > MAX_BYTES:
        assert answer.refusal == PAYLOAD_TOO_LARGE
    else:
        assert answer.status == 200
    assert real_store.get(ORG, job_id).rev == (1 if size > MAX_BYTES else 2)


@pytest.mark.parametrize("content_type", ["text/plain", "application/json; charset=utf-16", "x" * 5_000, ""])
def test_a_body_is_read_as_json_whatever_its_content_type(
    live: LiveService, key: str, job_id: str, content_type: str
) -> None:
    assert control(live, job_id, key, PAUSE, f"Content-Type: {content_type}").status == 200


def test_an_unexpected_body_is_ignored(live: LiveService, key: str, job_id: str) -> None:
    path = f"/batch-import/jobs/{job_id}"
    usual = ask(live, path, key=key)
    for body in (b"{", b"x" * 100_000):
        assert ask(live, path, key=key, body=body).unnamed == usual.unnamed
