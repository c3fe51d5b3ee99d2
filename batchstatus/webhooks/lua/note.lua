-- note: note that an endpoint is to be told of a job's end
-- What is noted already stays as it is, unless it is to be sent again, or is of an earlier job under the same id,
-- which its notices outlive.
--
-- KEYS
--   1  job      hash
--   2  notice   hash
-- ARGV
--   1  id       text: the webhook-id, the same for every try
--   2  body     text: what is sent, byte for byte
--   3  keep_ms  ms that the notice is kept
--   4  again    text: again, to send it once more whatever has become of it, or ''
-- RETURNS
--   {'OK', state}      the state of the notice: due, delivered or failed
--   {'RUNNING'}        the job has not ended; nothing written
--   {'INVALID', name}  this argument is no such number; nothing written
--   {'NOT_FOUND'}      there is no such job; nothing written
-- WRITES
--   notice: id body state tries nextAt -token -heldUntil -triedAt -answer

local id, body, keep_ms, again = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
if not string.find(keep_ms, '^[1-9]%d*$') or tonumber(keep_ms) >= 2^53 then return {'INVALID', 'keep_ms'} end
local status = redis.call('HGET', KEYS[1], 'status')
if not status then return {'NOT_FOUND'} end
if status == 'queued' or status == 'running' then return {'RUNNING'} end
local state, of = unpack(redis.call('HMGET', KEYS[2], 'state', 'id'))
if not state or of ~= id or again ~= '' then
  local time = redis.call('TIME')
  local now = string.format('%.0f', time[1] * 1000 + math.floor(time[2] / 1000))
  state = 'due'
  redis.call('HSET', KEYS[2], 'id', id, 'body', body, 'state', state, 'tries', 0, 'nextAt', now)
  redis.call('HDEL', KEYS[2], 'token', 'heldUntil', 'triedAt', 'answer')
end
redis.call('PEXPIRE', KEYS[2], keep_ms)
return {'OK', state}
