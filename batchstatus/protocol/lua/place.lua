-- place: put a job into the index of the status that it is about to come into; written before it does
--
-- KEYS
--   1  index       zset: createdAt (ms since the epoch) → jobId; that of the kind and the status to come
-- ARGV
--   1  job_id      text
--   2  created_ms  ms since the epoch: the job's createdAt
-- RETURNS
--   {'OK'}
--   {'INVALID', name}  this argument is no such number; nothing written
-- WRITES
--   index: the member

local job_id, created_ms = ARGV[1], ARGV[2]
if not string.find(created_ms, '^%d+$') or tonumber(created_ms) >= 2^53 then return {'INVALID', 'created_ms'} end
-- PERSIST first, which changes nothing: a script whose first write needs no memory goes through when memory is full.
redis.call('PERSIST', KEYS[1])
if redis.call('ZADD', KEYS[1], 'CH', created_ms, job_id) == 0 then
  -- A repeat must write something, or else a WAIT after it would say nothing about the first.
  redis.call('PEXPIRE', KEYS[1], 1000)
  redis.call('PERSIST', KEYS[1])
end
return {'OK'}
