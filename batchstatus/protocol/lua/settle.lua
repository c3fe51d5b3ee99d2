-- settle: establish in two looks that a running job's worker is dead
--
-- KEYS
--   1  job           hash
--   2  failures      list
--   3  skips         list
-- ARGV
--   1  grace_ms      ms between the first and the second look past a lease
--   2  retention_ms  ms
--   3  placed        text: the status in whose index the job has been placed for this, or ''
-- RETURNS
--   {'ALIVE', due}    the lease is alive until due (ms since the epoch); nothing written
--   {'SUSPECT', due}  past its lease; a second look at due, or later, decides
--   {'VACANT', due}   its worker is dead, and another may take over until due
--   {'SETTLED'}       its worker is dead: the job is interrupted now
--   {'QUEUED'}        no worker has it; nothing written
--   {'ENDED'}         the job is terminal; nothing written
--   {'PLACE', status, kind, created_ms}  nothing written: place the job in the index of that status, and ask again
--   {'NOT_FOUND'}
-- WRITES
--   job: suspectAt status completedAt rev -token -seq -checkpoint -kept -takeoverMs -suspectAt -leaseExpiresAt
--        -batchCancelRequested -batchPauseRequested -batchPaused

local grace_ms, retention_ms, placed = tonumber(ARGV[1]), ARGV[2], ARGV[3]
local job = redis.call('HMGET', KEYS[1],
  'status', 'leaseExpiresAt', 'suspectAt', 'takeoverMs', 'heartbeatAt', 'kind', 'createdAt', 'rev')
if not job[1] then return {'NOT_FOUND'} end
if job[1] == 'queued' then return {'QUEUED'} end
if job[1] ~= 'running' then return {'ENDED'} end

local time = redis.call('TIME')
local clock = time[1] * 1000 + math.floor(time[2] / 1000)
local lease_end, suspect_at = tonumber(job[2]), tonumber(job[3])
if clock < lease_end then return {'ALIVE', lease_end} end
if not suspect_at then
  for _, key in ipairs(KEYS) do redis.call('PEXPIRE', key, retention_ms) end
  redis.call('HSET', KEYS[1], 'suspectAt', string.format('%.0f', clock))
  return {'SUSPECT', clock + grace_ms}
end
if clock - suspect_at < grace_ms then return {'SUSPECT', suspect_at + grace_ms} end
if clock < lease_end + job[4] then return {'VACANT', lease_end + job[4]} end
if placed ~= 'interrupted' then return {'PLACE', 'interrupted', job[6], job[7]} end

local now, rev = math.max(clock, tonumber(job[5])), job[8] + 1
for _, key in ipairs(KEYS) do redis.call('PEXPIRE', key, retention_ms) end
redis.call('HDEL', KEYS[1], 'token', 'seq', 'checkpoint', 'kept', 'takeoverMs', 'suspectAt', 'leaseExpiresAt',
  'batchCancelRequested', 'batchPauseRequested', 'batchPaused')
redis.call('HSET', KEYS[1], 'status', 'interrupted', 'completedAt', string.format('%.0f', now), 'rev', rev)
return {'SETTLED'}
