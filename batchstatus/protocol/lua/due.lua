-- due: the jobs whose next look has come, the longest overdue first
--
-- KEYS
--   1  looks  zset: time of the next look (ms since the epoch) → member
-- ARGV
--   1  limit   integer: members
-- RETURNS
--   {'OK', members}  a list of org:jobId
-- WRITES
--   nothing

local limit = ARGV[1]
local time = redis.call('TIME')
local now = string.format('%.0f', time[1] * 1000 + math.floor(time[2] / 1000))
return {'OK', redis.call('ZRANGEBYSCORE', KEYS[1], '-inf', now, 'LIMIT', 0, limit)}
