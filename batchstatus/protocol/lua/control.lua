-- control: ask for a pause, a resume or a cancel; what is asked for already changes nothing
--
-- KEYS
--   1  job           hash
--   2  failures      list
--   3  skips         list
-- ARGV
--   1  action        text: pause, resume or cancel
--   2  retention_ms  ms
--   3  placed        text: the status in whose index the job has been placed for this, or ''
-- RETURNS
--   {'OK', hash}       the job as it stands now, field by field
--   {'ENDED', status}  the job is terminal; nothing written
--   {'PLACE', status, kind, created_ms}  nothing written: place the job in the index of that status, and ask again
--   {'NOT_FOUND'}
-- WRITES
--   job: status completedAt rev batchPauseRequested batchCancelRequested
--        -batchPauseRequested -batchPaused -takeoverMs -seq

local action, retention_ms, placed = ARGV[1], ARGV[2], ARGV[3]
local job = redis.call('HMGET', KEYS[1],
  'status', 'batchPauseRequested', 'batchCancelRequested', 'createdAt', 'kind', 'rev')
local status, pausing, cancelling = job[1], job[2], job[3]
if not status then return {'NOT_FOUND'} end
local repeated = action == 'cancel' and status == 'cancelled'
if status ~= 'queued' and status ~= 'running' and not repeated then return {'ENDED', status} end
if action == 'cancel' and status == 'queued' and placed ~= 'cancelled' then
  return {'PLACE', 'cancelled', job[5], job[4]}
end

local time = redis.call('TIME')
local now, rev = math.max(time[1] * 1000 + math.floor(time[2] / 1000), tonumber(job[4])), job[6] + 1
-- PEXPIRE first: a script whose first write needs no memory goes through when memory is full. And a repeated
-- action must write something too, or a WAIT after it would count replicas that never saw the first.
for _, key in ipairs(KEYS) do redis.call('PEXPIRE', key, retention_ms) end
local changes = (action == 'pause' and not pausing) or (action == 'resume' and pausing)
  or (action == 'cancel' and not cancelling and not repeated)
if changes then redis.call('HSET', KEYS[1], 'rev', rev) end
if changes and action == 'pause' then
  redis.call('HSET', KEYS[1], 'batchPauseRequested', 1)
elseif changes and action == 'resume' then
  redis.call('HDEL', KEYS[1], 'batchPauseRequested', 'batchPaused')
elseif changes and status == 'running' then
  redis.call('HSET', KEYS[1], 'batchCancelRequested', 1)
elseif changes then
  redis.call('HDEL', KEYS[1], 'batchPauseRequested', 'takeoverMs', 'seq')
  redis.call('HSET', KEYS[1], 'status', 'cancelled', 'completedAt', string.format('%.0f', now))
end
return {'OK', redis.call('HGETALL', KEYS[1])}
