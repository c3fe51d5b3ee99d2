"""Counts the work of the store's server by its own statistics: round trips, and commands by name."""

from collections import Counter
from dataclasses import dataclass, field

import redis


@dataclass(frozen=True)
class Done:
    """Round trips (reads from connections), and commands, both those sent and those of scripts."""

    round_trips: int = 0
    commands: Counter[str] = field(default_factory=Counter)

    @property
    def scripts(self) -> int:
        """The number of scripts that ran."""
        return self.commands["evalsha"] + self.commands["eval"]


class ServerCount:
    """Counts from its creation on, work for other clients included."""

    def __init__(self, url: str) -> None:
        self._client = redis.Redis.from_url(url)
        self._before = self._now()

    def done(self) -> Done:
        """Returns the work since then."""
        now, before = self._now(), self._before
        # Minus this very question: one read, one INFO.
        return Done(now.round_trips - before.round_trips - 1, now.commands - before.commands - Counter(info=1))

    def _now(self) -> Done:
        info = self._client.info("stats", "commandstats")
        calls = {name.removeprefix("cmdstat_"): stat["calls"] for name, stat in info.items() if "cmdstat_" in name}
        return Done(info["total_reads_processed"], Counter(calls))
