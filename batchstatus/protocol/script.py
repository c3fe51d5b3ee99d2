"""Runs a script of `lua/` in the store."""

import hashlib
import re
from collections.abc import Sequence
from importlib.resources import files
from typing import Any, Protocol

from batchstatus.model.errors import InvalidValue, JobNotFound
from batchstatus.settings import StoreSettings


class Sender(Protocol):
    """Sends scripts: a Connection, or `batchstatus.protocol.at_once`, which sends index entries along."""

    @property
    def settings(self) -> StoreSettings:
        """How the store is used."""

    def evaluate(
        self, sha1: str, source: str, keys: Sequence[str], arguments: Sequence[Any], *, durable: bool = True
    ) -> Any:
        """Run a script; a `durable` one obeys `min_replicas`."""

    def confirm(self, keys: Sequence[str], ttl_ms: int) -> None:
        """Make sure that the server still has its replicas."""


def load(verb: str, package: str = "batchstatus.protocol") -> str:
    """Returns the text of a script, from the folder `lua` of a package."""
    return files(package).joinpath("lua", f"{verb}.lua").read_text("utf-8")


def digest(source: str) -> str:
    """Returns the hash by which a server knows a script."""
    return hashlib.sha1(source.encode(), usedforsecurity=False).hexdigest()


def argument(source: str, name: str) -> int | None:
    """Returns the number of an argument, as the script's head has it; None if it has no such argument."""
    found = re.search(rf"^-- +(\d+) +{name} ", source, re.MULTILINE)
    return None if found is None else int(found[1])


class Script:
    """A script by its verb, loaded once. Calling it runs it, and returns the answer's word and the rest."""

    def __init__(self, verb: str, *, durable: bool = True, package: str = "batchstatus.protocol") -> None:
        self._durable = durable
        self.source = load(verb, package)
        self._sha1 = digest(self.source)

    def __call__(self, sender: Sender, keys: Sequence[str], *arguments: str | int) -> tuple[str, list[Any]]:
        """Run the script; JobNotFound if there is no job, InvalidValue if it refuses an argument."""
        word, *rest = sender.evaluate(self._sha1, self.source, keys, arguments, durable=self._durable)
        if word == b"NOT_FOUND":
            raise JobNotFound("there is no such job")
        if word == b"INVALID":
            raise InvalidValue(f"the store refused {rest[0].decode()}: it cannot be that; nothing was written")
        return word.decode(), rest
