"""A store whose clock stands still until the test moves it: to the millisecond, forwards and backwards."""

import hashlib
from typing import Any

import redis
from redis.exceptions import NoScriptError

# Shadows `redis` for the script below it: TIME is what comes as the last argument, all else is the server's.
_PRELUDE = (
    "local clock = table.remove(ARGV); local redis = setmetatable({call = function(command, ...) "
    "if command == 'TIME' then return {clock:match('(%d+) (%d+)')} end "
    "return redis.call(command, ...) end}, {__index = redis}); "
)


class SetClockRedis(redis.Redis):
    """A client of a real server that answers TIME itself, to callers and to the scripts that they run.

    The server runs the scripts as they are; but TIME in them, and here, is always `now_ms` and 600 µs.
    `answer` is what the last script answered, as Redis gave it.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.now_ms = 1_800_000_000_000
        self.answer: list[Any] = []
        self._loaded: dict[str, str] = {}

    def execute_command(self, *words: Any, **options: Any) -> Any:
        name, *arguments = words
        if name == "TIME":
            return self._time()
        if name == "EVALSHA":
            return self._run(*arguments)
        if name == "EVAL":
            source, *arguments = arguments
            sha1 = hashlib.sha1(source.encode()).hexdigest()
            self._loaded[sha1] = super().execute_command("SCRIPT LOAD", _PRELUDE + source)
            return self._run(sha1, *arguments)
        return super().execute_command(*words, **options)

    def _run(self, sha1: str, *arguments: Any) -> Any:
        if sha1 not in self._loaded:
            raise NoScriptError("No matching script.")
        time = b" ".join(self._time())
        self.answer = super().execute_command("EVALSHA", self._loaded[sha1], *arguments, time)
        return self.answer

    def _time(self) -> list[bytes]:
        return [b"%d" % (self.now_ms // 1000), b"%d" % (self.now_ms % 1000 * 1000 + 600)]
