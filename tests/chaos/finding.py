"""The finding about a fault: the tests assert on it, `make chaos` prints it."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Finding:
    """How often a fault was tried, and the results.

    - `acknowledged`: number of writes that the store acknowledged while the fault was tried.
    - `lost`: acknowledged writes that were missing afterwards.
    - `wrong`: answers that were untrue, late, or should not have been given.
    - `recovery_s`: longest time until everything worked again; None if there was nothing to recover.
    """

    fault: str
    tried: int
    acknowledged: int
    lost: tuple[str, ...] = ()
    wrong: tuple[str, ...] = ()
    recovery_s: float | None = None

    @property
    def clean(self) -> bool:
        """True if nothing was lost and nothing was wrong."""
        return not self.lost and not self.wrong
