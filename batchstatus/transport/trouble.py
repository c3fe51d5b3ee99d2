"""Errors between us and Redis: redis-py's, and the ones of ours that stand for them."""

import re
from types import TracebackType

from redis.exceptions import ClusterCrossSlotError, MovedError, RedisClusterException, RedisError, ResponseError

from batchstatus.model.errors import BatchStatusError, JobCorrupt, StoreRefused, StoreUnavailable

# A script that meets a counter that is no number stops before it writes, with an error that names the script's
# line; fakeredis words the error as servers before 7.0 did. redis-py strips the ERR that the server sends, and in
# a pipeline puts "Command # 1 (…) of pipeline caused error: " first.
_CORRUPT = ("WRONGTYPE", "user_script:", "ERR user_script:", "Error running script ")

# Redis 6.2 words a refusal of a script's write like an error of the script:
# "Error running script (call to f_…): @user_script:7: @user_script: 7: -OOM command not allowed …".
_REFUSED = re.compile(r"(?:^|[ -])(?:OOM|READONLY|NOREPLICAS|MISCONF) ")


def is_corrupt(error: BaseException | None) -> bool:
    """Returns True if the store says that a key holds a value of another type, or a hash that is no job."""
    if not isinstance(error, ResponseError) or _REFUSED.search(str(error)):
        return False
    return str(error).rpartition("caused error: ")[2].startswith(_CORRUPT)


def named(error: BaseException | None) -> BatchStatusError | None:
    """Returns the error of ours that stands for one of redis-py's or of a socket's; None for all others."""
    if is_corrupt(error):
        return JobCorrupt(str(error))
    if isinstance(error, ClusterCrossSlotError | MovedError):
        return StoreRefused(f"the store refused: it is a Cluster, connect with redis+cluster:// ({error})")
    if isinstance(error, ResponseError):
        return StoreRefused(f"the store refused: {error}")
    # redis-py raises more than its own: OSError from a socket, RedisClusterException beside RedisError.
    if isinstance(error, RedisError | RedisClusterException | OSError):
        return StoreUnavailable(f"the store is unavailable: {error}")
    return None


class _StoreErrors:
    """A context that raises our errors for redis-py's. A class: a generator costs a poll a microsecond more."""

    def __enter__(self) -> None:
        return None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None and (ours := named(error)):
            raise ours from error


STORE_ERRORS = _StoreErrors()
"""Enter it with `with` around everything that is sent to Redis."""
