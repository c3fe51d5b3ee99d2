-- step: hand control's flags on to a part at work, and take the step, once the job is placed for what follows

local flags = {'batchCancelRequested', 'batchPauseRequested'}
local is_news = job.batchCancelRequested ~= before.batchCancelRequested
  or job.batchPauseRequested ~= before.batchPauseRequested
if is_news and before.status == 'running' and not job.ended then
  -- PEXPIRE first: a script whose first write needs no memory goes through when memory is full.
  redis.call('PEXPIRE', KEYS[1], retention_ms)
  for _, flag in ipairs(flags) do
    if job[flag] then redis.call('HSET', KEYS[4], flag, 1) else redis.call('HDEL', KEYS[4], flag) end
  end
  if before.batchPaused and not job.batchPauseRequested then
    redis.call('HDEL', KEYS[4], 'batchPaused')
    paused, before.batchPaused = paused - 1, false
    redis.call('HSET', KEYS[1], 'partsPaused', paused)
  end
end
local placed, max_rows = PLACED and ARGV[PLACED], MAX_ROWS and tonumber(ARGV[MAX_ROWS])
ARGV[RETENTION_MS] = string.format('%.0f', kept_ms)
if max_rows then ARGV[MAX_ROWS] = string.format('%.0f', math.floor(max_rows / parts)) end
local take = function(there)
  if PLACED then ARGV[PLACED] = there end
  return verb({KEYS[4], KEYS[5], KEYS[6]}, ARGV)
end
-- With the part placed nowhere, the verb says into which status the part would come, and writes nothing yet.
local answer = take('')
local to, status, ends, completed
if answer[1] == 'PLACE' then to = answer[2] end
if answer[1] == 'NOT_FOUND' then to = 'running' end
if to then
  local kind, created_ms, window_ms
  completed, kind, created_ms, window_ms = unpack(
    redis.call('HMGET', KEYS[1], 'partsCompleted', 'kind', 'createdAt', 'windowMs'))
  status = to
  if to == 'running' and job.status ~= 'queued' then status = nil end
  if to == 'completed' and completed + 1 - parts ~= 0 then status = nil end
  if job.batchCancelRequested and (to == 'cancelled' or before.awaits) then
    status = at_work - (before.works and 1 or 0) == 0 and 'cancelled'
  end
  ends = status and status ~= 'running'
  if ends and not renews then return {'KEYS', parts} end
  if status and status ~= placed then return {'PLACE', status, kind, created_ms} end
  if to == 'running' then
    redis.call('HSET', KEYS[4], 'status', 'queued', 'kind', kind, 'createdAt', created_ms, 'takeoverMs', window_ms,
      'succeeded', 0, 'failed', 0, 'skipped', 0, 'fence', 0, 'seq', 0, 'rev', 0)
    for _, flag in ipairs(flags) do
      if job[flag] then redis.call('HSET', KEYS[4], flag, 1) end
    end
  end
  answer = take(to)
end
