-- Stores the revision up to which a loss of agents has been acknowledged; it never decreases.
--
-- KEYS: 1 the losses
-- ARGV: 1 revision

local problem = misfit(KEYS[1], 'hash')
if problem then
    return problem
end
local known = tonumber(redis.call('HGET', KEYS[1], 'acknowledged') or '0') or 0
if tonumber(ARGV[1]) > known then
    redis.call('HSET', KEYS[1], 'acknowledged', ARGV[1])
end
redis.call('PERSIST', KEYS[1]) -- see `forget`
return 1
