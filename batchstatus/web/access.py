"""Who calls: verifies API keys, and remembers each for a few seconds."""

import re
import time
from collections import OrderedDict
from collections.abc import Callable

from batchstatus.apikeys import KEY, ApiKey, ApiKeys

# A revoked key must be refused 5 s later at the latest; what is left covers the request that is under way.
KNOWN_FOR_S = 4.0
UNKNOWN_FOR_S = 1.0
MAX_CACHED = 10_000

_BEARER = re.compile(rf"(?i:bearer) +({KEY.pattern})")


class Access:
    """Verifies API keys, and remembers each for a few seconds; of too many, those verified last."""

    def __init__(self, api_keys: ApiKeys) -> None:
        self._api_keys = api_keys
        self._cache: OrderedDict[str, tuple[float, ApiKey | None]] = OrderedDict()

    def key(self, authorization: str, may_ask: Callable[[], object]) -> ApiKey | None:
        """The record of the key in this `Authorization` header, or None: malformed, unknown or expired.

        `may_ask` is called before the store is asked, and raises StoreUnavailable when that is of no use.
        """
        bearer = _BEARER.fullmatch(authorization)
        if bearer is None:
            return None
        key, now = bearer[1], time.monotonic()
        forget_at, record = self._cache.get(key, (0.0, None))
        if forget_at > now:
            return record
        may_ask()
        record = self._api_keys.verify(key)
        # Counted from before the store was asked: the record is at least as old.
        self._cache[key] = now + (KNOWN_FOR_S if record else UNKNOWN_FOR_S), record
        self._cache.move_to_end(key)
        if len(self._cache) > MAX_CACHED:
            self._cache.popitem(last=False)
        return record
