"""Polls that arrive together share one trip to the store.

A command alone costs a poll three system calls and the wake-up of a greenlet on either side of them, which is more
than all else that a poll costs. Here there is one trip at a time: whoever asks while one is under way gets on the
next. Under load there are many to a trip; a poll that is alone waits for nobody.
"""

import time
from collections import deque
from contextlib import suppress
from typing import Any, NamedTuple, cast

import gevent
from gevent.event import AsyncResult

from batchstatus.errors import JobCorrupt, StoreUnavailable
from batchstatus.transport.connection import Connection, Hash
from batchstatus.transport.line import Line
from batchstatus.web.server.turns import others_first

MAX_SHARED = 256
"""The most that are on one trip, so that none waits long for the answers to the others."""
KEPT_S = 0.1
"""How long a line may lie idle before it is given back, to be looked at by the pool before it is used again."""


class _Trip(NamedTuple):
    """The keys of those who are on it, and what becomes the answers, in the same order."""

    keys: list[str]
    answers: "AsyncResult[list[Any]]"


class SharingConnection(Connection):
    """A connection whose hash reads share trips. For a gevent worker; not on a Cluster, which has many servers."""

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
            raise answer.with_traceback(None)  # the others' traces would be added to it
        if answer is None:
            raise JobCorrupt(f"{key} is no hash")
        return cast("Hash", answer)

    def _travel(self) -> None:
        """Make trips for as long as anyone waits."""
        try:
            others_first()  # whoever has sent a request by now gets on as well
            while self._waiting:
                keys, answers = self._waiting.popleft()
                answers.set(self._ask(keys))
        finally:
            self._under_way = False

    def _ask(self, keys: list[str]) -> list[Any]:
        """The hashes under these keys, or the errors that whoever asked for them is to get."""
        try:
            with gevent.Timeout(self.settings.timeout_s, StoreUnavailable("the store took too long")):
                found = self._line().hashes(keys)
        except Exception as error:
            with suppress(Exception):  # whatever it is: those on the trip have to hear of the first trouble
                self._hang_up(broken=True)
            return [error] * len(keys)
        self._used_at = time.monotonic()
        return [*found]

    def _line(self) -> Line:
        """The line that is kept, unless it may be broken, or another server is the primary by now."""
        idle = time.monotonic() - self._used_at > KEPT_S
        if self._kept is None or idle or not self.leads_to(self._kept):
            self._hang_up()
            self._kept = self.line()
        return self._kept

    def _hang_up(self, *, broken: bool = False) -> None:
        kept, self._kept = self._kept, None
        if kept is not None:
            kept.close(broken=broken)
