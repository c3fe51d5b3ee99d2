"""A store whose clock the test sets, in milliseconds, forwards and backwards."""

import hashlib
from typing import Any

import redis
from redis.exceptions import NoScriptError

# Shadows `redis` in the script that follows: TIME returns the last argument, other commands go to the server.
_PRELUDE = (
    "local clock = table.remove(ARGV); local redis = setmetatable({call = function(command, ...) "
    "if command == 'TIME' then return {clock:match('(%d+) (%d+)')} end "
    "return redis.call(command, ...) end}, {__index = redis}); "
)


class SetClockRedis(redis.Redis):
    """A client of a real server that answers TIME itself, both as a command and inside scripts.

    The server runs the scripts unchanged, but TIME is always `now_ms` plus 600 µs. `answer` is the raw answer of
    the last script.
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
