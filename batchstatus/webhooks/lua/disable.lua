-- disable: note that an endpoint wants no notices any more, unless it has been removed
--
-- KEYS
--   1  endpoints  hash: short id → record, and <short id>:disabled → the reason
-- ARGV
--   1  id         text: the endpoint's short id
--   2  field      text: <short id>:disabled
--   3  reason     text: why, for people
-- RETURNS
--   {'OK'}
--   {'NOT_FOUND'}  there is no such endpoint; nothing written
-- WRITES
--   endpoints: field

local id, field, reason = ARGV[1], ARGV[2], ARGV[3]
if not redis.call('HGET', KEYS[1], id) then return {'NOT_FOUND'} end
redis.call('HSET', KEYS[1], field, reason)
return {'OK'}
