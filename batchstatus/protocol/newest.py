"""The newest members of many indexes, of one moment, in one script.

Only reads, and so no part of the protocol: others may read key by key (`docs/redis-protocol.md`). A command for
each index would cost the client most of a page's time, for indexes that are mostly empty.
"""

from collections.abc import Sequence
from typing import NamedTuple

from batchstatus.protocol.script import digest
from batchstatus.transport.connection import Connection
from batchstatus.transport.together import scored

# ARGV: the highest and the lowest score as ZREVRANGEBYSCORE takes them, and how many members are wanted.
# Each index gives a few first, three times as many as wanted if all have so many. The newest of them bound how far
# down the wanted ones can reach; an index gives more only if it may have more above that.
_SCRIPT = """
local highest, lowest, many = ARGV[1], ARGV[2], tonumber(ARGV[3])
local few = math.min(many, math.ceil(3 * many / #KEYS))
local lists, scores = {}, {}
for n, key in ipairs(KEYS) do
  lists[n] = redis.call('ZREVRANGEBYSCORE', key, highest, lowest, 'WITHSCORES', 'LIMIT', 0, few)
  for at = 2, #lists[n], 2 do scores[#scores + 1] = tonumber(lists[n][at]) end
end
table.sort(scores)
local least = scores[#scores - many + 1]
local answer = {least and string.format('%.17g', least) or false}
for n, key in ipairs(KEYS) do
  local list = lists[n]
  if few < many and #list == 2 * few and tonumber(list[#list]) >= (least or -math.huge) then
    list = redis.call('ZREVRANGEBYSCORE', key, highest, answer[1] or lowest, 'WITHSCORES', 'LIMIT', 0, many)
  end
  if #list > 0 then answer[#answer + 1] = list end
end
return answer
"""
_SHA1 = digest(_SCRIPT)


class Newest(NamedTuple):
    """Members and scores of each index that has any, newest first. Of those below `least` not all are there."""

    lists: list[list[tuple[bytes, float]]]
    least: float | None


def newest(connection: Connection, keys: Sequence[str], highest: str, lowest: str, many: int) -> Newest:
    """Returns at most `many` members of each index, the newest `many` of all among them; one round trip."""
    least, *lists = connection.evaluate(_SHA1, _SCRIPT, keys, (highest, lowest, many), durable=False)
    return Newest([scored(each) for each in lists], None if least is None else float(least))
