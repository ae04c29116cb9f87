-- Notes when tokens were used last.
--
-- KEYS: 1 the tokens
-- ARGV: 1… pairs of an id and a time
-- Returns the ids that are no tokens any more.

local tokens, missing = KEYS[1], {}

if not redis.call('HGET', tokens, ':revision') then
    return missing -- all is lost, and hubs put it back
end
for i = 1, #ARGV, 2 do
    if redis.call('HGET', tokens, ARGV[i]) then
        local field = ARGV[i] .. ':used'
        local known = tonumber(redis.call('HGET', tokens, field) or '') or 0
        if tonumber(ARGV[i + 1]) > known then -- another hub may have told a later one
            redis.call('HSET', tokens, field, ARGV[i + 1])
        end
    else
        missing[#missing + 1] = ARGV[i]
    end
end
return missing
