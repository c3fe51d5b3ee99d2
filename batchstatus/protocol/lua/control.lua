-- control: ask for a pause, a resume or a cancel; what is asked for already changes nothing
-- To expire a job is to cancel it only while no worker has ever had it: of any other job it changes nothing.
--
-- KEYS
--   1  job           hash
--   2  failures      list
--   3  skips         list
-- ARGV
--   1  action        text: pause, resume, cancel or expire
--   2  retention_ms  ms
--   3  placed        text: the status in whose index the job has been placed for this, or ''
-- RETURNS
--   {'OK', hash}       the job as it stands now, field by field; a cancel ends a job that no worker has
--   {'ENDED', status}  the job is terminal; nothing written
--   {'PLACE', status, kind, created_ms}  nothing written: place the job in the index of that status, and ask again
--   {'INVALID', name}  this argument is no such action or number; nothing written
--   {'NOT_FOUND'}
-- WRITES
--   job: status completedAt rev pace batchPauseRequested batchCancelRequested -token -seq -checkpoint -kept -takeoverMs
--        -suspectAt -leaseExpiresAt -pace -worker -batchCancelRequested -batchPauseRequested -batchPaused
--        -batchAwaitingWorker -windowEndsAt -windowMs -renewedAt -partsAtWork -partsCompleted -partsPaused
--        -partsCounted -partsTotal

local action, retention_ms, placed = ARGV[1], ARGV[2], ARGV[3]
local expires = action == 'expire'
if expires then action = 'cancel' end
if action ~= 'pause' and action ~= 'resume' and action ~= 'cancel' then return {'INVALID', 'action'} end
if not string.find(retention_ms, '^[1-9]%d*$') or tonumber(retention_ms) >= 2^53 then return {'INVALID', 'retention_ms'} end
local job = redis.call('HMGET', KEYS[1],
  'status', 'batchPauseRequested', 'batchCancelRequested', 'createdAt', 'kind', 'rev', 'heartbeatAt',
  'batchAwaitingWorker', 'succeeded', 'failed', 'skipped')
local status, pausing, cancelling = job[1], job[2], job[3]
if not status then return {'NOT_FOUND'} end
if expires and status == 'running' then return {'OK', redis.call('HGETALL', KEYS[1])} end
local repeated, unheld = action == 'cancel' and status == 'cancelled', status == 'queued' or job[8]
if status ~= 'queued' and status ~= 'running' and not repeated then return {'ENDED', status} end
if action == 'cancel' and unheld and placed ~= 'cancelled' then
  return {'PLACE', 'cancelled', job[5], job[4]}
end

local time = redis.call('TIME')
local clock, rev = time[1] * 1000 + math.floor(time[2] / 1000), job[6] + 1
local now = math.max(clock, tonumber(job[4]), tonumber(job[7] or 0))
-- PEXPIRE first: a script whose first write needs no memory goes through when memory is full. And a repeated
-- action must write something too, or a WAIT after it would count replicas that never saw the first.
for _, key in ipairs(KEYS) do redis.call('PEXPIRE', key, retention_ms) end
local changes = (action == 'pause' and not pausing) or (action == 'resume' and pausing)
  or (action == 'cancel' and not repeated and (unheld or not cancelling))
if changes then redis.call('HSET', KEYS[1], 'rev', rev) end
if changes and action == 'pause' then
  redis.call('HSET', KEYS[1], 'batchPauseRequested', 1)
elseif changes and action == 'resume' then
  -- The pace is measured anew, so that a pause is no part of it.
  local mark = string.format('%.0f %.0f', now, job[9] + job[10] + job[11])
  local pace = string.format('%.0f %s %s %s', now, mark, mark, mark)
  if status == 'running' then redis.call('HSET', KEYS[1], 'pace', pace) end
  redis.call('HDEL', KEYS[1], 'batchPauseRequested', 'batchPaused')
elseif changes and not unheld then
  redis.call('HSET', KEYS[1], 'batchCancelRequested', 1)
elseif changes then
  redis.call('HDEL', KEYS[1], 'token', 'seq', 'checkpoint', 'kept', 'takeoverMs', 'suspectAt', 'leaseExpiresAt', 'pace',
    'worker', 'batchCancelRequested', 'batchPauseRequested', 'batchPaused', 'batchAwaitingWorker', 'windowEndsAt',
    'windowMs', 'renewedAt', 'partsAtWork', 'partsCompleted', 'partsPaused', 'partsCounted', 'partsTotal')
  redis.call('HSET', KEYS[1], 'status', 'cancelled', 'completedAt', string.format('%.0f', now))
end
return {'OK', redis.call('HGETALL', KEYS[1])}
