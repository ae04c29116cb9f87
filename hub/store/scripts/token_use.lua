-- Takes one of the registrations that a token has left, or gives it back.
--
-- KEYS: 1 the tokens
-- ARGV: 1 its id, 2 -1 to take one, 1 to give one back
-- Returns how many are left then; -1 when none was, or the token has no such number.

local tokens, field = KEYS[1], ARGV[1] .. ':uses'

local left = whole(redis.call('HGET', tokens, field))
if not left or left + tonumber(ARGV[2]) < 0 then
    return -1
end
left = left + tonumber(ARGV[2])
redis.call('HSET', tokens, field, left)
return left
