"""What callers hear of as it happens: waiting reads and event streams, on one look at the store per tick."""

from batchstatus.web.live.feed import Feed
from batchstatus.web.live.ticking import Ticks
from batchstatus.web.live.waiting import Waits

__all__ = ["Feed", "Ticks", "Waits"]
