-- report: count rows, store the failed and the skipped ones, and renew the lease: all of it or nothing
-- The lines that keep the pace serve the job of a part, too: batchstatus/protocol/of_part.py takes them from here.
-- All numbers are judged in two looks, because every report pays for them. Which is wrong matters only where one is.
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
--   {'OK', rev, wanted, total, lease_end, checkpoint}         counted; wanted: cancel, pause or run; '' where there is none
--   {'DUPLICATE', rev, wanted, total, lease_end, checkpoint}  the last report again, or a heartbeat: lease renewed, no more
--   {'FENCED', status}                 fence or token are not the newest, or the job is not running; nothing written
--   {'GAP', seq}                       seq is not the last one, given here, nor a report's next; nothing written
--   {'EMPTY', seq}                     no content, under a report's next number; the last one is given; nothing written
--   {'INVALID', name}                  this argument is no such number, or `range`: a number or a sum is; nothing written
--   {'NOT_FOUND'}
-- WRITES
--   job: heartbeatAt leaseExpiresAt seq succeeded failed skipped totalItems maxRows checkpoint kept batchPaused pace
--        rev -suspectAt -batchAwaitingWorker
--   failures, skips: the rows, up to max_rows of each; maxRows notes that others were only counted, not lost

local fence, token, seq, lease_ms, retention_ms, max_rows = ARGV[1], ARGV[2], ARGV[3], ARGV[4], ARGV[5], ARGV[6]
local succeeded, total_items, checkpoint, kept_ok, kept_failed = ARGV[7], ARGV[8], ARGV[9], ARGV[10], ARGV[11]
local kept_skipped, paused, n_failures = ARGV[12], ARGV[13], ARGV[14]
if not string.find(table.concat(ARGV, ' ', 3, 8), '^%d+ %d+ [1-9]%d* %d+ %d+ %d*$')
  or not string.find(table.concat(ARGV, ' ', 10, 14), '^%d+ %d+ %d+ %d+ %d+$') then
  for name, number in pairs({seq = seq, lease_ms = lease_ms, max_rows = max_rows, succeeded = succeeded, paused = paused,
    kept_ok = kept_ok, kept_failed = kept_failed, kept_skipped = kept_skipped, n_failures = n_failures}) do
    if not string.find(number, '^%d+$') then return {'INVALID', name} end
  end
  return {'INVALID', string.find(total_items, '^%d*$') and 'retention_ms' or 'total_items'}
end
local job = redis.call('HMGET', KEYS[1], 'status', 'fence', 'seq', 'heartbeatAt', 'totalItems', 'succeeded', 'failed',
  'skipped', 'batchCancelRequested', 'batchPauseRequested', 'batchPaused', 'rev', 'token', 'batchAwaitingWorker', 'pace',
  'suspectAt')
if not job[1] then return {'NOT_FOUND'} end
if job[1] ~= 'running' or job[2] ~= fence or job[13] ~= token then return {'FENCED', job[1]} end
local last, n_skips, n_failures = tonumber(job[3]), #ARGV - 14 - n_failures, tonumber(n_failures)
local new, wanted = seq - last ~= 0, job[9] and 'cancel' or job[10] and 'pause' or 'run'
local pausing = paused == '1' and wanted == 'pause' and not job[11]
if new and seq - last ~= 1 then return {'GAP', last} end
if new and #ARGV == 14 and succeeded .. total_items .. checkpoint == '0' then return {'EMPTY', last} end
local ok, failed, skipped, time = job[6] + succeeded, job[7] + n_failures, job[8] + n_skips, redis.call('TIME')
local total = (total_items ~= '' or job[5]) and math.max(total_items ~= '' and total_items or job[5], ok + failed + skipped)
local now = math.max(time[1] * 1000 + math.floor(time[2] / 1000), job[4])
local rev, most = job[12] + ((new or pausing or job[14]) and 1 or 0), math.max(retention_ms, now + lease_ms, total or 0)
if n_skips < 0 or math.max(most, ok + failed + skipped) >= 2^53 then return {'INVALID', 'range'} end
if new then
  for list, first in pairs({[2] = 15, [3] = 15 + n_failures}) do
    local n, room = list == 2 and n_failures or n_skips, max_rows - redis.call('LLEN', KEYS[list])
    if n > room then redis.call('HSET', KEYS[1], 'maxRows', max_rows) end
    local to = first + math.min(n, room) - 1
    for from = first, to, 1000 do redis.call('RPUSH', KEYS[list], unpack(ARGV, from, math.min(from + 999, to))) end
  end
  local kept = string.format('%.0f %.0f %.0f', job[6] + kept_ok, job[7] + kept_failed, job[8] + kept_skipped)
  if checkpoint ~= '' then redis.call('HSET', KEYS[1], 'checkpoint', checkpoint, 'kept', kept) end
  if total then redis.call('HSET', KEYS[1], 'totalItems', total) end
  redis.call('HSET', KEYS[1], 'succeeded', ok, 'failed', failed, 'skipped', skipped)
  local pace, done = job[15] or '', ok + failed + skipped
  if now >= (tonumber(string.sub(pace, 1, 13)) or 2^53) then
    local due = now + math.max(2000, (now - (tonumber(redis.call('HGET', KEYS[1], 'claimedAt')) or now)) / 8)
    local newest = string.format('%.0f %.0f %.0f %%1', due, now, done)
    redis.call('HSET', KEYS[1], 'pace', (string.gsub(pace, '^%d+ (%d+ %d+) %d+ %d+', newest)))
  end
end
for _, key in ipairs(KEYS) do redis.call('PEXPIRE', key, retention_ms) end
if job[16] then redis.call('HDEL', KEYS[1], 'suspectAt', 'batchAwaitingWorker') end
if pausing then redis.call('HSET', KEYS[1], 'batchPaused', 1) end
redis.call('HSET', KEYS[1], 'seq', seq + 0, 'rev', rev, 'heartbeatAt', now, 'leaseExpiresAt', now + lease_ms)
local after = redis.call('HMGET', KEYS[1], 'totalItems', 'leaseExpiresAt', 'checkpoint')
return {new and 'OK' or 'DUPLICATE', rev, wanted, after[1] or '', after[2], after[3] or ''}
