-- Takes one of the registrations that a token has left, or gives it back.
--
-- KEYS: 1 the tokens
-- ARGV: 1 its id, 2 -1 to take one, 1 to give one back, 3 a random text of this step
-- Returns how many are left then; -1 when none was, or the token has no such number.
--
-- A step that is repeated, since its answer did not come, is not done again: the texts of the last
-- steps are kept.

local tokens, id, step, KEPT = KEYS[1], ARGV[1], ARGV[3], 64

local left = whole(redis.call('HGET', tokens, id .. ':uses'))
local steps = redis.call('HGET', tokens, id .. ':steps') or ''
if left and string.find(steps, step, 1, true) then
    return left
end
if not left or left + tonumber(ARGV[2]) < 0 then
    return -1
end
left = left + tonumber(ARGV[2])
steps = string.sub(step .. ' ' .. steps, 1, KEPT * (#step + 1))
redis.call('HSET', tokens, id .. ':uses', left, id .. ':steps', steps)
return left
