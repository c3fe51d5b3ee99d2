"""What a fault was found to do: the tests assert on it, `make chaos` prints it."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Finding:
    """How often a fault was tried, and what came of it.

    - `acknowledged`: what the store said yes to while the fault was tried.
    - `lost`: what of that was not there afterwards.
    - `wrong`: answers that were not true, or that should not have been given.
    - `recovery_s`: how long it took at most until all was well again; None where there is nothing to recover.
    """

    fault: str
    tried: int
    acknowledged: int
    lost: tuple[str, ...] = ()
    wrong: tuple[str, ...] = ()
    recovery_s: float | None = None

    @property
    def clean(self) -> bool:
        """Whether nothing was lost and nothing was wrong."""
        return not self.lost and not self.wrong
