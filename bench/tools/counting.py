"""What the store's server has done, by its own count: round trips, and commands by name."""

from collections import Counter
from dataclasses import dataclass, field

import redis


@dataclass(frozen=True)
class Done:
    """Round trips are reads from connections; the commands are those that were sent, and those of scripts."""

    round_trips: int = 0
    commands: Counter[str] = field(default_factory=Counter)

    @property
    def scripts(self) -> int:
        """How many scripts have run."""
        return self.commands["evalsha"] + self.commands["eval"]


class ServerCount:
    """Counts from when it is made. What the server does for others meanwhile is counted too."""

    def __init__(self, url: str) -> None:
        self._client = redis.Redis.from_url(url)
        self._before = self._now()

    def done(self) -> Done:
        """What it has done since."""
        now, before = self._now(), self._before
        # The question itself has been read, and answered, once since.
        return Done(now.round_trips - before.round_trips - 1, now.commands - before.commands - Counter(info=1))

    def _now(self) -> Done:
        info = self._client.info("stats", "commandstats")
        calls = {name.removeprefix("cmdstat_"): stat["calls"] for name, stat in info.items() if "cmdstat_" in name}
        return Done(info["total_reads_processed"], Counter(calls))
