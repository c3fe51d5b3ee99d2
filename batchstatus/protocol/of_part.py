"""Sends a script of a job's life for one part of a split job: on the part's keys, and the job's sums follow.

A part's hash has the fields that the hash of a job of its own would have, so the scripts of `lua/` run on its keys
as they are, each as a function. Around the function the chunks of `lua/part/` judge the job's hash first, and
change it last, by the difference that the function has made to the part's. So the job's counters are the sum of
its parts' at every instant, and a job that is not split pays nothing.
"""

import re
from collections.abc import Sequence
from functools import cache
from typing import Any

from batchstatus.model.errors import InvalidTransition, InvalidValue
from batchstatus.model.keys import PartsKeys
from batchstatus.protocol.script import Sender, argument, digest, load

CHUNKS = ("judge", "step", "sum", "write")
"""The files of `lua/part/`, in their order. The head of the first describes the script."""

_NUMBERED = ("retention_ms", "max_rows", "placed", "succeeded")
"""The arguments that the chunks know by their numbers."""

_ABOVE = """\
local VERB, {names} = '{verb}', {numbers}
local verb = function(KEYS, ARGV)
{source}end
local keep_pace = function(KEYS, now, pace, done)
{pace}end
"""


class OfPart:
    """Sends the scripts of a job's life for the part whose keys they get, over another sender."""

    def __init__(self, sender: Sender, keys: PartsKeys) -> None:
        self.settings = sender.settings
        self.confirm = sender.confirm
        self._sender, self._keys = sender, keys

    def evaluate(
        self, sha1: str, source: str, keys: Sequence[str], arguments: Sequence[Any], *, durable: bool = True
    ) -> Any:
        """Run the script on a part's keys, and change the job by what it changes.

        InvalidTransition if the job is not split, InvalidValue for a part beyond its number of parts.
        """
        sha1, source = summed(source)
        given = [*self._keys[:3], *keys]
        answer = self._sender.evaluate(sha1, source, given, arguments, durable=durable)
        if answer[0] == b"KEYS":
            given += self._keys.all(int(answer[1]))
            answer = self._sender.evaluate(sha1, source, given, arguments, durable=durable)
        if answer[0] == b"WHOLE":
            raise InvalidTransition("the job is not split into parts: run it without `part`")
        if answer[0] == b"BEYOND":
            raise InvalidValue(f"part is beyond the job's parts, which are 1 to {int(answer[1])}")
        return answer


@cache
def summed(verb: str) -> tuple[str, str]:
    """Returns the hash and the text of a script, given by its text, that is taken for a part of a job."""
    above = _ABOVE.format(
        names=", ".join(_NUMBERED).upper(),
        verb=verb.partition(":")[0].removeprefix("-- "),
        numbers=", ".join(str(argument(verb, name) or "nil") for name in _NUMBERED),
        source=verb,
        pace=_pace_rule(),
    )
    source = above + "".join(load(f"part/{chunk}") for chunk in CHUNKS)
    return digest(source), source


def _pace_rule() -> str:
    """Returns the lines by which report.lua keeps a job's `pace`, where `done` rows are done `now`."""
    (lines,) = re.findall(r"^  if now >= .*?^  end\n", load("report"), re.MULTILINE | re.DOTALL)
    return str(lines)
