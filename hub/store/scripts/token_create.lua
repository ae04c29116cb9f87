-- Adds a token, unless there are too many.
--
-- KEYS: 1 the tokens
-- ARGV: 1 its id, 2 its facts, 3 the registrations that it has, or nothing, 4 the fields that the
--       hash may have before, 5 a revision for the first token
-- Returns 1; 0 when the id is taken, -1 when there may be too many tokens.

local tokens, id = KEYS[1], ARGV[1]

if redis.call('HGET', tokens, id) then
    return 0
end
if redis.call('HLEN', tokens) > tonumber(ARGV[4]) then
    return -1
end
redis.call('HSET', tokens, id, ARGV[2])
if ARGV[3] ~= '' then
    redis.call('HSET', tokens, id .. ':uses', ARGV[3])
end
if not redis.call('HGET', tokens, ':revision') then
    redis.call('HSET', tokens, ':revision', ARGV[5])
end
return 1
