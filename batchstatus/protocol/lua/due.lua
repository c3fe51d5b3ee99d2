-- due: the jobs whose next look has come, the longest overdue first
--
-- KEYS
--   all  looks  zset: time of the next look (ms since the epoch) → member
-- ARGV
--   1    limit  integer: members of each
-- RETURNS
--   {'OK', members}  for each key a list of org:jobId
--   {'INVALID', name}  this argument is no such number; nothing written
-- WRITES
--   nothing

local limit = ARGV[1]
if not string.find(limit, '^%d+$') or tonumber(limit) >= 2^53 then return {'INVALID', 'limit'} end
local time = redis.call('TIME')
local now = string.format('%.0f', time[1] * 1000 + math.floor(time[2] / 1000))
local members = {}
for _, key in ipairs(KEYS) do
  members[#members + 1] = redis.call('ZRANGEBYSCORE', key, '-inf', now, 'LIMIT', 0, limit)
end
return {'OK', members}
