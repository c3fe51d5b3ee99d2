"""A request arrives as it was given, on a connection of its own."""

import pytest

from batchstatus import InvalidValue
from batchstatus.webhooks.sending import Sender
from tests.support.receivers import HOST, answers, in_turn, receiver
from tests.unit.webhooks.posting import BODY, HEADERS, post


def test_the_body_arrives_byte_for_byte() -> None:
    body = bytes(range(256)) * 1024
    with receiver(answers(204)) as r:
        assert post(r, body).delivered
        assert r.requests[0].body == body


def test_an_empty_body_is_one() -> None:
    with receiver(answers(204)) as r:
        assert post(r, b"").delivered
        assert r.requests[0].header("content-length") == "0"


def test_each_header_arrives_once_with_those_that_every_request_needs() -> None:
    with receiver(answers(204)) as r:
        assert post(r, headers={**HEADERS, "Webhook-Signature": "v1,abc= v1,def="}).delivered
        (request,) = r.requests
    assert request.line == "POST /imports?from=acme HTTP/1.1"
    assert request.headers == [
        ("host", f"{HOST}:{r.port}"),
        ("content-length", str(len(BODY))),
        ("connection", "close"),
        ("content-type", "application/json"),
        ("webhook-id", "msg_1"),
        ("webhook-signature", "v1,abc= v1,def="),
    ]


@pytest.mark.parametrize(
    "headers",
    [
        {"x": "a\r\nHost: evil.test"},
        {"x": "a\r\n folded"},
        {"x": "a\nb"},
        {"x": "a\x00b"},
        {"x": "bücher"},
        {"x": ""},
        {"x": " a"},
        {"x\r\nHost": "evil.test"},
        {"x y": "a"},
        {"x:": "a"},
        {"": "a"},
        {"x": "a", "X": "b"},
        {"host": "evil.test"},
        {"Content-Length": "0"},
    ],
)
def test_headers_that_could_be_read_as_others_are_refused_and_nothing_is_sent(headers: dict[str, str]) -> None:
    with receiver(answers(204)) as r:
        with pytest.raises(InvalidValue, match=r"^header "):
            post(r, headers=headers)
        assert r.connections == 0


def test_each_try_has_a_connection_of_its_own() -> None:
    sender = Sender(allow_private=True, allow_http=True)
    with receiver(in_turn(answers(500), answers(204))) as r:
        assert [sender.post(r.url, HEADERS, BODY).status for _ in range(3)] == [500, 204, 204]
        assert r.connections == 3


def test_proxies_of_the_environment_are_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    with receiver(answers(204)) as r, receiver(answers(200)) as proxy:
        for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "HTTPS_PROXY", "all_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.url)
        assert post(r).status == 204
        assert proxy.connections == 0
