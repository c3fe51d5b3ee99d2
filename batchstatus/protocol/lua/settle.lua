-- settle: establish in two looks that a running job's worker is dead
-- Within its takeover window such a job then awaits another worker, unless it was to be cancelled.
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
--   {'SETTLED'}       its worker is dead: the job has ended, as cancelled if it was to be, else as interrupted
--   {'QUEUED'}        no worker has it; nothing written
--   {'ENDED'}         the job is terminal; nothing written
--   {'SPLIT'}         the job is split, and its parts are to be looked at; nothing written
--   {'PLACE', status, kind, created_ms}  nothing written: place the job in the index of that status, and ask again
--   {'INVALID', name} this argument is no such number; nothing written
--   {'NOT_FOUND'}
-- WRITES
--   job: suspectAt batchAwaitingWorker status completedAt rev -token -seq -checkpoint -kept -takeoverMs -suspectAt
--        -leaseExpiresAt -pace -worker -batchCancelRequested -batchPauseRequested -batchPaused
--        -batchAwaitingWorker

local grace_ms, retention_ms, placed = ARGV[1], ARGV[2], ARGV[3]
for name, number in pairs({grace_ms = grace_ms, retention_ms = retention_ms}) do
  local zero = name == 'retention_ms' and string.find(number, '^0')
  if not string.find(number, '^%d+$') or zero or tonumber(number) >= 2^53 then return {'INVALID', name} end
end
local job = redis.call('HMGET', KEYS[1],
  'status', 'leaseExpiresAt', 'suspectAt', 'takeoverMs', 'heartbeatAt', 'kind', 'createdAt', 'rev',
  'batchCancelRequested', 'batchAwaitingWorker', 'parts')
if not job[1] then return {'NOT_FOUND'} end
if job[1] == 'queued' then return {'QUEUED'} end
if job[1] ~= 'running' then return {'ENDED'} end
if job[11] then return {'SPLIT'} end

local time = redis.call('TIME')
local clock = time[1] * 1000 + math.floor(time[2] / 1000)
local lease_end, suspect_at = tonumber(job[2]), tonumber(job[3])
if clock < lease_end then return {'ALIVE', lease_end} end
if not suspect_at then
  for _, key in ipairs(KEYS) do redis.call('PEXPIRE', key, retention_ms) end
  redis.call('HSET', KEYS[1], 'suspectAt', string.format('%.0f', clock))
  return {'SUSPECT', clock + grace_ms}
end
if clock - suspect_at - grace_ms < 0 then return {'SUSPECT', suspect_at + grace_ms} end
local vacant, rev = clock < lease_end + job[4], job[8] + 1
local ended_at = string.format('%.0f', math.max(clock, tonumber(job[5])))
if vacant and job[10] then return {'VACANT', lease_end + job[4]} end
local ends_as = not vacant and 'interrupted' or job[9] and 'cancelled'
if ends_as and placed ~= ends_as then return {'PLACE', ends_as, job[6], job[7]} end

for _, key in ipairs(KEYS) do redis.call('PEXPIRE', key, retention_ms) end
if not ends_as then
  redis.call('HSET', KEYS[1], 'batchAwaitingWorker', 1, 'rev', rev)
  redis.call('HDEL', KEYS[1], 'batchPaused')
  return {'VACANT', lease_end + job[4]}
end
redis.call('HDEL', KEYS[1], 'token', 'seq', 'checkpoint', 'kept', 'takeoverMs', 'suspectAt', 'leaseExpiresAt',
  'pace', 'worker', 'batchCancelRequested', 'batchPauseRequested', 'batchPaused', 'batchAwaitingWorker')
redis.call('HSET', KEYS[1], 'status', ends_as, 'completedAt', ended_at, 'rev', rev)
return {'SETTLED'}
