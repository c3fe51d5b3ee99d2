-- part: take a step with one part of a split job, and change the job by what the step changes of the part
-- The first chunk of the script that batchstatus/protocol/of_part.py puts together; step, sum and write.lua follow.
-- Above stand the verb (claim, report, finish, settle) as a function, its name as VERB, and as RETENTION_MS, MAX_ROWS,
-- PLACED and SUCCEEDED the numbers of its arguments of these names, nil where it has none. ARGV are the verb's.
--
-- KEYS
--   1  job       hash
--   2  leases    zset: the end of its lease (ms since the epoch) → a part at work
--   3  awaiting  zset: the end of its window (ms since the epoch) → a part that awaits another worker
--   4  part      hash: its key ends in the part's number; then, once KEYS was answered, the keys of all parts follow
--   5  failures  list: the part's
--   6  skips     list: the part's
-- RETURNS
--   {'KEYS', parts}          nothing written: send the same with the keys of all parts, to renew their times to live
--   {'WHOLE'}                to a claim: the job is not split; nothing written
--   {'BEYOND', parts}        to a claim: the job has only so many parts; nothing written
--   {'OK', hash, job_hash}   to a claim: claimed; the part, and then the job, field by field
--   {'VACANT', due}          to a settle: the part has ended, but the job goes on
--   {'QUEUED'}               to a settle: nobody has claimed the part; nothing written
--   {'ENDED', status}        to a claim: the job is terminal; to a settle without the status
--   {'FENCED', status}       to a report or finish: nobody has claimed the part, or the job is terminal; nothing written
--   {'PLACE', status, kind, created_ms}  nothing written: place the job in the index of that status, and ask again
--   {'INVALID', name}        this argument is no such number, or `range`: a sum is; nothing written
--   {'NOT_FOUND'}
-- WRITES
--   job: status succeeded failed skipped totalItems rev heartbeatAt leaseExpiresAt windowEndsAt claimedAt pace renewedAt
--        partsAtWork partsCompleted partsPaused partsCounted partsTotal batchPaused batchAwaitingWorker completedAt
--        workerError jobFailure -leaseExpiresAt -windowEndsAt -pace -windowMs -renewedAt -partsAtWork -partsCompleted
--        -partsPaused -partsCounted -partsTotal -batchCancelRequested -batchPauseRequested -batchPaused
--        -batchAwaitingWorker
--   part: status kind createdAt takeoverMs succeeded failed skipped fence seq rev batchCancelRequested
--        batchPauseRequested -batchCancelRequested -batchPauseRequested -batchPaused
--   leases, awaiting: the part's number

local read = function(key, ...)
  local of = redis.call('HMGET', key, 'status', 'succeeded', 'failed', 'skipped', 'totalItems', 'rev', 'heartbeatAt',
    'leaseExpiresAt', 'batchCancelRequested', 'batchPauseRequested', 'batchPaused', 'batchAwaitingWorker', ...)
  local status, awaits = of[1], of[12]
  return {
    status = status, succeeded = of[2], failed = of[3], skipped = of[4], totalItems = of[5], rev = of[6],
    heartbeatAt = of[7], leaseExpiresAt = of[8], batchCancelRequested = of[9], batchPauseRequested = of[10],
    batchPaused = of[11], awaits = awaits, works = status == 'running' and not awaits,
    ended = status and status ~= 'queued' and status ~= 'running'
  }, unpack(of, 13)
end
local retention_ms, number = ARGV[RETENTION_MS], string.match(KEYS[4], '^.*:(%d+)$')
if not string.find(retention_ms, '^[1-9]%d*$') then return {'INVALID', 'retention_ms'} end
local job, parts, renewed_at, at_work, paused, counted, of_parts, pace = read(KEYS[1],
  'parts', 'renewedAt', 'partsAtWork', 'partsPaused', 'partsCounted', 'partsTotal', 'pace')
local before, time = read(KEYS[4]), redis.call('TIME')
if not job.status then return {'NOT_FOUND'} end
if VERB == 'claim' and not parts then return {'WHOLE'} end
if VERB == 'claim' and number - parts > 0 then return {'BEYOND', parts} end
if VERB ~= 'claim' and not (parts and before.status) then
  if VERB == 'settle' then return {'QUEUED'} end
  return {'FENCED', 'queued'}
end
if job.ended and not before.ended then
  if VERB == 'settle' then return {'ENDED'} end
  if VERB == 'claim' then return {'ENDED', job.status} end
  return {'FENCED', job.status}
end
local now, kept_ms, renews = time[1] * 1000 + math.floor(time[2] / 1000), retention_ms * 1.25, #KEYS > 6
if not job.ended and not renews and now - renewed_at - retention_ms / 4 > 0 then return {'KEYS', parts} end
local added = SUCCEEDED and tonumber(ARGV[SUCCEEDED]) or 0
if job.succeeded + job.failed + job.skipped + added >= 2^53 then return {'INVALID', 'range'} end
