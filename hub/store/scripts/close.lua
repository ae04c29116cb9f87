-- Ends the hub's lease if its writer generation is still this one.
--
-- KEYS: 1 the hub's lease, 2 the hubs
-- ARGV: 1 generation, 2 the hub
-- Returns 1 when it was ended, 0 when the lease has expired or is of another generation.

if redis.call('HGET', KEYS[1], 'generation') ~= ARGV[1] then
    return 0
end
redis.call('SREM', KEYS[2], ARGV[2])
return redis.call('DEL', KEYS[1])
