-- turn: take or keep the turn to work off an index, so that of many reapers one looks
--
-- KEYS
--   1  turn     hash: who has the turn
-- ARGV
--   1  token    text: the reaper's own
--   2  turn_ms  ms that the turn lasts from now
-- RETURNS
--   {'OK'}     the turn is the reaper's
--   {'TAKEN'}  another reaper has it; the key's time to live says how long
--   {'INVALID', name}  this argument is no such number; nothing written
-- WRITES
--   turn: holder

local token, turn_ms = ARGV[1], ARGV[2]
if not string.find(turn_ms, '^[1-9]%d*$') or tonumber(turn_ms) >= 2^53 then return {'INVALID', 'turn_ms'} end
local holder = redis.call('HGET', KEYS[1], 'holder')
if holder and holder ~= token then return {'TAKEN'} end
-- PERSIST first, which changes nothing: a script whose first write needs no memory goes through when memory is full.
redis.call('PERSIST', KEYS[1])
redis.call('HSET', KEYS[1], 'holder', token)
redis.call('PEXPIRE', KEYS[1], turn_ms)
return {'OK'}
