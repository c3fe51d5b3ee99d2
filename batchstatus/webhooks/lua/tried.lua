-- tried: note what came of a try
-- It counts only from the dispatcher that has the try: the notice may be another by now, or be sent anew.
--
-- KEYS
--   1  notice  hash
-- ARGV
--   1  token   text: that of the try
--   2  state   text: delivered, failed (no more tries), or due (another try)
--   3  in_ms   ms to the next try
--   4  answer  text: what the endpoint answered, for people
-- RETURNS
--   {'OK'}
--   {'FENCED'}         another dispatcher has the try by now, or the notice is to be sent anew; nothing written
--   {'DONE', state}    delivered, or given up, already; nothing written
--   {'INVALID', name}  this argument is no such number; nothing written
--   {'NOT_FOUND'}      there is no such notice; nothing written
-- WRITES
--   notice: state nextAt answer -token -heldUntil

local token, state, in_ms, answer = ARGV[1], ARGV[2], ARGV[3], ARGV[4]
if not string.find(in_ms, '^%d+$') or tonumber(in_ms) >= 2^53 then return {'INVALID', 'in_ms'} end
if state ~= 'delivered' and state ~= 'failed' and state ~= 'due' then return {'INVALID', 'state'} end
local notice = redis.call('HMGET', KEYS[1], 'state', 'token')
if not notice[1] then return {'NOT_FOUND'} end
if notice[1] ~= 'due' then return {'DONE', notice[1]} end
if notice[2] ~= token then return {'FENCED'} end
local time = redis.call('TIME')
local next_at = time[1] * 1000 + math.floor(time[2] / 1000) + in_ms
redis.call('HSET', KEYS[1], 'state', state, 'nextAt', string.format('%.0f', next_at), 'answer', answer)
redis.call('HDEL', KEYS[1], 'token', 'heldUntil')
return {'OK'}
