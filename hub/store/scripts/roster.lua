-- Renews the hub's lease if its writer generation is still this one, and returns the living hubs.
--
-- KEYS: 1 the log's name, 2 the log, 3 the losses, 4 the hubs, 5 the hub's lease,
--       6… the leases of the hubs that are asked about
-- ARGV: 1 generation ("": nothing is renewed), 2 the log that the hub writes, 3 lease in ms,
--       4 agents, 5 sessions, 6 the revision that the hub has reached, 7 the hub,
--       8… the hubs that are asked about
-- Returns "fenced" when the lease has expired or is of another generation, or the log is not the
-- one that the hub writes; otherwise {the log's revision, the revision up to which a loss has been
-- acknowledged, and for each living hub: id, url, version, started, agents, sessions, revision,
-- times}.

local name_key, log, loss, hubs, lease = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local KEYS_BEFORE, ARGUMENTS_BEFORE = 5, 7

local problem = misfit(name_key, 'string') or misfit(log, 'stream')
    or misfit(loss, 'hash') or misfit(hubs, 'set')
if problem then
    return problem
end
local revision = last_revision(log)
if ARGV[1] ~= '' then
    if redis.call('HGET', lease, 'generation') ~= ARGV[1]
        or redis.call('GET', name_key) ~= ARGV[2] or not revision then
        return 'fenced'
    end
    -- PEXPIRE first: a full server allows it and, after any write, the rest of the script. So a hub
    -- does not count as dead because Redis is full.
    redis.call('PEXPIRE', lease, ARGV[3])
    redis.call('HSET', lease, 'agents', ARGV[4], 'sessions', ARGV[5], 'revision', ARGV[6])
    redis.call('SADD', hubs, ARGV[7])
end

revision = revision or 0
-- What no log has reached yet cannot have been acknowledged.
local acknowledged = whole(redis.call('HGET', loss, 'acknowledged') or '') or 0
local answer = {digits(revision), digits(acknowledged <= revision and acknowledged or 0)}
for i = KEYS_BEFORE + 1, #KEYS do
    local hub_id = ARGV[ARGUMENTS_BEFORE + i - KEYS_BEFORE]
    if is_lease(KEYS[i]) then
        answer[#answer + 1] = hub_id
        local said = redis.call('HMGET', KEYS[i],
            'url', 'version', 'started', 'agents', 'sessions', 'revision', 'times')
        for field = 1, #said do
            answer[#answer + 1] = said[field] or ''
        end
    else
        -- A hub that comes back adds itself again.
        redis.call('SREM', hubs, hub_id)
    end
end
return answer
