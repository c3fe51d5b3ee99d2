"""Stops asking a store that does not answer, so that callers hear so at once and nothing queues up.

The circuit breaker of Nygard's "Release It!" with one difference: no request is let through to try the store. A
thread pings it instead, and the first ping that is answered closes the breaker.
"""

import threading
from collections.abc import Callable

from batchstatus.model.errors import StoreUnavailable
from batchstatus.store import JobStore

FAILURES = 5
PROBE_EVERY_S = 0.25


class Breaker:
    """Opens after FAILURES requests in a row that the store let down, closes with the first ping it answers.

    Of a Cluster one server may be away, and only what it has: there it opens once a ping has failed as well.
    `on_change` is told, with every change, whether it is open now.
    """

    def __init__(self, store: JobStore, on_change: Callable[[bool], None]) -> None:
        self._store = store
        self._on_change = on_change
        self._lock = threading.Lock()
        self._failures = 0
        self._probing = False
        self.is_open = False
        """True while asking the store is of no use."""

    def check(self) -> None:
        """Raise StoreUnavailable while the breaker is open."""
        if self.is_open:
            raise StoreUnavailable("the store has not answered lately")

    def succeeded(self) -> None:
        """Note that the store has answered a request."""
        if self._failures and not self._probing:
            self._failures = 0

    def failed(self, _error: StoreUnavailable) -> None:
        """Note that the store has let a request down; the last of FAILURES in a row starts the probe."""
        with self._lock:
            if self._probing:
                return
            self._failures += 1
            if self._failures < FAILURES:
                return
            self._probing = True
            if not self._store.connection.has_many_servers():
                self._set(True)
            try:
                threading.Thread(target=self._probe, name="batchstatus probe", daemon=True).start()
            except RuntimeError:  # no thread is to be had, and without a probe it would stay open for ever
                self._probing = False
                self._set(False)

    def _probe(self) -> None:
        """Ping the store until it answers, then close the breaker."""
        pause = threading.Event()
        while True:
            try:
                self._store.ping()
            except Exception:  # whatever it is: a probe that died would leave the breaker open for ever
                self._set(True)
                pause.wait(PROBE_EVERY_S)
            else:
                self._failures, self._probing = 0, False
                self._set(False)
                return

    def _set(self, is_open: bool) -> None:
        if is_open is not self.is_open:
            self.is_open = is_open
            self._on_change(is_open)
