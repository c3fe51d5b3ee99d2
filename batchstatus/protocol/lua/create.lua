-- create: make a queued job, or find the one made before with the same content
--
-- KEYS
--   1  job           hash
--   2  failures      list
--   3  skips         list
-- ARGV
--   1  org_id        text
--   2  job_id        text
--   3  kind          text
--   4  total_items   rows, or '' while not counted
--   5  metadata      JSON object
--   6  takeover_ms   ms after a lease's end in which another worker may take over; 0: none may
--   7  digest        text, the same for the same content
--   8  retention_ms  ms
--   9  created_ms    ms since the epoch: when it was entered into its organization's index
--  10  fresh_ms      ms that this may be ago
--  11  parts         integer: into so many parts is it split, 2 to 1000, or '' for a job of one worker
-- RETURNS
--   {'CREATED', hash}  the job, field by field
--   {'EXISTS', hash}   it was created before with this content; only its retention begins anew
--   {'STALE'}          it was entered too long ago, by a job that is gone; nothing was written
--   {'TAKEN', status, kind, created_ms}  the id belongs to a job with other content; nothing was written
--   {'INVALID', name}  this argument is no such number; nothing was written
-- WRITES
--   job: orgId jobId kind status succeeded failed skipped createdAt metadata takeoverMs digest fence seq rev
--        totalItems parts windowMs renewedAt partsAtWork partsCompleted partsPaused partsCounted partsTotal
--        -takeoverMs -fence -seq

local org_id, job_id, kind, total_items = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
local metadata, takeover_ms, digest, retention_ms = ARGV[5], ARGV[6], ARGV[7], ARGV[8]
local created_ms, fresh_ms, parts = ARGV[9], ARGV[10], ARGV[11]
for name, number in pairs({total_items = total_items == '' and '0' or total_items, takeover_ms = takeover_ms,
  retention_ms = retention_ms, created_ms = created_ms, fresh_ms = fresh_ms}) do
  local zero = name == 'retention_ms' and string.find(number, '^0')
  if not string.find(number, '^%d+$') or zero or tonumber(number) >= 2^53 then return {'INVALID', name} end
end
local split = parts and parts ~= ''
if split and (not string.find(parts, '^[1-9]%d?%d?%d?$') or parts - 2 < 0 or parts - 1000 > 0) then
  return {'INVALID', 'parts'}
end

if redis.call('EXISTS', KEYS[1]) == 1 then
  local job = redis.call('HMGET', KEYS[1], 'digest', 'status', 'kind', 'createdAt')
  if job[1] ~= digest then return {'TAKEN', job[2], job[3], job[4]} end
  -- Something must be written: a WAIT after a repeat that writes nothing would say nothing about the first.
  for _, key in ipairs(KEYS) do redis.call('PEXPIRE', key, retention_ms) end
  return {'EXISTS', redis.call('HGETALL', KEYS[1])}
end

local time = redis.call('TIME')
if time[1] * 1000 + math.floor(time[2] / 1000) - created_ms - fresh_ms > 0 then return {'STALE'} end

redis.call('HSET', KEYS[1], 'orgId', org_id, 'jobId', job_id, 'kind', kind, 'status', 'queued',
  'succeeded', 0, 'failed', 0, 'skipped', 0, 'createdAt', created_ms, 'metadata', metadata,
  'takeoverMs', takeover_ms, 'digest', digest, 'fence', 0, 'seq', 0, 'rev', 1)
if total_items ~= '' then redis.call('HSET', KEYS[1], 'totalItems', total_items) end
if split then
  redis.call('HSET', KEYS[1], 'parts', parts, 'windowMs', takeover_ms, 'renewedAt', created_ms,
    'partsAtWork', 0, 'partsCompleted', 0, 'partsPaused', 0)
  if total_items == '' then redis.call('HSET', KEYS[1], 'partsCounted', 0, 'partsTotal', 0) end
  redis.call('HDEL', KEYS[1], 'takeoverMs', 'fence', 'seq')
end
redis.call('PEXPIRE', KEYS[1], retention_ms)
return {'CREATED', redis.call('HGETALL', KEYS[1])}
