-- Stores the revision up to which a loss of agents has been acknowledged; it never decreases.
--
-- KEYS: 1 the losses, 2 the log
-- ARGV: 1 revision

local problem = misfit(KEYS[1], 'hash') or misfit(KEYS[2], 'stream')
if problem then
    return problem
end
local known = whole(redis.call('HGET', KEYS[1], 'acknowledged') or '') or 0
-- What the log has not reached yet was not written by a hub.
if tonumber(ARGV[1]) > known or known > (last_revision(KEYS[2]) or 0) then
    redis.call('HSET', KEYS[1], 'acknowledged', ARGV[1])
end
redis.call('PERSIST', KEYS[1]) -- see `forget`
return 1
