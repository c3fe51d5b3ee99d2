"""The options of a run, checked once and frozen."""

from dataclasses import dataclass
from typing import TypeAlias

from batchstatus.model import values
from batchstatus.model.errors import InvalidValue

Exceptions: TypeAlias = type[Exception] | tuple[type[Exception], ...]
"""An exception class, or several, as `isinstance` takes them."""


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """How a run waits, reports and gives up. InvalidValue names a wrong option.

    - `wait_s`: how long claiming waits for another worker's lease to run out (seconds). A store that does not
      answer is asked again for at least 5 s, because it may have granted the claim, before StoreUnavailable.
    - `stall_s`: without a call for this long the lease is no longer renewed (seconds; None: always renewed).
    - `give_up_s`: how long leaving waits for a store that is away, before StoreUnavailable says which rows
      were not delivered (seconds).
    - `flush_s`: how often counted rows are reported (seconds).
    - `flush_rows`: how many waiting failed and skipped rows are reported sooner.
    - `max_waiting_rows`: how many failed and skipped rows may wait in memory; beyond that, counting blocks.
    - `hand_back`: errors after which a queue tries again, such as `(ConnectionError,)`. With one of them the
      block gives the lease back, where the job has a takeover window, instead of ending the job as `failed`;
      the error goes on. `Run.attempt` shows how to end the job with the last try.
    """

    wait_s: float = 0
    stall_s: float | None = None
    give_up_s: float = 60
    flush_s: float = 0.2
    flush_rows: int = 1_000
    max_waiting_rows: int = 100_000
    hand_back: Exceptions = ()

    def __post_init__(self) -> None:
        seconds = {"wait_s": self.wait_s, "give_up_s": self.give_up_s, "stall_s": self.stall_s or 0}
        for name, given in seconds.items():
            values.seconds_as_ms(name, given)
        if values.seconds_as_ms("flush_s", self.flush_s) == 0:
            raise InvalidValue(f"flush_s {self.flush_s!r} is too short")
        values.count("flush_rows", self.flush_rows, least=1)
        values.count("max_waiting_rows", self.max_waiting_rows, least=1)
        if not all(isinstance(each, type) and issubclass(each, Exception) for each in self.hands_back):
            raise InvalidValue(f"hand_back {self.hand_back!r} is neither an exception class nor a tuple of them")

    @property
    def hands_back(self) -> tuple[type[Exception], ...]:
        """`hand_back` as a tuple."""
        return self.hand_back if isinstance(self.hand_back, tuple) else (self.hand_back,)
