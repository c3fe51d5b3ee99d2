"""The options of a run, checked once and frozen."""

from dataclasses import dataclass

from batchstatus import values
from batchstatus.errors import InvalidValue


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """How a run waits, reports and gives up; `JobStore.run` explains each. InvalidValue names a wrong option."""

    wait_s: float = 0
    stall_s: float | None = None
    give_up_s: float = 60
    flush_s: float = 0.2
    flush_rows: int = 1_000
    max_waiting_rows: int = 100_000

    def __post_init__(self) -> None:
        seconds = {"wait_s": self.wait_s, "give_up_s": self.give_up_s, "stall_s": self.stall_s or 0}
        for name, given in seconds.items():
            values.seconds_as_ms(name, given)
        if values.seconds_as_ms("flush_s", self.flush_s) == 0:
            raise InvalidValue(f"flush_s {self.flush_s!r} is too short")
        values.count("flush_rows", self.flush_rows, least=1)
        values.count("max_waiting_rows", self.max_waiting_rows, least=1)
