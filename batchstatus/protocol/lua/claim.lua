-- claim: take a queued job, or one whose worker is known to be dead within its takeover window
-- A takeover does the rows after the checkpoint again: counters and lists return to what the checkpoint covers.
--
-- KEYS
--   1  job           hash
--   2  failures      list
--   3  skips         list
-- ARGV
--   1  token         text, one for each run: the same claim again gives the same fence
--   2  lease_ms      ms
--   3  grace_ms      ms between the first and the second look past a lease
--   4  retention_ms  ms
--   5  placed        text: the status in whose index the job has been placed for this, or ''
--   6  worker        text, at most 100 characters: who the worker is, for people; may be left out, or ''
-- RETURNS
--   {'OK', hash}         claimed; the job, field by field, with the new fence
--   {'HELD', left_ms}    another lease is alive, or its worker not known to be dead; below 0: past the lease
--   {'ENDED', status}    the job is terminal
--   {'SPLIT', parts}     the job is split into so many parts, and one of them is to be claimed
--   {'PLACE', status, kind, created_ms}  nothing written: place the job in the index of that status, and ask again
--   {'INVALID', name}    this argument is no such number; nothing written
--   {'NOT_FOUND'}
-- WRITES
--   job: status token fence seq attempt leaseExpiresAt heartbeatAt rev succeeded failed skipped kept
--        claimedAt pace worker -worker -suspectAt -batchPaused -batchAwaitingWorker
--   failures, skips: none but the covered rows stay

local token, lease_ms, grace_ms = ARGV[1], ARGV[2], ARGV[3]
local retention_ms, placed, worker = ARGV[4], ARGV[5], ARGV[6]
for name, number in pairs({lease_ms = lease_ms, grace_ms = grace_ms, retention_ms = retention_ms}) do
  local zero = name == 'retention_ms' and string.find(number, '^0')
  if not string.find(number, '^%d+$') or zero or tonumber(number) >= 2^53 then return {'INVALID', name} end
end
local job = redis.call('HMGET', KEYS[1],
  'status', 'token', 'leaseExpiresAt', 'suspectAt', 'takeoverMs', 'heartbeatAt', 'kind', 'createdAt', 'fence', 'rev',
  'kept', 'checkpoint', 'succeeded', 'failed', 'skipped', 'attempt', 'parts')
local status = job[1]
if not status then return {'NOT_FOUND'} end
if job[17] then return {'SPLIT', job[17]} end
local time = redis.call('TIME')
local clock = time[1] * 1000 + math.floor(time[2] / 1000)
if status == 'running' and job[2] == token then
  -- A WAIT after a repeat needs a write of it.
  for _, key in ipairs(KEYS) do redis.call('PEXPIRE', key, retention_ms) end
  return {'OK', redis.call('HGETALL', KEYS[1])}
end
if status == 'running' then
  local lease_end, suspect_at = tonumber(job[3]), tonumber(job[4])
  local vacant = suspect_at and clock >= lease_end and clock - suspect_at - grace_ms >= 0
    and clock < lease_end + tonumber(job[5])
  if not vacant then return {'HELD', lease_end - clock} end
elseif status ~= 'queued' then
  return {'ENDED', status}
elseif placed ~= 'running' then
  return {'PLACE', 'running', job[7], job[8]}
end

local now, fence, rev = math.max(clock, tonumber(job[6] or job[8])), job[9] + 1, job[10] + 1
-- A checkpoint without `kept` was given by a worker of an older release: it covers all that is counted.
local kept = job[11] or job[12] and string.format('%s %s %s', job[13], job[14], job[15]) or '0 0 0'
local succeeded, failed, skipped = string.match(kept, '^(%d+) (%d+) (%d+)$')
local last_failed, last_skipped = failed - 1, skipped - 1
local at, mark = string.format('%.0f', now), string.format('%.0f %.0f', now, succeeded + failed + skipped)
redis.call('HDEL', KEYS[1], 'worker', 'suspectAt', 'batchPaused', 'batchAwaitingWorker')
redis.call('HSET', KEYS[1], 'status', 'running', 'token', token, 'fence', fence, 'seq', 0, 'rev', rev,
  'attempt', (job[16] or 0) + 1,
  'succeeded', succeeded, 'failed', failed, 'skipped', skipped, 'kept', kept,
  'claimedAt', at, 'pace', string.format('%s %s %s %s', at, mark, mark, mark),
  'heartbeatAt', at, 'leaseExpiresAt', string.format('%.0f', now + lease_ms))
if worker and worker ~= '' then redis.call('HSET', KEYS[1], 'worker', worker) end
redis.call('LTRIM', KEYS[2], last_failed < 0 and 1 or 0, math.max(last_failed, 0))
redis.call('LTRIM', KEYS[3], last_skipped < 0 and 1 or 0, math.max(last_skipped, 0))
for _, key in ipairs(KEYS) do redis.call('PEXPIRE', key, retention_ms) end
return {'OK', redis.call('HGETALL', KEYS[1])}
