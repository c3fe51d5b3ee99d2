-- split: split a queued job into parts, each of which a worker claims; the same again changes nothing
-- Without `fence` and `takeoverMs`, no worker and no look of an older release can take the job for one of one worker.
--
-- KEYS
--   1  job           hash
--   2  failures      list
--   3  skips         list
-- ARGV
--   1  parts         integer: into so many, 2 to 1000
--   2  retention_ms  ms
-- RETURNS
--   {'OK', hash}       the job, field by field, split into so many parts now or before
--   {'SPLIT', parts}   it is split into another number of parts; nothing written
--   {'BEGUN', status}  a worker has had the job, or it has ended; nothing written
--   {'INVALID', name}  this argument is no such number; nothing written
--   {'NOT_FOUND'}
-- WRITES
--   job: parts windowMs renewedAt partsAtWork partsCompleted partsPaused partsCounted partsTotal rev
--        -takeoverMs -fence -seq

local parts, retention_ms = ARGV[1], ARGV[2]
if not string.find(parts, '^[1-9]%d?%d?%d?$') or parts - 2 < 0 or parts - 1000 > 0 then return {'INVALID', 'parts'} end
if not string.find(retention_ms, '^[1-9]%d*$') or tonumber(retention_ms) >= 2^53 then return {'INVALID', 'retention_ms'} end
local job = redis.call('HMGET', KEYS[1], 'status', 'parts', 'takeoverMs', 'createdAt', 'rev', 'totalItems')
if not job[1] then return {'NOT_FOUND'} end
if job[2] and job[2] ~= parts then return {'SPLIT', job[2]} end
if not job[2] and job[1] ~= 'queued' then return {'BEGUN', job[1]} end
-- A repeat must write something, or else a WAIT after it would say nothing about the first.
for _, key in ipairs(KEYS) do redis.call('PEXPIRE', key, retention_ms) end
if not job[2] then
  redis.call('HSET', KEYS[1], 'parts', parts, 'windowMs', job[3], 'renewedAt', job[4], 'rev', job[5] + 1,
    'partsAtWork', 0, 'partsCompleted', 0, 'partsPaused', 0)
  if not job[6] then redis.call('HSET', KEYS[1], 'partsCounted', 0, 'partsTotal', 0) end
  redis.call('HDEL', KEYS[1], 'takeoverMs', 'fence', 'seq')
end
return {'OK', redis.call('HGETALL', KEYS[1])}
