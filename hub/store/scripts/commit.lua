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
local TAIL, TAIL_BEGINS, TAIL_BYTES =
    '^,"epoch":(%d+),"hub":"[^"]*","revision":%d+}$', ',"epoch":', 192
-- How many ids go into one command: Lua can put only some thousands onto its stack.
local AT_ONCE = 1000

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

-- The epoch in our own end of a record, as text; nil when there is no such end. The place is looked
-- for as plain text, which is much faster than a pattern that may begin anywhere.
local function epoch_in(tail)
    local at = string.find(tail, TAIL_BEGINS, 1, true)
    while at do
        local epoch = string.match(tail, TAIL, at)
        if epoch then
            return epoch
        end
        at = string.find(tail, TAIL_BEGINS, at + 1, true)
    end
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
    local epoch = epoch_in(tail)
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

-- The epoch that the change is applied with, as text; or nil, and why it is not applied.
local function decide(operation, epoch, stored)
    if stored == false then
        return nil, 'poisoned'
    end
    if operation == 'register' or operation == 'resume' then
        if operation == 'resume' and not stored then
            return nil, 'missing'
        end
        return digits(math.max(stored or 0, tonumber(epoch)) + 1)
    end
    local own = tonumber(epoch)
    if stored and stored > own then
        return nil, 'fenced'
    end
    if operation == 'write' or operation == 'renew' then
        -- What is older than the writer's own session is not its entry either.
        if not stored or (stored ~= own and stored ~= 0) then
            return nil, 'missing'
        end
    end
    return epoch
end

-- Adds all ids that are `present` to the active set, or takes those that are not out of it.
local function settle(command, members, present)
    local ids = {}
    for agent_id, is_member in pairs(members) do
        if is_member == present then
            ids[#ids + 1] = agent_id
        end
    end
    for from = 1, #ids, AT_ONCE do
        redis.call(command, active, unpack(ids, from, math.min(from + AT_ONCE - 1, #ids)))
    end
end

local revision = before
local members = {}
local answer = {'ok', digits(before)}
for i = 1, #KEYS - FIXED do
    local key, at = KEYS[FIXED + i], FIXED + (i - 1) * EACH
    local operation, agent_id, kind = ARGV[at + 1], ARGV[at + 2], ARGV[at + 7]
    local epoch, refusal = decide(operation, ARGV[at + 3], stored_epoch(key))
    if not epoch then
        answer[#answer + 1] = refusal .. ' 0'
    else
        local logged = kind ~= '' and operation ~= 'renew'
        local written = logged and digits(revision + 1) or ARGV[at + 5]
        local record = ARGV[at + 9] .. ',"epoch":' .. epoch
            .. ',"hub":"' .. ARGV[at + 6] .. '","revision":' .. written .. '}'
        members[agent_id] = operation ~= 'remove'
        if operation == 'remove' then
            redis.call('DEL', key)
        else
            redis.call('SET', key, record, 'PX', ARGV[at + 4])
        end
        if logged then
            revision = revision + 1
            redis.call('XADD', log, 'MAXLEN', '~', ARGV[4], written .. '-0',
                'kind', kind, 'agent', record, 'key', ARGV[at + 8])
        end
        answer[#answer + 1] = written .. ' ' .. epoch
    end
end
settle('SADD', members, true)
settle('SREM', members, false)

-- Last, because it is a write that a full server allows, and after any write Redis would let the
-- rest of the script pass as well.
redis.call('PEXPIRE', lease, ARGV[3])
return table.concat(answer, ' ')
