-- enter: put a job that is about to be made into its organization's index; its place there is its createdAt
-- Written before the job is, so that no job that was acknowledged is missing. A repeat moves nothing.
--
-- KEYS
--   1  index   zset: createdAt (ms since the epoch) → jobId; that of the kind and `queued`
-- ARGV
--   1  job_id  text
-- RETURNS
--   {'OK', created_ms}  when it was entered (ms since the epoch)
-- WRITES
--   index: the member

local job_id = ARGV[1]
local time = redis.call('TIME')
local now = string.format('%.0f', time[1] * 1000 + math.floor(time[2] / 1000))
if redis.call('ZADD', KEYS[1], 'NX', now, job_id) == 0 then
  -- A repeat must write something, or else a WAIT after it would say nothing about the first.
  redis.call('PEXPIRE', KEYS[1], 1000)
  redis.call('PERSIST', KEYS[1])
end
return {'OK', redis.call('ZSCORE', KEYS[1], job_id)}
