"""Several reads of one moment where a server refuses MULTI: as one script."""

from collections.abc import Sequence
from typing import Any

from redis import exceptions

REFUSES_MULTI = (exceptions.OutOfMemoryError, exceptions.AskError, exceptions.TryAgainError)
"""Redis before 7.2 with its memory full takes no command in MULTI, reads included; and a Cluster's node that hands
a slot over takes none for a key that has left."""

# ARGV is, for each key, a read without its key: the number of words, and the words. Scripts like this one, without
# a shebang, may read when memory is full, on Redis 6.2 too.
_SCRIPT = """
local answers, at = {}, 1
for n, key in ipairs(KEYS) do
  local last = at + tonumber(ARGV[at])
  answers[n] = redis.call(ARGV[at + 1], key, unpack(ARGV, at + 2, last))
  at = last + 1
end
return answers
"""


def as_script(reads: Sequence[Sequence[Any]]) -> tuple[Any, ...]:
    """Returns the EVAL that does these reads, of the key that is the second word of each."""
    keys = [key for _, key, *_ in reads]
    words = [each for name, _, *others in reads for each in (len(others) + 1, name, *others)]
    return ("EVAL", _SCRIPT, len(keys), *keys, *words)


def answers_of(reads: Sequence[Sequence[Any]], answers: Sequence[Any]) -> list[Any]:
    """Returns the script's answers as the reads themselves would have had them: a hash as a dictionary."""
    return [
        dict(zip(answer[::2], answer[1::2], strict=True)) if name == "HGETALL" else answer
        for (name, *_), answer in zip(reads, answers, strict=True)
    ]


def scored(answer: Sequence[Any]) -> list[tuple[bytes, float]]:
    """Returns members and scores in an answer to a command `WITHSCORES`: pairs with RESP3, flat with RESP2."""
    in_pairs = answer and not isinstance(answer[0], bytes)
    pairs = answer if in_pairs else zip(answer[::2], answer[1::2], strict=True)
    return [(member, float(score)) for member, score in pairs]
