-- report: count rows, store the failed and the skipped ones, and renew the lease: all of it or nothing
--
-- KEYS
--   1  job           hash
--   2  failures      list
--   3  skips         list
-- ARGV
--   1  fence         integer, from claim
--   2  token         text, the claim's: one that the store has lost may have left its fence to another
--   3  seq           integer: the last one plus one for a new report, the last one for a heartbeat
--   4  lease_ms      ms
--   5  retention_ms  ms
--   6  max_rows      rows: the most failed, and as many skipped, rows stored
--   7  succeeded     rows
--   8  total_items   rows, or '' to leave it
--   9  checkpoint    JSON, or '' to leave it
--  10  kept_ok       rows of `succeeded` that the checkpoint covers
--  11  kept_failed   rows: so many of the failed ones likewise, which come first
--  12  kept_skipped  rows: so many of the skipped ones likewise, which come first
--  13  paused        integer: 1 while the worker waits because a pause was asked for, else 0
--  14  n_failures    rows: so many failed rows follow, JSON each, then the skipped ones
-- RETURNS
--   {'OK', rev, wanted, total}         counted; wanted: cancel, pause or run; total: raised if it was too low, or ''
--   {'DUPLICATE', rev, wanted, total}  the last report again, or a heartbeat: nothing counted, lease renewed
--   {'FENCED', status}                 fence or token are not the newest, or the job is not running; nothing written
--   {'GAP', seq}                       seq is not the last one, given here, nor a report's next; nothing written
--   {'NOT_FOUND'}
-- WRITES
--   job: heartbeatAt leaseExpiresAt seq succeeded failed skipped totalItems checkpoint kept batchPaused rev -suspectAt
--   failures, skips: the rows, up to max_rows of each

local fence, token, seq, lease_ms, retention_ms, max_rows = ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[4], ARGV[5], ARGV[6]
local succeeded, total_items, checkpoint, kept_ok, kept_failed = ARGV[7], ARGV[8], ARGV[9], ARGV[10], ARGV[11]
local kept_skipped, paused, n_failures = ARGV[12], ARGV[13], tonumber(ARGV[14])
local job = redis.call('HMGET', KEYS[1], 'status', 'fence', 'seq', 'heartbeatAt', 'totalItems',
  'succeeded', 'failed', 'skipped', 'batchCancelRequested', 'batchPauseRequested', 'batchPaused', 'rev', 'token')
if not job[1] then return {'NOT_FOUND'} end
if job[1] ~= 'running' or job[2] ~= fence or job[13] ~= token then return {'FENCED', job[1]} end
local last, n_skips = tonumber(job[3]), #ARGV - 14 - n_failures
local new, wanted = seq ~= last, job[9] and 'cancel' or job[10] and 'pause' or 'run'
if new and (seq ~= last + 1 or #ARGV == 14 and succeeded .. total_items .. checkpoint == '0') then return {'GAP', last} end
local ok, failed, skipped, time = job[6] + succeeded, job[7] + n_failures, job[8] + n_skips, redis.call('TIME')
local total = (total_items ~= '' or job[5]) and math.max(total_items ~= '' and total_items or job[5], ok + failed + skipped)
local pausing = paused == '1' and wanted == 'pause' and not job[11]
local now, rev = math.max(time[1] * 1000 + math.floor(time[2] / 1000), job[4]), job[12] + ((new or pausing) and 1 or 0)
if new then
  for list, first in pairs({[2] = 15, [3] = 15 + n_failures}) do
    local to = first + math.min(list == 2 and n_failures or n_skips, max_rows - redis.call('LLEN', KEYS[list])) - 1
    for from = first, to, 1000 do redis.call('RPUSH', KEYS[list], unpack(ARGV, from, math.min(from + 999, to))) end
  end
  redis.call('HSET', KEYS[1], 'succeeded', ok, 'failed', failed, 'skipped', skipped)
  if total then redis.call('HSET', KEYS[1], 'totalItems', total) end
  local kept = string.format('%.0f %.0f %.0f', job[6] + kept_ok, job[7] + kept_failed, job[8] + kept_skipped)
  if checkpoint ~= '' then redis.call('HSET', KEYS[1], 'checkpoint', checkpoint, 'kept', kept) end
end
for _, key in ipairs(KEYS) do redis.call('PEXPIRE', key, retention_ms) end
if pausing then redis.call('HSET', KEYS[1], 'batchPaused', 1) end
redis.call('HDEL', KEYS[1], 'suspectAt')
redis.call('HSET', KEYS[1], 'seq', seq, 'rev', rev, 'heartbeatAt', now, 'leaseExpiresAt', now + lease_ms)
return {new and 'OK' or 'DUPLICATE', rev, wanted, redis.call('HGET', KEYS[1], 'totalItems') or ''}
