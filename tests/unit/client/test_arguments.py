"""What a client may be made with: URLs, keys and times."""

from typing import Any, cast

import pytest

from batchstatus.client import Client
from batchstatus.client import client as module
from batchstatus.model.errors import InvalidValue, ServiceUnavailable
from tests.unit.client.service import KEY, Server


@pytest.mark.parametrize(
    "url",
    [
        "",
        "api.example.com",
        "ftp://api.example.com",
        "http://",
        "http://:8080",
        "http://api.example.com:port",
        "http://api.example.com:70000",
        "http://api example.com",
        "http://api..example.com",
        "http://[::1",
        "http://api.example.com?x=1",
        "http://api.example.com/#top",
    ],
)
def test_a_malformed_url_is_refused_and_named(url: str) -> None:
    with pytest.raises(InvalidValue) as caught:
        Client(url, KEY)
    assert repr(url) in str(caught.value)


def test_a_url_with_a_password_is_refused_without_showing_the_password() -> None:
    with pytest.raises(InvalidValue, match=r"//…@api\.example\.com") as caught:
        Client("https://me:hunter2@api.example.com", KEY)
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    "url", ["http://[::1]:8080", "HTTPS://bücher.example/imports", "https://10.0.0.1:443/a/b/"]
)
def test_unusual_urls_are_accepted(url: str) -> None:
    Client(url, KEY)


def test_an_https_url_sends_nothing_in_the_clear(server: Server) -> None:
    with (
        Client(server.url.replace("http:", "https:"), KEY) as client,
        pytest.raises(ServiceUnavailable, match="SSL"),
    ):
        client.get("J")
    assert server.requests == []


@pytest.mark.parametrize(
    "key", ["", "bsk secret", "bsk_secret\r\nX-Evil: 1", "bsk_secret\n", "bsk_sécret", "bsk_\x00"]
)
def test_a_key_that_no_header_can_carry_is_refused_without_showing_it(key: str) -> None:
    with pytest.raises(InvalidValue) as caught:
        Client("https://api.example.com", key)
    assert not key or key not in str(caught.value)


@pytest.mark.parametrize(
    "times", [{"timeout_s": 0}, {"timeout_s": float("nan")}, {"timeout_s": float("inf")}, {"give_up_s": -1}]
)
def test_impossible_times_are_refused(times: dict[str, float]) -> None:
    with pytest.raises(InvalidValue, match=next(iter(times))):
        Client("https://api.example.com", KEY, **times)


def test_the_client_uses_the_real_clock() -> None:
    names = {"sleep": "time", "monotonic": "time"}
    assert {name: cast(Any, module.__dict__[name]).__module__ for name in names} == names
