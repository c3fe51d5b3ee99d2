-- try: take the next try of a notice, so that one dispatcher at a time sends it
--
-- KEYS
--   1  notice   hash
-- ARGV
--   1  token    text, one for each try
--   2  hold_ms  ms after which another dispatcher may try, if nothing is heard of this one
-- RETURNS
--   {'OK', id, body, tries, now}  send this; so many tries with this one; the time (ms since the epoch)
--   {'LATER', in_ms}              the next try is not due yet, or a dispatcher is at it; nothing written
--   {'DONE', state}               delivered, or given up; nothing written
--   {'INVALID', name}             this argument is no such number; nothing written
--   {'NOT_FOUND'}                 there is no such notice; nothing written
-- WRITES
--   notice: token heldUntil tries triedAt

local token, hold_ms = ARGV[1], ARGV[2]
if not string.find(hold_ms, '^[1-9]%d*$') or tonumber(hold_ms) >= 2^53 then return {'INVALID', 'hold_ms'} end
local notice = redis.call('HMGET', KEYS[1], 'state', 'nextAt', 'heldUntil', 'tries', 'id', 'body')
local state, tries, id, body = notice[1], (notice[4] or 0) + 1, notice[5], notice[6]
if not state or not id or not body then return {'NOT_FOUND'} end
if state ~= 'due' then return {'DONE', state} end
local time = redis.call('TIME')
local clock = time[1] * 1000 + math.floor(time[2] / 1000)
local wait_ms = math.max(tonumber(notice[2] or 0), tonumber(notice[3] or 0)) - clock
if wait_ms > 0 then return {'LATER', wait_ms} end
local now = string.format('%.0f', clock)
redis.call('HSET', KEYS[1], 'token', token, 'heldUntil', string.format('%.0f', clock + hold_ms), 'tries', tries,
  'triedAt', now)
return {'OK', id, body, tries, now}
