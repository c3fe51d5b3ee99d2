-- track: note when to look at a job, for its lease or its expiry; written before either, so that none goes unseen
--
-- KEYS
--   1  looks     zset: time of the next look (ms since the epoch) → member
-- ARGV
--   1  member    text: org:jobId
--   2  in_ms     ms from now to the look
--   3  which     text: LT, one that is due sooner stays; GT, one that is due later stays; XX, moved if there is one
-- RETURNS
--   {'OK'}
--   {'INVALID', name}  this argument is no such number; nothing written
-- WRITES
--   looks: the member

local member, in_ms, which = ARGV[1], ARGV[2], ARGV[3]
if not string.find(in_ms, '^%d+$') or tonumber(in_ms) >= 2^53 then return {'INVALID', 'in_ms'} end
local time = redis.call('TIME')
local due = time[1] * 1000 + math.floor(time[2] / 1000) + in_ms
-- A look that is only put off goes through when memory is full: PERSIST, which changes nothing, needs none.
if which == 'XX' then redis.call('PERSIST', KEYS[1]) end
redis.call('ZADD', KEYS[1], which, string.format('%.0f', due), member)
return {'OK'}
