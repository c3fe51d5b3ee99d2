-- write: the job's hash: what follows from the parts at work while it runs, and what stays of it once it has ended

if status then put('status', status) end
if ends then
  local worker_error, job_failure = unpack(redis.call('HMGET', KEYS[4], 'workerError', 'jobFailure'))
  put('completedAt', math.max(now, heartbeat))
  if status == 'failed' and worker_error then put('workerError', worker_error) end
  if status == 'failed' and job_failure then put('jobFailure', job_failure) end
  redis.call('HDEL', KEYS[1], 'leaseExpiresAt', 'windowEndsAt', 'pace', 'windowMs', 'renewedAt', 'partsAtWork',
    'partsCompleted', 'partsPaused', 'partsCounted', 'partsTotal', 'batchCancelRequested', 'batchPauseRequested',
    'batchPaused', 'batchAwaitingWorker')
else
  at_work = at_work + (part.works and 1 or 0) - (before.works and 1 or 0)
  paused = paused + (part.batchPaused and 1 or 0) - (before.batchPaused and 1 or 0)
  local all_paused = job.batchPauseRequested and paused > 0 and paused == at_work
  if not all_paused ~= not job.batchPaused then put('batchPaused', all_paused and 1) end
  if part.works ~= before.works then
    put('partsAtWork', at_work)
    put('batchAwaitingWorker', at_work == 0 and 1)
  end
  if part.batchPaused ~= before.batchPaused then put('partsPaused', paused) end
  if to == 'completed' then put('partsCompleted', completed + 1) end
  if renews then put('renewedAt', now) end
  -- The earliest lease is another part's, and stays so, unless this part's is or was as early.
  local earliest = part.works and before.works and tonumber(job.leaseExpiresAt)
  if not earliest or math.min(part.leaseExpiresAt, before.leaseExpiresAt) <= earliest then
    put('leaseExpiresAt', first(KEYS[2]))
  end
  if part.awaits or before.awaits then put('windowEndsAt', first(KEYS[3])) end
  -- The pace is that of all parts together. It is measured anew where nobody was at work, or rows are taken back.
  if VERB == 'claim' and idle then put('claimedAt', heartbeat) end
  if VERB == 'claim' and (idle or not pace or done < job.succeeded + job.failed + job.skipped) then
    local mark = string.format('%.0f %.0f', heartbeat, done)
    put('pace', string.format('%.0f %s %s %s', heartbeat, mark, mark, mark))
  end
  if VERB == 'report' and answer[1] == 'OK' then keep_pace({KEYS[1]}, heartbeat, pace or '', done) end
end
redis.call('HSET', KEYS[1], unpack(set))
if #gone > 0 then redis.call('HDEL', KEYS[1], unpack(gone)) end
redis.call('PEXPIRE', KEYS[1], retention_ms)
-- The sorted sets live as long as the parts, which are renewed now and then.
if renews or part.works ~= before.works or part.awaits ~= before.awaits then
  for at = 2, 3 do redis.call('PEXPIRE', KEYS[at], ARGV[RETENTION_MS]) end
end
for at = 7, #KEYS do redis.call('PEXPIRE', KEYS[at], ARGV[RETENTION_MS]) end
if VERB == 'claim' then return {'OK', answer[2], redis.call('HGETALL', KEYS[1])} end
if answer[1] == 'SETTLED' and not ends then return {'VACANT', 0} end
return answer
