"""Receivers that speak TLS, rightly and wrongly."""

import ssl
from pathlib import Path
from typing import Any

import pytest

from batchstatus import InvalidValue
from batchstatus.embedded.encrypted import Certificates
from batchstatus.webhooks.sending import Answer, Sender
from tests.support.receivers import (
    HOST,
    Behaviour,
    Receiver,
    answers,
    closes_at_once,
    drips,
    drips_at_once,
    reads_nothing,
    receiver,
    refuses_unread,
    says,
)
from tests.unit.webhooks.posting import BODY, HEADERS, IN_TIME, NAME, SHORT_S, Names, post_briefly


def post_encrypted(r: Receiver, host: str, **settings: Any) -> Answer:
    return Sender(allow_private=True, **settings).post(r.url_for(host), HEADERS, BODY)


def test_a_receiver_is_told_its_name_and_its_certificate_is_checked(
    names: Names, certificates: Certificates
) -> None:
    names.known[NAME] = [[HOST]]
    with receiver(answers(204), certificates) as r:
        assert post_encrypted(r, NAME, ca_file=certificates.ca) == Answer(204, "HTTP 204")
        assert (r.names, r.requests[0].body) == ([NAME], BODY)
        assert r.requests[0].header("host") == f"{NAME}:{r.port}"


def test_a_receiver_may_have_a_certificate_for_its_address(certificates: Certificates) -> None:
    with receiver(answers(204), certificates) as r:
        assert post_encrypted(r, HOST, ca_file=certificates.ca).delivered


def test_a_large_body_arrives_over_tls(certificates: Certificates) -> None:
    body = bytes(range(256)) * 4096
    with receiver(answers(204), certificates) as r:
        sender = Sender(allow_private=True, ca_file=certificates.ca)
        assert sender.post(r.url, HEADERS, body).delivered
        assert r.requests[0].body == body


def test_a_certificate_for_another_name_is_refused(names: Names, certificates: Certificates) -> None:
    names.known["other.test"] = [[HOST]]
    with receiver(answers(204), certificates) as r:
        answer = post_encrypted(r, "other.test", ca_file=certificates.ca)
        assert r.requests == []
    reason = "the certificate is not valid: Hostname mismatch, certificate is not valid for 'other.test'"
    assert answer == Answer(None, reason)


def test_a_certificate_that_has_expired_is_refused(expired: Certificates) -> None:
    with receiver(answers(204), expired) as r:
        answer = post_encrypted(r, HOST, ca_file=expired.ca)
        assert r.requests == []
    assert answer == Answer(None, "the certificate is not valid: certificate has expired")


def test_a_certificate_of_an_unknown_authority_is_refused(certificates: Certificates) -> None:
    with receiver(answers(204), certificates) as r:
        answer = post_encrypted(r, HOST)
        assert r.requests == []
    assert answer.status is None
    assert answer.reason.startswith("the certificate is not valid: ")


def test_a_certificate_that_signs_itself_is_refused(certificates: Certificates) -> None:
    itself = Certificates(certificates.ca, certificates.ca, certificates.ca.replace(".crt", ".key"))
    with receiver(answers(204), itself) as r:
        assert post_encrypted(r, HOST) == Answer(None, "the certificate is not valid: self-signed certificate")


def test_an_old_version_of_tls_is_refused(certificates: Certificates) -> None:
    with receiver(answers(204), certificates) as r:
        assert r.tls is not None
        with pytest.warns(DeprecationWarning, match="TLSv1_1"):
            r.tls.maximum_version = ssl.TLSVersion.TLSv1_1
        r.tls.set_ciphers("ALL:@SECLEVEL=0")
        answer = post_encrypted(r, HOST, ca_file=certificates.ca)
    assert answer.status is None
    assert answer.reason.startswith("TLS failed: ")


@pytest.mark.parametrize(
    ("behaviour", "reason"),
    [
        (reads_nothing, IN_TIME),
        (drips_at_once(b"\x16\x03\x03\x40\x00\x02\x00\x3f\xfc" + bytes(16_000)), IN_TIME),
        (refuses_unread, "TLS failed: WRONG_VERSION_NUMBER"),
        (closes_at_once, None),
    ],
    ids=["hangs", "drips", "speaks plain HTTP", "closes"],
)
def test_a_receiver_that_does_not_get_through_the_handshake_gives_no_answer(
    behaviour: Behaviour, reason: str | None
) -> None:
    with receiver(behaviour) as r:
        answer = post_briefly(r.url.replace("http:", "https:"))
    assert answer.status is None
    assert reason in (None, answer.reason)


def test_whoever_drips_an_answer_over_tls_is_left_in_time(certificates: Certificates) -> None:
    with receiver(drips(b"HTTP/1.1 200 OK\r\nX-Drip: " + b"a" * 1000), certificates) as r:
        assert post_encrypted(r, HOST, ca_file=certificates.ca, timeout_s=SHORT_S) == Answer(None, IN_TIME)


def test_an_answer_over_tls_that_is_cut_short_is_none(certificates: Certificates) -> None:
    with receiver(says(b"HTTP/1.1 200 OK\r\n"), certificates) as r:
        answer = post_encrypted(r, HOST, ca_file=certificates.ca)
    assert answer == Answer(None, "closed the connection in the middle of an answer")


def test_a_file_without_authorities_is_refused_at_once(tmp_path: Path) -> None:
    empty = tmp_path / "empty.pem"
    empty.touch()
    for path in (str(empty), str(tmp_path / "missing.pem")):
        with pytest.raises(InvalidValue, match=f"^ca_file '{path}' has no certificates that can be read: "):
            Sender(ca_file=path)
