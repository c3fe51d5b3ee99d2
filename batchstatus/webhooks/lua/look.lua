-- look: note when to look at the notices of a job next, or that there is nothing to look for any more
-- After a look, only where nobody has asked for another meanwhile.
--
-- KEYS
--   1  looks     zset: time of the next look (ms since the epoch) → member
-- ARGV
--   1  member    text: org:jobId
--   2  in_ms     ms from now to the look; '' for none
--   3  was_ms    ms since the epoch: for when the look was asked for that this comes of; '' if it comes of none
-- RETURNS
--   {'OK'}
--   {'ASKED'}          another look has been asked for since, or there is no entry; nothing written
--   {'INVALID', name}  this argument is no such number; nothing written
-- WRITES
--   looks: the member

local member, in_ms, was_ms = ARGV[1], ARGV[2], ARGV[3]
if not string.find(in_ms, '^%d*$') or #in_ms > 15 then return {'INVALID', 'in_ms'} end
if not string.find(was_ms, '^%d*$') or #was_ms > 15 then return {'INVALID', 'was_ms'} end
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local due = tonumber(redis.call('ZSCORE', KEYS[1], member) or 0)
if was_ms ~= '' and due ~= tonumber(was_ms) then return {'ASKED'} end
-- Two questions of the same ms are two all the same; backwards, for a look that is asked for is due at once.
if was_ms == '' and due <= now and now - due < 1000 then now = due - 1 end
if in_ms == '' then
  redis.call('ZREM', KEYS[1], member)
else
  redis.call('ZADD', KEYS[1], string.format('%.0f', now + in_ms), member)
end
return {'OK'}
