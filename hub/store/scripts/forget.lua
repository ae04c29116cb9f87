-- Ends the hub's lease, and lets the namespace's keys expire when no other hub is left.
--
-- KEYS: 1 the hub's lease, 2 the hubs, 3 the active set, 4… what no agent needs: the log, its name,
--       the secret, the losses, the times that agents were told, and whose they are
-- ARGV: 1 generation, 2 the hub, 3 time to live in ms
-- Returns 1 when the keys will expire, else 0.
--
-- One step, so that of two hubs that release the namespace at once the last one sees that it is the
-- last. The keys stay if the namespace is opened again in time.

local lease, hubs, active, FIXED = KEYS[1], KEYS[2], KEYS[3], 3

if redis.call('HGET', lease, 'generation') ~= ARGV[1] then
    return 0
end
redis.call('SREM', hubs, ARGV[2])
redis.call('DEL', lease)
if redis.call('EXISTS', hubs, active) > 0 then
    return 0
end
for i = FIXED + 1, #KEYS do
    redis.call('PEXPIRE', KEYS[i], ARGV[3])
end
return 1
