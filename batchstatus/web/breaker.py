"""Stops asking a store that does not answer, so that callers hear so at once and nothing queues up.

pybreaker counts and decides. Its `call` holds a lock for as long as what it calls takes, which would let one
request at a time wait for the store; so it is told of outcomes after the fact, and each takes no time.
"""

import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any, NoReturn

from pybreaker import STATE_OPEN, CircuitBreaker, CircuitBreakerError, CircuitBreakerListener

from batchstatus.errors import StoreUnavailable
from batchstatus.store import JobStore

FAILURES = 5
PROBE_EVERY_S = 0.25

_NEVER_S = 10**9


class Breaker(CircuitBreakerListener):
    """Opens after FAILURES requests in a row that the store let down, closes with the first ping it answers.

    Of a Cluster one server may be away, and only what it has: there it opens once a ping has failed as well.
    `on_change` is told, with every change, whether it is open now.
    """

    def __init__(self, store: JobStore, on_change: Callable[[bool], None]) -> None:
        self._store = store
        self._on_change = on_change
        self._circuit = CircuitBreaker(fail_max=FAILURES, reset_timeout=_NEVER_S, listeners=[self])
        self.is_open = False
        """Whether asking the store is of no use at the moment."""

    def check(self) -> None:
        """Raise StoreUnavailable while it is open."""
        if self.is_open:
            raise StoreUnavailable("the store has not answered lately")

    def succeeded(self) -> None:
        """The store has answered a request."""
        if self._circuit.fail_counter and not self._is_probing():
            with suppress(CircuitBreakerError):  # another request may have opened it just now
                self._circuit.call(_nothing)

    def failed(self, error: StoreUnavailable) -> None:
        """The store has let a request down."""
        if not self._is_probing():
            with suppress(StoreUnavailable, CircuitBreakerError):
                self._circuit.call(_raise, error)

    def state_change(self, cb: CircuitBreaker, old_state: Any, new_state: Any) -> None:
        """Probe the store from when the circuit opens; called by pybreaker."""
        away = new_state.name == STATE_OPEN
        if not (away and self._store.connection.has_many_servers()):
            self._set(away)
        if away:
            threading.Thread(target=self._probe, name="batchstatus probe", daemon=True).start()

    def _is_probing(self) -> bool:
        return bool(self._circuit.current_state == STATE_OPEN)

    def _set(self, is_open: bool) -> None:
        if is_open is not self.is_open:
            self.is_open = is_open
            self._on_change(is_open)

    def _probe(self) -> None:
        pause = threading.Event()
        while True:
            try:
                self._store.ping()
            except Exception:  # whatever it is: a probe that died would leave the circuit open for ever
                self._set(True)
                pause.wait(PROBE_EVERY_S)
            else:
                return self._circuit.close()


def _nothing() -> None:
    return None


def _raise(error: StoreUnavailable) -> NoReturn:
    raise error
