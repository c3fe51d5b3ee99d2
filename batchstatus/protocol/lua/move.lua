-- move: have a job that is still tracked looked at again at a certain moment
--
-- KEYS
--   1  looks   zset: time of the next look (ms since the epoch) → member
-- ARGV
--   1  member  text: org:jobId
--   2  due_ms  ms since the epoch: the next look
-- RETURNS
--   {'OK'}
-- WRITES
--   looks: the member

local member, due_ms = ARGV[1], ARGV[2]
-- PERSIST first, which changes nothing: a script whose first write needs no memory goes through when memory is full.
redis.call('PERSIST', KEYS[1])
redis.call('ZADD', KEYS[1], 'XX', due_ms, member)
return {'OK'}
