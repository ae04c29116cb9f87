-- Begins a writer generation, and a new log where the old one cannot go on.
--
-- KEYS: 1 the hub's lease, 2 the log's name, 3 the log, 4 the secret, 5 the active set, 6 the hubs,
--       7 the renewals and 8 the losses, which are only checked, 9 the times that agents were told,
--       10 whose agents are
-- ARGV: 1 the hub, 2 generation, 3 lease in ms, 4 url, 5 version, 6 started, 7 agents, 8 sessions,
--       9 the log that the hub knows ("": none), 10 the revision and 11 the key ("": not known) of
--       the last entry of it that the hub has folded,
--       12 "1" to begin a new log in any case, 13 a name for a new log, 14 a secret if there is none,
--       15 "1" when the hub has opened before, 16 the hub's times
-- Returns {log, revision, "1" when the log is new to the hub, secret, url and started of the lease
-- that was replaced, if it was another process's and had not expired, else twice "", the key of the
-- entry at that revision, "" when there is none, what was found that no hub wrote, else "", and why
-- the log is new to the hub: "asked", "empty", "unreadable", "older", "diverged", "elsewhere", or ""};
-- or {"taken", url} and changes nothing, when the hub has opened before, and a process that started
-- later has the lease. So of two processes with one id, the later one continues. A process that
-- opens for the first time always gets the lease: the other may have been killed a moment ago.

local lease, name_key, log, secret_key, active, hubs, times, owners =
    KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6], KEYS[9], KEYS[10]
local known_log, known_revision, known_key = ARGV[9], tonumber(ARGV[10]), ARGV[11]
local SHORTEST_SECRET, LONGEST_SECRET = 32, 4096
local STARTED = '^%d%d%d%d%-%d%d%-%d%dT%d%d:%d%d:%d%d[%d.]*Z$'

local problem = misfit(name_key, 'string') or misfit(log, 'stream')
    or misfit(secret_key, 'string') or misfit(active, 'set') or misfit(hubs, 'set')
    or misfit(KEYS[7], 'stream') or misfit(KEYS[8], 'hash') or misfit(times, 'hash')
    or misfit(owners, 'hash')
if problem then
    return problem
end
local name = redis.call('GET', name_key)
local secret = redis.call('GET', secret_key)
local stored = last_revision(log)
local found = ''
if name and not is_log_name(name) then
    name = false
    found = 'the Redis key ' .. name_key .. ' held no name of a change log'
end
if not stored and redis.call('EXISTS', log) == 1 then
    found = 'the Redis key ' .. log .. ' had an entry with an id that no hub can have written'
end

-- Another entry at the revision that the hub knows: a failover lost changes, and others followed.
local diverged = false
if stored and name == known_log then
    diverged = is_another(key_at(log, ARGV[10]), known_key)
end

local other_url, other_started = '', ''
if is_lease(lease) then
    local said = redis.call('HMGET', lease, 'url', 'started')
    if said[2] and said[2] ~= ARGV[6] and string.find(said[2], STARTED) then
        other_url, other_started = said[1] or '', said[2]
    end
end
if ARGV[15] == '1' and other_started > ARGV[6] then
    return {'taken', other_url}
end

-- The first write is one that a full, read-only or failing server refuses before anything has
-- changed; once a script has written, Redis allows its other writes.
if misfit(lease, 'hash') then
    set_aside(base_of(log, 'agents:log'), lease)
end
redis.call('HSET', lease, 'generation', ARGV[2], 'url', ARGV[4], 'version', ARGV[5],
    'started', ARGV[6], 'agents', ARGV[7], 'sessions', ARGV[8], 'revision', ARGV[10],
    'times', ARGV[16])
redis.call('PEXPIRE', lease, ARGV[3])
redis.call('SADD', hubs, ARGV[1])
-- These would expire if all hubs had released the namespace; see `forget`.
for _, key in ipairs({name_key, log, secret_key, times, owners}) do
    redis.call('PERSIST', key)
end

if not secret or #secret < SHORTEST_SECRET or #secret > LONGEST_SECRET then
    secret = ARGV[14]
    redis.call('SET', secret_key, secret)
end

if ARGV[12] ~= '1' and name and stored and stored >= known_revision and not diverged then
    local fresh = known_log ~= '' and known_log ~= name
    local key = key_at(log, digits(stored)) or ''
    return {name, digits(stored), fresh and '1' or '0', secret, other_url, other_started, key, found,
        fresh and 'elsewhere' or ''}
end

local why = 'asked'
if found ~= '' then
    why = 'unreadable'
elseif not (name and stored) then
    why = 'empty'
elseif stored < known_revision then
    why = 'older'
elseif diverged then
    why = 'diverged'
end

-- A new log. Its stream is empty but exists, so that a missing stream always means lost data, and
-- has the revision to continue from. The id of the next entry, {revision + 1}-0, comes after
-- {revision}-1; 0-0 would not be allowed.
name = ARGV[13]
local floor = math.max(stored or 0, known_revision)
if not stored and found ~= '' then
    local newest = redis.call('XREVRANGE', log, digits(LARGEST), '-', 'COUNT', 1)[1]
    if newest then
        floor = math.max(floor, whole(string.match(newest[1], '^%d+')) or 0)
    end
end
redis.call('UNLINK', log)
redis.call('XADD', log, digits(floor) .. '-1', 'kind', '')
redis.call('XDEL', log, digits(floor) .. '-1')
redis.call('SET', name_key, name)
return {name, digits(floor), '1', secret, other_url, other_started, '', found, why}
