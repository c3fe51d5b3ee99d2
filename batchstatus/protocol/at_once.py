"""A script and the index entries that belong to it, in one script: one round trip, and all of it or nothing.

Only one server can run such a script: in a Cluster a job, its organization's index, and the index of looks are in
different slots. The scripts of `lua/` are taken as they are, each as a function, and called in the order in which
`batchstatus.jobs.transitions` calls them one by one.
"""

from collections.abc import Sequence
from functools import cache
from typing import Any

from batchstatus.model.job import Status
from batchstatus.model.keys import Entry
from batchstatus.protocol.script import argument, digest, load
from batchstatus.transport.connection import Connection

# KEYS: those of the verb, the keys of the organization's index, the bucket of the index of looks.
# ARGV: how many keys the verb has, the job's id, its member in the bucket, ms to the look or '', the verb's ARGV.
_BEGIN = """
local track = function(KEYS, ARGV)
{track}
end
local place = function(KEYS, ARGV)
{place}
end
local verb = function(KEYS, ARGV)
{verb}
end
local n, job_id, member, in_ms = tonumber(ARGV[1]), ARGV[2], ARGV[3], ARGV[4]
local keys, arguments, statuses = {{unpack(KEYS, 1, n)}}, {{unpack(ARGV, 5)}}, {{{statuses}}}
local index_of = function(kind)
  local index, first = {{}}, ':' .. kind .. ':' .. statuses[1]
  for at = n + 1, #KEYS - 1, #statuses do
    if string.sub(KEYS[at], -#first) == first then
      for number, status in ipairs(statuses) do index[status] = KEYS[at + number - 1] end
    end
  end
  return index
end
local tidy = function(index, status)
  for _, left in ipairs(statuses) do
    local gone = left ~= status and (left == 'queued' or status ~= 'running')
    if gone then redis.call('ZREM', index[left], job_id) end
  end
end
local looks = {{KEYS[#KEYS]}}
if in_ms ~= '' and {ahead} then
  local tracked = track(looks, {{member, in_ms, {which}}})
  if tracked[1] ~= 'OK' then return tracked end
end
"""

# A PLACE that leads to no index is answered as it is: the kind is not declared, or the job is damaged.
_STEP = """
local answer, index = verb(keys, arguments), nil
while answer[1] == 'PLACE' do
  index = index_of(answer[3])
  local key = index[answer[2]]
  if not key or place({{key}}, {{job_id, answer[4]}})[1] ~= 'OK' then return answer end
  arguments[{placed}] = answer[2]
  answer = verb(keys, arguments)
end
if index then tidy(index, arguments[{placed}]) end
if in_ms ~= '' and not {ahead} and answer[1] == 'OK' then track(looks, {{member, in_ms, {which}}}) end
return answer
"""

_MAKE = """
local enter = function(KEYS, ARGV)
{enter}
end
local kind = arguments[{kind}]
local index = index_of(kind)
local queued = index.queued
arguments[{created_ms}] = string.format('%.0f', enter({{queued}}, {{job_id}})[2])
local answer = verb(keys, arguments)
if answer[1] ~= 'EXISTS' and answer[1] ~= 'TAKEN' then return answer end
local status, of, created_ms = unpack(redis.call('HMGET', keys[1], 'status', 'kind', 'createdAt'))
if of and of ~= kind then
  redis.call('ZREM', queued, job_id)
elseif of and status and status ~= 'queued' then
  tidy(index, status)
elseif of and status and created_ms then
  place({{queued}}, {{job_id, created_ms}})
end
return answer
"""


class AtOnce:
    """Sends a script together with the index entries of its job, over a connection to a store of one server.

    `index` are the keys of the organization's index, for each kind those of all statuses in their order; `entry`
    is where to track the job, for a look `in_ms` from now, if that is given: before a create or claim, and after a
    step that ends the job.
    """

    def __init__(
        self, connection: Connection, job_id: str, index: Sequence[str], entry: Entry, in_ms: int | None = None
    ) -> None:
        self.settings = connection.settings
        self.confirm = connection.confirm
        self._connection = connection
        self._head = (job_id, entry.member, "" if in_ms is None else in_ms)
        self._keys = (*index, entry.key)

    def evaluate(
        self, sha1: str, source: str, keys: Sequence[str], arguments: Sequence[Any], *, durable: bool = True
    ) -> Any:
        """Run the script with the entries before and after it, as `Connection.evaluate` does."""
        sha1, source = composed(source)
        words = (len(keys), *self._head, *arguments)
        return self._connection.evaluate(sha1, source, (*keys, *self._keys), words, durable=durable)


@cache
def composed(verb: str) -> tuple[str, str]:
    """Returns the hash and the text of a script, given by its text, with the index entries that belong to it."""
    makes, place = argument(verb, "created_ms"), argument(verb, "placed")
    # A create or claim that is refused leaves an entry that leads nowhere, as in a Cluster. What ends a job must
    # go through when memory is full, and so begins with a write that needs none.
    ahead = makes is not None or argument(verb, "lease_ms") is not None
    rest = _STEP if makes is None else _MAKE
    source = (_BEGIN + rest).format(
        **{each: load(each) for each in ("track", "place", "enter")},
        verb=verb,
        statuses=", ".join(f"'{each}'" for each in Status),
        which="'LT'" if makes is None else "'GT'",
        ahead="true" if ahead else "false",
        placed=place,
        kind=argument(verb, "kind"),
        created_ms=makes,
    )
    return digest(source), source
