"""Options for TLS: what is refused, in one line that names the file; and how many connections open at once."""

import os
import threading

import pytest

from batchstatus import InvalidValue, connect
from batchstatus.transport.tls import HANDSHAKES, Tls

TLS_URLS = ("rediss://h", "valkeys://h", "rediss+sentinel://h/mymaster", "rediss+cluster://h")
PLAIN_URLS = ("redis://h", "valkey://h", "unix:///s", "redis+sentinel://h/mymaster", "redis+cluster://h")


@pytest.mark.parametrize("url", TLS_URLS)
def test_a_missing_file_is_named(url, tmp_path):
    missing = str(tmp_path / "missing.pem")
    for refused, words in (
        (lambda: connect(url, tls_ca_file=missing), "CA file"),
        (lambda: connect(f"{url}?ssl_ca_certs={missing}"), "CA file"),
        (lambda: connect(url, tls_cert_file=missing), "certificate file"),
    ):
        with pytest.raises(
            InvalidValue, match=f"^the store's TLS: {words} '{missing}' cannot be read: No such file"
        ):
            refused()


@pytest.mark.parametrize("url", TLS_URLS)
def test_a_file_that_holds_no_certificate_is_named(url, tmp_path):
    empty = tmp_path / "empty.pem"
    empty.write_text("nothing")
    with pytest.raises(InvalidValue, match=f"^the store's TLS: CA file '{empty}' holds no certificate"):
        connect(url, tls_ca_file=str(empty))
    with pytest.raises(InvalidValue, match=f"^the store's TLS: certificate file '{empty}'"):
        connect(url, tls_cert_file=str(empty))


@pytest.mark.parametrize(
    "option",
    ["ssl_cert_reqs=nonsense", "ssl_ciphers=nonsense", "ssl_include_verify_flags=nonsense", "ssl_nonsense=1"],
)
@pytest.mark.parametrize("url", TLS_URLS)
def test_an_option_of_no_meaning_is_refused_in_one_line(url, option):
    with pytest.raises(InvalidValue, match=option.partition("=")[0]) as refused:
        connect(f"{url}?{option}")
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("url", [*TLS_URLS[2:], *PLAIN_URLS[3:]])
@pytest.mark.parametrize("option", ["socket_timeout=3", "client_name=me", "nonsense=1", "nonsense", "db=1"])
def test_an_option_that_a_url_of_many_servers_would_drop_is_refused(url, option):
    with pytest.raises(InvalidValue, match=f"^the store's URL has an option '{option.partition('=')[0]}'"):
        connect(f"{url}?{option}")


@pytest.mark.parametrize("url", PLAIN_URLS)
def test_options_for_tls_are_refused_where_nothing_is_encrypted(url):
    refusal = "^the store's URL is not encrypted; options for TLS need one of rediss://"
    for refused in (lambda: connect(url, tls_ca_file=__file__), lambda: connect(f"{url}?ssl_cert_reqs=none")):
        with pytest.raises(InvalidValue, match=refusal):
            refused()


def test_a_file_is_named_once(tmp_path):
    with pytest.raises(InvalidValue, match=r"^tls_ca_file and ssl_ca_certs .* say the same"):
        connect(f"rediss://h?ssl_ca_certs={tmp_path}", tls_ca_file=str(tmp_path))


@pytest.mark.parametrize("url", ["redis://h", "rediss://h", "redis+cluster://h"])
def test_a_login_for_sentinels_needs_sentinels(url):
    with pytest.raises(InvalidValue, match=r"^sentinel_username and sentinel_password need"):
        connect(url, sentinel_password="s3cret")


def test_a_few_connections_are_opened_at_once():
    tls, inside, most, lock = Tls({}, 10), 0, [], threading.Lock()

    def open_one() -> None:
        nonlocal inside
        with tls.turn():
            with lock:
                inside += 1
                most.append(inside)
            if len(most) >= HANDSHAKES:
                full.set()
            assert full.wait(10)
            with lock:
                inside -= 1

    full = threading.Event()
    threads = [threading.Thread(target=open_one) for _ in range(5 * HANDSHAKES)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (max(most), len(most)) == (HANDSHAKES, 5 * HANDSHAKES)


def test_a_connection_waits_for_its_turn_no_longer_than_it_may_take():
    tls = Tls({}, 0.01)
    turns = [tls.turn() for _ in range(HANDSHAKES)]
    for turn in turns:
        turn.__enter__()
    with pytest.raises(TimeoutError, match="too many connections"):
        tls.turn().__enter__()
    turns[0].__exit__(None, None, None)
    with tls.turn():
        pass


def test_turns_that_were_taken_at_a_fork_are_free_in_the_child():
    tls = Tls({}, 0.01)
    turns = [tls.turn() for _ in range(HANDSHAKES)]
    for turn in turns:
        turn.__enter__()
    child = os.fork()
    if child == 0:
        with tls.turn():
            os._exit(0)
    assert os.waitpid(child, 0) == (child, 0)
