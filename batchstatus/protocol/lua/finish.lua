-- finish: end a running job, or give its lease back so that another worker may take over at once
--
-- KEYS
--   1  job           hash
--   2  failures      list
--   3  skips         list
-- ARGV
--   1  fence         integer, from claim
--   2  token         text, the claim's: one that the store has lost may have left its fence to another
--   3  status        text: completed, failed, cancelled, or interrupted to give the lease back
--   4  worker_error  text, or '' for none
--   5  job_failure   JSON object {code, message, details?}, or '' for none
--   6  retention_ms  ms
--   7  seq           integer: the last report's, or '' where the counters need not be exact
--   8  placed        text: the status in whose index the job has been placed for this, or ''
-- RETURNS
--   {'OK', status}      ended with this status (cancelled if a cancel was asked for, and the job has not failed)
--   {'RELEASED'}        the lease is given back, the job is free to claim within its takeover window
--   {'FENCED', status}  fence or token are not the newest, or the job was settled; nothing written
--   {'GAP', seq}        the store lost reports: its last one is seq; nothing written
--   {'PLACE', status, kind, created_ms}  nothing written: place the job in the index of that status, and ask again
--   {'INVALID', name}   this argument is no such status, object or number; nothing written
--   {'NOT_FOUND'}
-- WRITES
--   job: status completedAt workerError jobFailure heartbeatAt leaseExpiresAt suspectAt batchAwaitingWorker fence rev
--        -token -seq -checkpoint -kept -takeoverMs -suspectAt -leaseExpiresAt -pace -worker
--        -batchCancelRequested -batchPauseRequested -batchPaused -batchAwaitingWorker

local fence, token, status, worker_error, job_failure = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5]
local retention_ms, seq, placed = ARGV[6], ARGV[7], ARGV[8]
if status ~= 'completed' and status ~= 'failed' and status ~= 'cancelled' and status ~= 'interrupted' then
  return {'INVALID', 'status'}
end
if not string.find(retention_ms, '^[1-9]%d*$') or tonumber(retention_ms) >= 2^53 then return {'INVALID', 'retention_ms'} end
if not string.find(seq, '^%d*$') then return {'INVALID', 'seq'} end
-- By its looks: a parser may refuse what others accept, such as a large number, and the job has to end.
local looks_right = string.find(job_failure, '^{.*}$') and string.find(job_failure, '"code"%s*:%s*"')
  and string.find(job_failure, '"message"%s*:%s*"')
if job_failure ~= '' and not looks_right then return {'INVALID', 'job_failure'} end
local job = redis.call('HMGET', KEYS[1],
  'status', 'fence', 'takeoverMs', 'heartbeatAt', 'batchCancelRequested', 'seq', 'kind', 'createdAt', 'rev', 'token')
if not job[1] then return {'NOT_FOUND'} end
local another = job[10] ~= token and (job[10] or job[1] == 'running')
if job[2] ~= fence or job[1] == 'queued' or another then return {'FENCED', job[1]} end
if job[1] ~= 'running' then
  -- Settle or control ended the job, or this is a repeat; and a WAIT after a repeat needs a write of it.
  if job[1] == 'interrupted' and status ~= 'interrupted' then return {'FENCED', job[1]} end
  for _, key in ipairs(KEYS) do redis.call('PEXPIRE', key, retention_ms) end
  return {'OK', job[1]}
end
if seq ~= '' and seq ~= job[6] then return {'GAP', tonumber(job[6])} end
local release = status == 'interrupted' and tonumber(job[3]) > 0
if job[5] and (status == 'completed' or release) then status, release = 'cancelled', false end
if not release and placed ~= status then return {'PLACE', status, job[7], job[8]} end
local time, rev = redis.call('TIME'), job[9] + 1
local now = string.format('%.0f', math.max(time[1] * 1000 + math.floor(time[2] / 1000), job[4]))
-- PEXPIRE first: a script whose first write needs no memory goes through when memory is full.
for _, key in ipairs(KEYS) do redis.call('PEXPIRE', key, retention_ms) end
if release then
  -- The fence moves on, so that a late report cannot bring the lease back. Suspect since 0: no more looks needed.
  redis.call('HSET', KEYS[1], 'fence', job[2] + 1, 'rev', rev, 'batchAwaitingWorker', 1,
    'heartbeatAt', now, 'leaseExpiresAt', now, 'suspectAt', 0)
  redis.call('HDEL', KEYS[1], 'token', 'batchPaused')
  return {'RELEASED'}
end
redis.call('HDEL', KEYS[1], 'seq', 'checkpoint', 'kept', 'takeoverMs', 'suspectAt', 'leaseExpiresAt',
  'pace', 'worker', 'batchCancelRequested', 'batchPauseRequested', 'batchPaused', 'batchAwaitingWorker')
redis.call('HSET', KEYS[1], 'status', status, 'heartbeatAt', now, 'completedAt', now, 'rev', rev)
if worker_error ~= '' then redis.call('HSET', KEYS[1], 'workerError', worker_error) end
if job_failure ~= '' then redis.call('HSET', KEYS[1], 'jobFailure', job_failure) end
return {'OK', status}
