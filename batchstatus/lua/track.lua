-- track: note when to look at a job's lease; written before the lease is, so that no lease goes unseen
-- A look that is due sooner stays: the claim may be refused, and then the lease is another's.
--
-- KEYS
--   1  leases    zset: time of the next look (ms since the epoch) → member
-- ARGV
--   1  member    text: org:jobId
--   2  lease_ms  ms from now to the look
--   3  which     text: LT, or XX to put the look off, if there is to be one
-- RETURNS
--   {'OK'}
-- WRITES
--   leases: the member

local member, lease_ms, which = ARGV[1], ARGV[2], ARGV[3]
local time = redis.call('TIME')
local due = time[1] * 1000 + math.floor(time[2] / 1000) + lease_ms
redis.call('ZADD', KEYS[1], which, string.format('%.0f', due), member)
return {'OK'}
