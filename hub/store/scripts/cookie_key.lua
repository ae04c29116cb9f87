-- The key with which login cookies of one period are signed; that of the present one is made.
--
-- KEYS: 1 the tokens
-- ARGV: 1 the number of the present period, 2 a new key for it, 3 the number of the period asked for
-- Returns its key; false when that period is over, or has not begun.

local tokens, present = KEYS[1], tonumber(ARGV[1])
local prefix = ':cookie:'

if not redis.call('HGET', tokens, prefix .. present) then
    redis.call('HSET', tokens, prefix .. present, ARGV[2])
    redis.call('HDEL', tokens, prefix .. (present - 2))
end
return redis.call('HGET', tokens, prefix .. ARGV[3])
