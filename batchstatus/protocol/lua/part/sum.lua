-- sum: change the job by what the step has changed of the part, so that its counters are the sum at every instant

local wrote = {OK = true, DUPLICATE = true, RELEASED = true, VACANT = true, SETTLED = true}
if job.ended or not wrote[answer[1]] then return answer end
local part, idle = read(KEYS[4]), at_work == '0'
local sum = function(name) return job[name] + part[name] - (before[name] or 0) end
local ok, failed, skipped = sum('succeeded'), sum('failed'), sum('skipped')
local done, heartbeat = ok + failed + skipped, math.max(job.heartbeatAt or 0, part.heartbeatAt)
local set = {'succeeded', ok, 'failed', failed, 'skipped', skipped, 'rev', sum('rev'), 'heartbeatAt', heartbeat}
local gone = {}
local put = function(name, value)
  if value then set[#set + 1], set[#set + 2] = name, value else gone[#gone + 1] = name end
end
local first = function(key)
  return tonumber(redis.call('ZRANGEBYSCORE', key, '-inf', '+inf', 'WITHSCORES', 'LIMIT', 0, 1)[2])
end
if not counted and job.totalItems and done - job.totalItems > 0 then put('totalItems', done) end
if counted and part.totalItems ~= before.totalItems then
  counted, of_parts = counted + (before.totalItems and 0 or 1), of_parts + part.totalItems - (before.totalItems or 0)
  put('partsCounted', counted)
  put('partsTotal', of_parts)
  if counted - parts == 0 then put('totalItems', math.min(of_parts, 2^53 - 1)) end
end
if part.works then redis.call('ZADD', KEYS[2], part.leaseExpiresAt, number) end
if before.works and not part.works then redis.call('ZREM', KEYS[2], number) end
if part.awaits then
  local window_ms = redis.call('HGET', KEYS[4], 'takeoverMs')
  redis.call('ZADD', KEYS[3], string.format('%.0f', part.leaseExpiresAt + window_ms), number)
elseif before.awaits then
  redis.call('ZREM', KEYS[3], number)
end
