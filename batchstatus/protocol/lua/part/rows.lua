-- rows: read a split job, and some of its rows: those of its parts, one part after the other, all of one moment
--
-- KEYS
--   1  job    hash; then of each part, in their order, its hash and its two lists
-- ARGV
--   1  start  rows: the number of the first one, from 0
--   2  limit  rows: the most failed, and as many skipped, ones
--   3  most   rows: the most that are stored of a job
-- RETURNS
--   {hash, failures, skips, stored, lost_failures, lost_skips}  stored: the number of failed rows of each part
-- WRITES
--   nothing

local start, limit, most = tonumber(ARGV[1]), tonumber(ARGV[2]), math.floor(ARGV[3] * 3 / (#KEYS - 1))
local stored, rows, before, lost = {}, {{}, {}}, {0, 0}, {0, 0}
for at = 2, #KEYS, 3 do
  local part = redis.call('HMGET', KEYS[at], 'failed', 'skipped', 'maxRows')
  for list = 1, 2 do
    local key, length = KEYS[at + list], part[1] and redis.call('LLEN', KEYS[at + list]) or 0
    local from, left = math.max(start - before[list], 0), limit - #rows[list]
    if from < length and left > 0 then
      for _, row in ipairs(redis.call('LRANGE', key, from, from + left - 1)) do
        rows[list][#rows[list] + 1] = row
      end
    end
    before[list] = before[list] + length
    if list == 1 then stored[#stored + 1] = length end
    lost[list] = lost[list] + math.max(0, math.min(part[list] or 0, part[3] or most) - length)
  end
end
return {redis.call('HGETALL', KEYS[1]), rows[1], rows[2], stored, lost[1], lost[2]}
