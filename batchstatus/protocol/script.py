"""Loads a script from `lua/` and runs it."""

import hashlib
from collections.abc import Sequence
from importlib.resources import files
from typing import Any

from batchstatus.errors import JobNotFound
from batchstatus.model import Place
from batchstatus.protocol import hashes
from batchstatus.transport.connection import Connection


class Unplaced(Exception):
    """A job is about to come into a status, and has to be placed in its index first. Nothing was written."""

    def __init__(self, place: Place) -> None:
        super().__init__(place)
        self.place = place


class Script:
    """A script by its verb, loaded once; calling it runs it and gives the answer's word and the rest."""

    def __init__(self, verb: str, *, durable: bool = True) -> None:
        self._durable = durable
        self.source = files("batchstatus.protocol").joinpath("lua", f"{verb}.lua").read_text("utf-8")
        self._sha1 = hashlib.sha1(self.source.encode(), usedforsecurity=False).hexdigest()

    def __call__(
        self, connection: Connection, keys: Sequence[str], *arguments: str | int
    ) -> tuple[str, list[Any]]:
        """Run the script; JobNotFound if it found no job, Unplaced if the job must be placed in an index first."""
        word, *rest = connection.evaluate(self._sha1, self.source, keys, arguments, durable=self._durable)
        if word == b"NOT_FOUND":
            raise JobNotFound("there is no such job")
        if word == b"PLACE":
            raise Unplaced(hashes.place(*rest))
        return word.decode(), rest
