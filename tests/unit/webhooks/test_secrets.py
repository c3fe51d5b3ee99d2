"""The secrets of endpoints, which are derived and never stored."""

import base64

from batchstatus.webhooks.secrets import Secrets, fingerprint

OLD, NEW = "o" * 32, "n" * 32


def test_a_secret_is_32_bytes_in_base64_as_standard_webhooks_has_them():
    prefix, _, encoded = Secrets([NEW]).newest("org.e1:1").partition("_")
    assert (prefix, len(base64.b64decode(encoded, validate=True))) == ("whsec", 32)


def test_the_same_key_and_name_give_the_same_secret_and_any_other_another():
    secrets = {Secrets([key]).newest(name) for key in (OLD, NEW) for name in ("org.e1:1", "org.e1:2", "org.e2:1")}
    assert len(secrets) == 6
    assert Secrets([NEW]).newest("org.e1:1") in secrets


def test_a_secret_is_found_by_its_fingerprint_with_the_key_that_it_was_made_with():
    secret = Secrets([OLD]).newest("org.e1:1")
    assert Secrets([NEW, OLD]).known_by(fingerprint(secret), "org.e1:1") == secret
    assert Secrets([NEW, OLD]).newest("org.e1:1") != secret
    assert Secrets([NEW]).known_by(fingerprint(secret), "org.e1:1") is None
    assert Secrets([OLD]).known_by(fingerprint(secret), "org.e1:2") is None
