-- forget: take a job out of indexes, but for entries that are too new: those may belong to a job on its way
--
-- KEYS
--   all  index       zset: time (ms since the epoch) → member
-- ARGV
--   1    member      text
--   2    older_ms    ms that an entry's time is ago, or longer; others stay
-- RETURNS
--   {'OK', left}  so many entries stay
--   {'INVALID', name}  this argument is no such number; nothing written
-- WRITES
--   index: the member

local member, older_ms = ARGV[1], ARGV[2]
if not string.find(older_ms, '^%d+$') or tonumber(older_ms) >= 2^53 then return {'INVALID', 'older_ms'} end
local time = redis.call('TIME')
local latest = time[1] * 1000 + math.floor(time[2] / 1000) - older_ms
local left = 0
for _, key in ipairs(KEYS) do
  local score = redis.call('ZSCORE', key, member)
  if score and tonumber(score) <= latest then
    redis.call('ZREM', key, member)
  elseif score then
    left = left + 1
  end
end
return {'OK', left}
