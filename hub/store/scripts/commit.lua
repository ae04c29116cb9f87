-- Applies a batch of changes in one step, in order: the table of `actors.ports.Change`.
--
-- KEYS: 1 the hub's lease, 2 the log's name, 3 the log, 4 the active set, 5… one entry a change
-- ARGV: 1 generation, 2 the log that the hub writes, 3 lease in ms, 4 length of the log,
--       5… nine a change: operation, id, epoch, ttl in ms, revision, hub, kind, key, head
-- Returns "fenced" when nothing was applied; otherwise words: "ok", the revision before, and for
-- each change two, its revision and epoch, or why it was refused and "0".
--
-- One text is returned and not a table, because a client reads it many times faster.

local lease, name_key, log, active = KEYS[1], KEYS[2], KEYS[3], KEYS[4]
local FIXED, EACH = 4, 9

-- Our own end of a record; nothing but an entry of ours ends in this way. 192 bytes hold it, since
-- a hub's id has at most 64.
local TAIL, TAIL_BYTES = ',"epoch":(%d+),"hub":"[^"]*","revision":%d+}$', 192

if redis.call('HGET', lease, 'generation') ~= ARGV[1] then
    return 'fenced'
end
local problem = misfit(name_key, 'string') or misfit(log, 'stream') or misfit(active, 'set')
if problem then
    return problem
end
local before = last_revision(log)
if redis.call('GET', name_key) ~= ARGV[2] or not before then
    return 'fenced'
end

-- The epoch of what is stored: 0 in a legacy record, nil when there is none, false when the key
-- holds something that is no record.
local function stored_epoch(key)
    local tail = redis.pcall('GETRANGE', key, -TAIL_BYTES, -1)
    if type(tail) == 'table' then
        -- `tostring`, because the server in memory puts no text of Lua's own there.
        if string.find(tostring(tail.err), 'WRONGTYPE', 1, true) then
            return false
        end
        tail = redis.call('GETRANGE', key, -TAIL_BYTES, -1) -- the same error ends the script
    end
    local epoch = string.match(tail, TAIL)
    if epoch then
        return tonumber(epoch)
    end
    if tail == '' and redis.call('EXISTS', key) == 0 then
        return nil
    end
    -- Not written by us, or put into another form since.
    local value = redis.call('GET', key)
    if not string.find(value, '^%s*{') then
        return false
    end
    local readable, record = pcall(cjson.decode, value)
    if not readable or type(record) ~= 'table' then
        return false
    end
    if type(record.epoch) == 'number' and record.epoch >= 1 then
        return math.floor(record.epoch)
    end
    return 0
end

-- The epoch that the change is applied with; or nil, and why it is not applied.
local function decide(operation, epoch, stored)
    if stored == false then
        return nil, 'poisoned'
    end
    if operation == 'register' or operation == 'resume' then
        if operation == 'resume' and not stored then
            return nil, 'missing'
        end
        return math.max(stored or 0, epoch) + 1
    end
    if stored and stored > epoch then
        return nil, 'fenced'
    end
    if operation == 'write' or operation == 'renew' then
        -- What is older than the writer's own session is not its entry either.
        if not stored or (stored ~= epoch and stored ~= 0) then
            return nil, 'missing'
        end
    end
    return epoch
end

local revision = before
local answer = {'ok', digits(before)}
for i = 1, #KEYS - FIXED do
    local key, at = KEYS[FIXED + i], FIXED + (i - 1) * EACH
    local operation, agent_id, kind = ARGV[at + 1], ARGV[at + 2], ARGV[at + 7]
    local epoch, refusal = decide(operation, tonumber(ARGV[at + 3]), stored_epoch(key))
    if not epoch then
        answer[#answer + 1] = refusal .. ' 0'
    else
        local logged = kind ~= '' and operation ~= 'renew'
        local written = logged and digits(revision + 1) or ARGV[at + 5]
        local record = ARGV[at + 9] .. ',"epoch":' .. digits(epoch)
            .. ',"hub":"' .. ARGV[at + 6] .. '","revision":' .. written .. '}'
        if operation == 'remove' then
            redis.call('DEL', key)
            redis.call('SREM', active, agent_id)
        else
            redis.call('SET', key, record, 'PX', ARGV[at + 4])
            redis.call('SADD', active, agent_id)
        end
        if logged then
            revision = revision + 1
            redis.call('XADD', log, 'MAXLEN', '~', ARGV[4], written .. '-0',
                'kind', kind, 'agent', record, 'key', ARGV[at + 8])
        end
        answer[#answer + 1] = written .. ' ' .. digits(epoch)
    end
end

-- Last, because it is a write that a full server allows, and after any write Redis would let the
-- rest of the script pass as well.
redis.call('PEXPIRE', lease, ARGV[3])
return table.concat(answer, ' ')
