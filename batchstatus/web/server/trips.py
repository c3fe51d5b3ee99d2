"""Polls that arrive together share one round trip to the store.

A command of its own costs a poll three system calls and two switches of greenlets, which is more than the rest of
the poll costs. So there is one trip at a time, and reads that arrive meanwhile share the next one. Under load a
trip has many reads; a read that comes 2 ms after the last trip, or later, waits for no other.
"""

import time
from collections import deque
from contextlib import suppress
from typing import Any, NamedTuple, cast

import gevent
from gevent.event import AsyncResult

from batchstatus.model.errors import JobCorrupt, StoreUnavailable
from batchstatus.transport.connection import Connection, Hash
from batchstatus.transport.line import Line
from batchstatus.web.server.turns import others_first

MAX_SHARED = 256
"""Most reads per trip, so that none waits long for the answers to the others."""
GATHERING_S = 0.002
"""So soon after a trip a read is one of many, and waits a turn of the loop for those that come with it."""
KEPT_S = 0.1
"""How long an idle line is kept. Later it goes back to the pool, which checks a line before each use."""


class _Trip(NamedTuple):
    """The keys to read, and the future of their answers, in the same order."""

    keys: list[str]
    answers: "AsyncResult[list[Any]]"


class SharingConnection(Connection):
    """A connection for gevent whose hash reads share trips; not on a Cluster, which has many servers."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._waiting: deque[_Trip] = deque()
        self._under_way = False
        self._kept: Line | None = None
        self._used_at = 0.0

    def hash(self, key: str) -> Hash:
        """Returns the hash under a key."""
        if self.is_cluster():
            return super().hash(key)
        if not self._waiting or len(self._waiting[-1].keys) == MAX_SHARED:
            self._waiting.append(_Trip([], AsyncResult()))
        trip = self._waiting[-1]
        seat = len(trip.keys)
        trip.keys.append(key)
        if not self._under_way:
            self._under_way = True
            gevent.spawn(self._travel)
        answer = cast("list[Any]", trip.answers.get())[seat]
        if isinstance(answer, Exception):
            raise answer.with_traceback(None)  # each reader that raises it would add its own frames
        if answer is None:
            raise JobCorrupt(f"{key} is no hash")
        return cast("Hash", answer)

    def _travel(self) -> None:
        """Make trips until no read waits."""
        try:
            if time.monotonic() - self._used_at < GATHERING_S:
                others_first()  # requests that have arrived by now share the first trip
            while self._waiting:
                keys, answers = self._waiting.popleft()
                answers.set(self._ask(keys))
        finally:
            self._under_way = False

    def _ask(self, keys: list[str]) -> list[Any]:
        """Return for each key its hash, None if the key holds something else, or the error to raise."""
        try:
            with gevent.Timeout(self.settings.timeout_s, StoreUnavailable("the store took too long")):
                found = self._line().hashes(keys)
        except Exception as error:
            with suppress(Exception):  # the readers are to see the first error, not one from closing the line
                self._hang_up(broken=True)
            return [error] * len(keys)
        self._used_at = time.monotonic()
        return [*found]

    def _line(self) -> Line:
        """Return the kept line, or a new one where that was idle for long or leads to a former primary."""
        idle = time.monotonic() - self._used_at > KEPT_S
        if self._kept is None or idle or not self.leads_to(self._kept):
            self._hang_up()
            self._kept = self.line()
        return self._kept

    def _hang_up(self, *, broken: bool = False) -> None:
        kept, self._kept = self._kept, None
        if kept is not None:
            kept.close(broken=broken)
