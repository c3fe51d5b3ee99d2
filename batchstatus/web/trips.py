"""Polls that arrive together share one trip to the store.

A command alone costs a poll three system calls and the wake-up of a greenlet on either side of them, which is more
than all else that a poll costs. Here the first poll of a turn of gevent's hub orders a trip, those that follow in
the same turn get on, and the trip sets out with the next turn. Under load there are many to a trip; a
poll that is alone waits for nobody.
"""

from typing import Any

import gevent
from gevent.event import AsyncResult

from batchstatus.connection import Connection
from batchstatus.errors import StoreUnavailable

MAX_SHARED = 256
"""The most commands of one trip, so that none waits long for the answers to the others."""


class SharingConnection(Connection):
    """A connection whose `HGETALL`s share trips. For a gevent worker; not on a Cluster, which has many servers."""

    def __init__(self, *arguments: Any, timeout_s: float, **options: Any) -> None:
        super().__init__(*arguments, timeout_s=timeout_s, **options)
        self._timeout_s = timeout_s
        self._waiting: list[tuple[tuple[Any, ...], AsyncResult[Any]]] = []

    def command(self, *words: Any) -> Any:
        """One command; the answer as RESP2 gives it."""
        if words[0] != "HGETALL" or self.is_cluster:
            return super().command(*words)
        if not self._waiting:
            gevent.spawn(self._set_out)
        answer: AsyncResult[Any] = AsyncResult()
        self._waiting.append((words, answer))
        return answer.get()

    def _set_out(self) -> None:
        waiting, self._waiting = self._waiting[:MAX_SHARED], self._waiting[MAX_SHARED:]
        if self._waiting:
            gevent.spawn(self._set_out)
        try:
            with gevent.Timeout(self._timeout_s, StoreUnavailable("the store took too long")):
                answers = self.pipeline([words for words, _ in waiting])
        except Exception as error:
            answers = [error] * len(waiting)
        for (_, answer), found in zip(waiting, answers, strict=True):
            if isinstance(found, Exception):
                answer.set_exception(found)
            else:
                answer.set(found)
