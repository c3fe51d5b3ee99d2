"""What can go wrong between us and Redis: its names in redis-py, and ours."""

from types import TracebackType

from redis.exceptions import RedisClusterException, RedisError, ResponseError

from batchstatus.errors import BatchStatusError, JobCorrupt, StoreRefused, StoreUnavailable

# A script that meets a counter that is no number stops before it writes, with an error that names its line
# (fakeredis words it as servers before 7.0 did).
# (redis-py strips the ERR that the server sends, and puts "Command # 1 (…) of pipeline caused error: " first.)
_CORRUPT = ("WRONGTYPE", "user_script:", "ERR user_script:", "Error running script ")


def is_corrupt(error: BaseException | None) -> bool:
    """Whether the store says that a key holds something else than it should."""
    return isinstance(error, ResponseError) and str(error).rpartition("caused error: ")[2].startswith(_CORRUPT)


def named(error: BaseException | None) -> BatchStatusError | None:
    """The error of ours that stands for one of redis-py's or of a socket's; None for all others."""
    if is_corrupt(error):
        return JobCorrupt(str(error))
    if isinstance(error, ResponseError):
        return StoreRefused(f"the store refused: {error}")
    # redis-py raises more than its own: OSError from a socket, RedisClusterException beside RedisError.
    if isinstance(error, RedisError | RedisClusterException | OSError):
        return StoreUnavailable(f"the store is unavailable: {error}")
    return None


class _StoreErrors:
    """Translates what is raised under it. A class, because a generator would cost a poll a microsecond more."""

    def __enter__(self) -> None:
        return None

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None and (ours := named(error)):
            raise ours from error


STORE_ERRORS = _StoreErrors()
"""To be entered with `with` around all that is sent to Redis."""
