"""A race of two that both win often, on any machine."""

STEP_S = 0.000_05


class HeadStart:
    """How long each of two racers gives the other: whoever lost gets a head start in the next race.

    It grows by a step, and by twice as much with each race that the same racer wins in a row.
    """

    def __init__(self) -> None:
        self._s, self._step_s = 0.0, STEP_S
        self._first_won: bool | None = None

    @property
    def of_the_first_s(self) -> float:
        """How long the second waits, in seconds."""
        return max(0.0, self._s)

    @property
    def of_the_second_s(self) -> float:
        """How long the first waits, in seconds."""
        return max(0.0, -self._s)

    def give_to_the_loser(self, *, first_won: bool) -> None:
        """Move the head start towards whoever has just lost."""
        self._step_s = 2 * self._step_s if first_won is self._first_won else STEP_S
        self._first_won = first_won
        self._s += -self._step_s if first_won else self._step_s
