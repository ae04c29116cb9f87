-- Begins a writer generation, and a new log where the old one cannot go on.
--
-- KEYS: 1 the hub's lease, 2 the log's name, 3 the log, 4 the secret, 5 the active set
-- ARGV: 1 generation, 2 url, 3 version, 4 started, 5 lease in ms,
--       6 the log that the hub knows ("": none), 7 the revision that it knows,
--       8 "1" to begin a new log in any case, 9 a name for a new log, 10 a secret if there is none
-- Returns {log, revision, "1" when the log is new to the hub, secret}

local lease, name_key, log, secret_key, active = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local known_log, known_revision = ARGV[6], tonumber(ARGV[7])
local SHORTEST_SECRET = 32

local problem = misfit(name_key, 'string') or misfit(log, 'stream')
    or misfit(secret_key, 'string') or misfit(active, 'set')
if problem then
    return problem
end
local name = redis.call('GET', name_key)
local secret = redis.call('GET', secret_key)
local stored = last_revision(log)

-- The first write is one that a full, read-only or failing server refuses, before anything has
-- changed; once a script has written, Redis lets the rest of it pass.
if misfit(lease, 'hash') then
    redis.call('DEL', lease)
end
redis.call('HSET', lease, 'generation', ARGV[1], 'url', ARGV[2], 'version', ARGV[3],
    'started', ARGV[4])
redis.call('PEXPIRE', lease, ARGV[5])

if not secret or #secret < SHORTEST_SECRET then
    secret = ARGV[10]
    redis.call('SET', secret_key, secret)
end

if ARGV[8] ~= '1' and name and stored and stored >= known_revision then
    local fresh = known_log ~= '' and known_log ~= name
    return {name, digits(stored), fresh and '1' or '0', secret}
end

-- A new log. Its stream is empty and yet exists, so that a missing stream always means lost data,
-- and remembers the revision to go on from. The next entry's id, {revision + 1}-0, comes after
-- {revision}-1; and 0-0 would not be allowed.
name = ARGV[9]
local floor = math.max(stored or 0, known_revision)
redis.call('UNLINK', log)
redis.call('XADD', log, digits(floor) .. '-1', 'kind', '')
redis.call('XDEL', log, digits(floor) .. '-1')
redis.call('SET', name_key, name)
return {name, digits(floor), '1', secret}
