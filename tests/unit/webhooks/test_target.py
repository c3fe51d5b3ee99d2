"""Which URLs of endpoints are taken, and which addresses are public."""

import ipaddress
from typing import Any

import pytest

from batchstatus import InvalidValue
from batchstatus.webhooks.sending import checked_url
from batchstatus.webhooks.target import is_public, target_of

STRICT = {"allow_private": False, "allow_http": False}
LAX = {"allow_private": True, "allow_http": True}


def refusal(url: str, **rules: bool) -> str:
    """Returns the message with which a URL is refused."""
    with pytest.raises(InvalidValue) as raised:
        checked_url(url, **{**STRICT, **rules})
    return str(raised.value)


@pytest.mark.parametrize(
    "url",
    [
        "https://hooks.example.com",
        "https://hooks.example.com/imports/0199?token=a%20b&x=~",
        "https://HOOKS.example.com:8443/",
        "https://xn--bcher-kva.example/",
        "https://my_hooks.example.com/",
        "https://8.8.8.8/",
        "https://[2606:4700::1111]:443/hooks",
        "https://hooks.example.com/" + "a" * (2000 - 26),
    ],
)
def test_a_url_of_a_public_receiver_is_taken_as_it_is(url: str) -> None:
    assert checked_url(url, **STRICT) == url


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("http://hooks.example.com/", "is not https"),
        ("ftp://hooks.example.com/", "does not begin with https://"),
        ("hooks.example.com/imports", "does not begin with https://"),
        ("https:hooks.example.com", "no host"),
        ("https:///imports", "no host"),
        ("", "is not ASCII without spaces"),
        ("https://", "no host"),
        ("https://:443/", "no host"),
        ("https://hooks..example.com/", "malformed"),
        ("https://hooks.example.com./", "malformed"),
        ("https://-hooks.example.com/", "malformed"),
        ("https://" + "a" * 64 + ".example.com/", "malformed"),
        ("https://hooks.example.com:/", "malformed"),
        ("https://hooks.example.com:https/", "malformed"),
        ("https://hooks.example.com\\.evil.test/", "malformed"),
        ("https://[::1/", "is no URL"),
        ("https://[fe80::1%25eth0]/", "malformed"),
        ("https://[2606:4700::1111]evil.test/", "malformed"),
        ("https://[2606:4700:::1111]/", "is no URL"),
        ("https://hooks.example.com:0/", "has the port 0"),
        ("https://hooks.example.com:65536/", "has the port 65536"),
        ("https://hooks.example.com/#top", "has a fragment"),
        ("https://hooks.example.com/#", "has a fragment"),
        ("https://hooks.example.com/a b", "is not ASCII without spaces"),
        (" https://hooks.example.com/", "is not ASCII without spaces"),
        ("https://hooks.example.com/\r\nHost: evil.test", "is not ASCII without spaces"),
        ("https://hooks.exa\tmple.com/", "is not ASCII without spaces"),
        ("https://hooks.example.com/\x00", "is not ASCII without spaces"),
        ("https://bücher.example/", "xn--"),
        ("https://hooks.example.com/bücher", "with %"),
        ("https://hooks.example.com/" + "a" * 1975, "is longer than 2,000 characters"),
    ],
)
def test_a_malformed_url_is_refused_with_what_is_wrong(url: str, said: str) -> None:
    assert said in refusal(url)
    assert len(refusal(url).splitlines()) == 1


def test_a_password_is_refused_and_not_repeated() -> None:
    assert "has a user or password" in refusal("https://acme:s3cret@hooks.example.com/")
    for url in ("https://acme:s3cret@hooks.example.com/", "https://acme:\ns3cret@hooks.example.com/"):
        assert "s3cret" not in refusal(url)


@pytest.mark.parametrize(
    "host",
    [
        *("127.0.0.1", "10.0.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0", "224.0.0.1"),
        *("2130706433", "0x7f000001", "0x7f.1", "0177.0.0.1", "127.1", "0"),
        *("[::1]", "[::]", "[::ffff:127.0.0.1]", "[64:ff9b::127.0.0.1]", "[fd00::1]", "[fe80::1]"),
        *("localhost", "LOCALHOST", "hooks.localhost"),
    ],
)
def test_a_private_address_is_refused_however_it_is_spelled_unless_allowed(host: str) -> None:
    url = f"https://{host}/imports"
    assert "leads to a private address" in refusal(url)
    assert checked_url(url, allow_private=True, allow_http=False) == url


def test_plain_http_and_private_addresses_are_allowed_apart_from_each_other() -> None:
    assert checked_url("http://hooks.example.com/", allow_private=False, allow_http=True)
    assert "private" in refusal("http://10.0.0.1/", allow_http=True)
    assert "not https" in refusal("http://10.0.0.1/", allow_private=True)


@pytest.mark.parametrize(
    ("url", "parts"),
    [
        ("https://Hooks.example.com", ("https", "hooks.example.com", "hooks.example.com", 443, "/")),
        ("HTTP://a.example:8080?b=c", ("http", "a.example:8080", "a.example", 8080, "/?b=c")),
        (
            "https://[2606:4700::1111]:8443//x?",
            ("https", "[2606:4700::1111]:8443", "2606:4700::1111", 8443, "//x"),
        ),
    ],
)
def test_a_url_is_read_as_host_port_and_path(url: str, parts: tuple[Any, ...]) -> None:
    target = target_of(url, **LAX)
    assert (target.scheme, target.authority, target.host, target.port, target.path) == parts


@pytest.mark.parametrize(
    "address",
    [
        *("8.8.8.8", "1.1.1.1", "2606:4700::1111", "2a00:1450:4001:81b::200e"),
        *("::ffff:8.8.8.8", "64:ff9b::8.8.8.8"),
    ],
)
def test_addresses_of_the_internet_are_public(address: str) -> None:
    assert is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize(
    "address",
    [
        # this host, private, link-local (cloud metadata), carrier-grade NAT, loopback
        *("0.0.0.0", "0.1.2.3", "10.0.0.1", "172.16.0.1", "192.168.0.1", "169.254.169.254", "100.64.0.1"),
        *("127.0.0.1", "127.255.255.254", "::", "::1", "fe80::1", "fe80::1%1", "fec0::1", "fc00::1", "fd12::1"),
        # documentation, benchmarks, reserved, multicast, broadcast
        *("192.0.2.1", "198.51.100.1", "203.0.113.1", "198.18.0.1", "192.0.0.1", "240.0.0.1", "255.255.255.255"),
        *("224.0.0.1", "239.255.255.255", "ff02::1", "ff0e::1", "2001:db8::1", "100::1", "4000::1"),
        # an IPv4 address inside: mapped, compatible, NAT64 (well-known and local prefix), 6to4, Teredo
        *("::ffff:127.0.0.1", "::ffff:169.254.169.254", "::127.0.0.1", "::8.8.8.8", "64:ff9b::10.0.0.1"),
        *("64:ff9b:1::8.8.8.8", "2002:7f00:1::1", "2002:808:808::1", "2001:0:808:808::1"),
    ],
)
def test_all_other_addresses_are_not(address: str) -> None:
    assert not is_public(ipaddress.ip_address(address))
