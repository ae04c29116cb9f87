-- Puts back the tokens that a hub knows after the server has lost its data.
--
-- KEYS: 1 the tokens
-- ARGV: 1 the revision of a new lineage, 2… pairs of a field and its value
-- Returns the revision. What is there already stays, since another hub may have put it back.

local tokens = KEYS[1]

for i = 2, #ARGV, 2 do
    if not redis.call('HGET', tokens, ARGV[i]) then
        redis.call('HSET', tokens, ARGV[i], ARGV[i + 1])
    end
end
if not redis.call('HGET', tokens, ':revision') then
    redis.call('HSET', tokens, ':revision', ARGV[1])
end
return redis.call('HGET', tokens, ':revision')
