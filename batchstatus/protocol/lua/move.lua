-- move: have a job that is still tracked looked at again at a certain moment
--
-- KEYS
--   1  looks   zset: time of the next look (ms since the epoch) → member
-- ARGV
--   1  member  text: org:jobId
--   2  due_ms  ms since the epoch: the next look
-- RETURNS
--   {'OK'}
--   {'INVALID', name}  this argument is no such number; nothing written
-- WRITES
--   looks: the member

local member, due_ms = ARGV[1], ARGV[2]
if not string.find(due_ms, '^%d+$') or tonumber(due_ms) >= 2^53 then return {'INVALID', 'due_ms'} end
-- PERSIST first, which changes nothing: a script whose first write needs no memory goes through when memory is full.
redis.call('PERSIST', KEYS[1])
redis.call('ZADD', KEYS[1], 'XX', due_ms, member)
return {'OK'}
