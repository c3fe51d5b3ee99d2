"""What an examination of a store finds."""

from dataclasses import asdict, dataclass
from enum import StrEnum


class Level(StrEnum):
    """How bad a finding is. UNKNOWN: the store does not let us look, which is no fault."""

    OK = "ok"
    WARNING = "warning"
    PROBLEM = "problem"
    UNKNOWN = "cannot tell"


@dataclass(frozen=True)
class Finding:
    """One finding: which check it is of, how bad it is, what was found, and what to do about it, if anything."""

    check: str
    level: Level
    message: str
    remedy: str = ""

    def to_dict(self) -> dict[str, str]:
        """Returns the finding as JSON has it."""
        return {**asdict(self), "level": str(self.level)}


def ok(check: str, message: str) -> Finding:
    """Returns a finding that all is well."""
    return Finding(check, Level.OK, message)


def warning(check: str, message: str, remedy: str) -> Finding:
    """Returns a finding of what works and may go wrong."""
    return Finding(check, Level.WARNING, message, remedy)


def problem(check: str, message: str, remedy: str) -> Finding:
    """Returns a finding of what does not work."""
    return Finding(check, Level.PROBLEM, message, remedy)


def unknown(check: str, message: str, remedy: str = "") -> Finding:
    """Returns a finding that the store does not let us look."""
    return Finding(check, Level.UNKNOWN, message, remedy)
