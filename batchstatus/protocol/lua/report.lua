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
--  10  paused        integer: 1 while the worker waits because a pause was asked for, else 0
--  11  n_failures    rows: so many failed rows follow, JSON each, then the skipped ones
-- RETURNS
--   {'OK', rev, wanted}         counted; wanted: cancel or pause, or run where neither is asked for
--   {'DUPLICATE', rev, wanted}  the last report again, or a heartbeat: nothing counted, lease renewed
--   {'FENCED', status}          fence or token are not the newest, or the job is not running; nothing written
--   {'GAP', seq}                seq is not the last one, given here, nor a report's next; nothing written
--   {'TOO_MANY', total}         more rows than the job has; nothing written
--   {'NOT_FOUND'}
-- WRITES
--   job: heartbeatAt leaseExpiresAt seq succeeded failed skipped totalItems checkpoint batchPaused rev -suspectAt
--   failures, skips: the rows, up to max_rows of each

local fence, token, seq, lease_ms, retention_ms, max_rows = ARGV[1], ARGV[2], tonumber(ARGV[3]), ARGV[4], ARGV[5], ARGV[6]
local succeeded, total_items, checkpoint, paused, n_failures = ARGV[7], ARGV[8], ARGV[9], ARGV[10], tonumber(ARGV[11])
local job = redis.call('HMGET', KEYS[1], 'status', 'fence', 'seq', 'heartbeatAt', 'totalItems',
  'succeeded', 'failed', 'skipped', 'batchCancelRequested', 'batchPauseRequested', 'batchPaused', 'rev', 'token')
if not job[1] then return {'NOT_FOUND'} end
if job[1] ~= 'running' or job[2] ~= fence or job[13] ~= token then return {'FENCED', job[1]} end
local last, n_skips = tonumber(job[3]), #ARGV - 11 - n_failures
local new, wanted = seq ~= last, job[9] and 'cancel' or job[10] and 'pause' or 'run'
if new and (seq ~= last + 1 or #ARGV == 11 and succeeded .. total_items .. checkpoint == '0') then return {'GAP', last} end
local total = tonumber(total_items ~= '' and total_items or job[5] or 2 ^ 53 - 1)
if new and job[6] + job[7] + job[8] + succeeded + n_failures + n_skips > total then return {'TOO_MANY', total} end
local room = {[2] = max_rows - redis.call('LLEN', KEYS[2]), [3] = max_rows - redis.call('LLEN', KEYS[3])}
local pausing, time = paused == '1' and wanted == 'pause' and not job[11], redis.call('TIME')
local now, rev = math.max(time[1] * 1000 + math.floor(time[2] / 1000), job[4]), job[12] + ((new or pausing) and 1 or 0)
if new then
  redis.call('HINCRBY', KEYS[1], 'succeeded', succeeded)
  redis.call('HINCRBY', KEYS[1], 'failed', n_failures)
  redis.call('HINCRBY', KEYS[1], 'skipped', n_skips)
  for list, first in pairs({[2] = 12, [3] = 12 + n_failures}) do
    local to = first + math.min(list == 2 and n_failures or n_skips, room[list]) - 1
    for from = first, to, 1000 do redis.call('RPUSH', KEYS[list], unpack(ARGV, from, math.min(from + 999, to))) end
  end
  if total_items ~= '' then redis.call('HSET', KEYS[1], 'totalItems', total_items) end
  if checkpoint ~= '' then redis.call('HSET', KEYS[1], 'checkpoint', checkpoint) end
end
for _, key in ipairs(KEYS) do redis.call('PEXPIRE', key, retention_ms) end
if pausing then redis.call('HSET', KEYS[1], 'batchPaused', 1) end
redis.call('HDEL', KEYS[1], 'suspectAt')
redis.call('HSET', KEYS[1], 'seq', seq, 'rev', rev, 'heartbeatAt', string.format('%.0f', now),
  'leaseExpiresAt', string.format('%.0f', now + lease_ms))
return {new and 'OK' or 'DUPLICATE', rev, wanted}
