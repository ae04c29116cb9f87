-- Renews the hub's lease while its writer generation is still this one.
--
-- KEYS: 1 the hub's lease
-- ARGV: 1 generation, 2 lease in ms
-- Returns 1 when it was renewed, 0 when the lease has lapsed or is another generation's.

if redis.call('HGET', KEYS[1], 'generation') ~= ARGV[1] then
    return 0
end
return redis.call('PEXPIRE', KEYS[1], ARGV[2])
