"""Whose turn it is to work off an index: of many processes one looks, so that idle ones cost next to nothing.

The turn is a short lease in the store. Nothing depends on it but cost: one that cannot ask for the turn looks.
"""

import logging
import random
import secrets
import threading
import time
from collections.abc import Callable

from batchstatus.model.errors import JobCorrupt, StoreUnavailable
from batchstatus.protocol import verbs
from batchstatus.transport.connection import Connection

WITHOUT_S = 10.0
"""How long to look without asking for the turn, after it could not be had: its server may hang."""

LEFT_S = 60.0
"""How long not to ask for the turn, after it was left to others."""

JITTER_S = 0.1
"""How far apart those are that wait for the end of a turn."""

_log = logging.getLogger(__name__)


class Turn:
    """A process's turn at one index, for `lasts_s` (seconds) at a time. For one thread."""

    def __init__(self, connection: Connection, key: str, lasts_s: float) -> None:
        self._connection = connection
        self._key = key
        self._lasts_ms = round(lasts_s * 1000)
        self._token = secrets.token_hex(8)
        self._is_ours = False
        self._ask_at_s = self._left_until_s = 0.0

    def others_s(self) -> float:
        """Returns how long another process has the turn (seconds); 0 if it is ours now, or cannot be asked for."""
        now_s = time.monotonic()
        if now_s < self._ask_at_s:
            return 0.0
        try:
            return (self._left_ms() if now_s < self._left_until_s else self._others_ms()) / 1000
        except (StoreUnavailable, JobCorrupt):
            self._ask_at_s = time.monotonic() + WITHOUT_S
            return 0.0

    def leave(self) -> None:
        """Leave the turn for a while to others, who may know what this process does not. Look if none has it."""
        self._is_ours, self._left_until_s = False, time.monotonic() + LEFT_S

    def _others_ms(self) -> int:
        # Who does not have the turn only looks when it ends, with the cheapest of commands.
        left_ms = 0 if self._is_ours else self._left_ms()
        if left_ms == 0:
            self._is_ours = verbs.turn(self._connection, (self._key,), self._token, self._lasts_ms)
            left_ms = 0 if self._is_ours else self._left_ms()
        return left_ms

    def _left_ms(self) -> int:
        """Returns how long the key is there; 0 if for longer than a turn lasts: nobody may have it for ever."""
        left_ms = int(self._connection.command("PTTL", self._key))
        return left_ms if 0 < left_ms <= self._lasts_ms else 0


class Rounds:
    """Repeats a task of `who` in a daemon thread (a greenlet in a gevent worker), whenever the turn is ours."""

    def __init__(self, who: str, task: Callable[[], object], interval_s: float, turn: Turn) -> None:
        self._who = who
        self._task = task
        self._interval_s = interval_s
        self._turn = turn
        self._stop = threading.Event()
        name = f"batchstatus {who}: {task.__name__}"
        self._thread = threading.Thread(target=self._repeat, name=name, daemon=True)

    def start(self) -> None:
        """Repeat the task from now on."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread, after its current task."""
        self._stop.set()
        self._thread.join()

    def _repeat(self) -> None:
        away, wait_s = False, self._interval_s
        while not self._stop.wait(wait_s):
            wait_s = self._interval_s
            try:
                # Without the turn after a failure: another process may be better off, and takes the turn.
                if not away and (others_s := self._turn.others_s()):
                    wait_s = others_s + random.uniform(0, JITTER_S)
                    continue
                self._task()
            except Exception as error:  # whatever the error, the next time may be well
                if not away:
                    _log.warning("the %s cannot %s: %s", self._who, self._task.__name__, error)
                away = True
            else:
                away = False
