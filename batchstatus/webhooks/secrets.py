"""The secrets of endpoints. None is stored: each is derived from a key that the operator keeps elsewhere.

Whoever reads the store, its backups or its replicas so learns no secret. HMAC-SHA256 of a random key and a name of
its own for each secret is a key derivation as in NIST SP 800-108r1 (one block of its counter mode).
"""

import hashlib
import hmac
from base64 import b64encode
from collections.abc import Sequence


class Secrets:
    """Derives secrets from the operator's key; from an older key too, for endpoints that were added with that."""

    def __init__(self, keys: Sequence[str]) -> None:
        """`keys` has the newest first, at least one."""
        self._keys = [key.encode() for key in keys]

    def newest(self, name: str) -> str:
        """Returns the secret with this name, `whsec_` and 32 bytes in base64, from the newest key."""
        return _derived(self._keys[0], name)

    def known_by(self, print_: str, name: str) -> str | None:
        """Returns the secret with this name and fingerprint; None if no key is the one that it was made with."""
        secrets = (_derived(key, name) for key in self._keys)
        return next((each for each in secrets if fingerprint(each) == print_), None)


def fingerprint(secret: str) -> str:
    """Returns what tells a secret from others, and says nothing about it: 8 hex digits."""
    return hashlib.sha256(secret.encode()).hexdigest()[:8]


def _derived(key: bytes, name: str) -> str:
    derived = hmac.digest(key, f"batchstatus webhook secret {name}".encode(), "sha256")
    return f"whsec_{b64encode(derived).decode()}"
