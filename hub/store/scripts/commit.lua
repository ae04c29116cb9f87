-- Applies a batch of changes in one step, in order: the table of `actors.ports.store.Change`.
--
-- KEYS: 1 the hub's lease, 2 the log's name, 3 the log, 4 the active set, 5 the renewals,
--       6 the times that agents were told, 7 the principals that they belong to,
--       8… the entry of each change; that of a register, claim, adopt, remove or restore is followed by
--         its tombstone
-- ARGV: 1 generation, 2 the log that the hub writes, 3 lease in ms, 4 length of the log,
--       5 the hub, if its renewals are to be announced, else empty, 6 bytes of the log,
--       7… for each change: operation, id, epoch, ttl in ms, revision, hub, head; and for all but
--       a renew: kind, key, seen, times ("": nothing was told), owner ("": as before; "!" and a
--       principal; "=" and a principal, if the agent is nobody else's); and if renewals are
--       announced: load, empty for none
-- Returns "fenced" when nothing was applied; otherwise words: "ok", the revision before, and for
-- each change two, its revision and epoch, or why it was refused and "0". When keys held no records,
-- each line that follows has the id of an agent and the key that what was there has now.
--
-- One text is returned and not a table, because a client reads it many times faster.

local lease, name_key, log, active, renewals = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5]
local announcing = ARGV[5] ~= ''
local times_key, owners = KEYS[6], KEYS[7]
local FIXED_KEYS, FIXED = 7, 6

-- The end of a record that a hub has written; no other text ends in this way. It has at most 192
-- bytes, because a hub's id has at most 64.
local TAIL, TAIL_BEGINS, TAIL_BYTES =
    '^,"epoch":(%d+),"hub":"[^"]*","revision":(%d+)}$', ',"epoch":', 192
local LAST_SEEN = '"last_seen":"'
-- How many ids one command has: Lua's stack holds only some thousands.
local AT_ONCE = 1000
-- How long the last epoch of a removed agent is kept: longer than a change that was made before the
-- removal can take to arrive.
local TOMBSTONE_MS = 3600000
-- How many of these are kept; the oldest go first, a few at a time. Epochs go up with the clock, so
-- that even without one no later epoch is lower: only what was written before the removal, and arrives
-- after as many others, could bring the agent back, until its lease runs out.
local TOMBSTONES, TOMBSTONES_AT_ONCE = 10000, 256
-- How long renewals are kept for hubs that read them late.
local RENEWALS_MS = 30000

if redis.call('HGET', lease, 'generation') ~= ARGV[1] then
    return 'fenced'
end
local problem = misfit(name_key, 'string') or misfit(log, 'stream') or misfit(active, 'set')
    or announcing and misfit(renewals, 'stream')
if problem then
    return problem
end
local before, log_info = last_revision(log)
if redis.call('GET', name_key) ~= ARGV[2] or not before then
    return 'fenced'
end

-- The end of a record, as a hub writes it.
local function tail_of(epoch, hub, revision)
    return ',"epoch":' .. epoch .. ',"hub":"' .. hub .. '","revision":' .. revision .. '}'
end

-- The `last_seen` of a record that a hub has written, or of its head. The first match is always the
-- right one: the values that agents choose and that come before it are strings, in which every
-- quote is escaped, and their metadata comes after it.
local function last_seen_in(record)
    local _, at = string.find(record, LAST_SEEN, 1, true)
    return at and string.match(record, '^[^"]*', at + 1) or ''
end

-- Epoch and revision from the end of a record, as text; nil when a hub did not write it. The place is
-- searched as plain text, which is much faster than a pattern that may match anywhere.
local function read_tail(tail)
    local at = string.find(tail, TAIL_BEGINS, 1, true)
    while at do
        local epoch, revision = string.match(tail, TAIL, at)
        if epoch then
            return epoch, revision
        end
        at = string.find(tail, TAIL_BEGINS, at + 1, true)
    end
end

-- Epoch and revision of the stored entry, and its `last_seen` where it had to be read anyway. The
-- epoch is 0 for a record of another program, such as the legacy registry, nil when nothing is stored, false when the key holds something
-- that is not a record.
local function read_entry(key, agent_id)
    local tail = redis.pcall('GETRANGE', key, -TAIL_BYTES, -1)
    if type(tail) == 'table' then
        -- `tostring`, because the server in memory has no Lua string there.
        if string.find(tostring(tail.err), 'WRONGTYPE', 1, true) then
            return false
        end
        tail = redis.call('GETRANGE', key, -TAIL_BYTES, -1) -- the same error ends the script
    end
    local epoch, revision = read_tail(tail)
    if epoch then
        epoch, revision = whole(epoch), whole(revision)
        return epoch and revision and epoch or false, revision
    end
    if tail == '' and redis.call('EXISTS', key) == 0 then
        return nil
    end
    -- Not written by a hub, or reformatted since.
    local value = redis.call('GET', key)
    if not string.find(value, '^%s*{') then
        return false
    end
    local readable, record = pcall(cjson.decode, value)
    if not readable or type(record) ~= 'table' or record.id ~= agent_id
        or type(record.name) ~= 'string' or type(record.last_seen) ~= 'string' then
        return false
    end
    if type(record.epoch) == 'number' and record.epoch >= 1 then
        local reached = type(record.revision) == 'number' and record.revision or 0
        if record.epoch > LARGEST or reached > LARGEST then
            return false
        end
        return math.floor(record.epoch), reached, record.last_seen
    end
    return 0, 0, record.last_seen
end

-- The epoch that the identity had when it was removed; 0 when it is not known.
local function last_epoch(tombstone)
    -- A table is an error: the key holds another type, so a hub did not write it.
    return whole(redis.pcall('GET', tombstone)) or 0
end

-- Why a change other than a register cannot be applied to the stored entry; nil if it can.
local function refusal_of(operation, key, own, known, seen, epoch, revision, last_seen)
    -- A resume asks for a new epoch, and does not claim to have the stored one.
    if epoch > own and operation ~= 'resume' then
        return 'fenced'
    end
    if revision > known then
        return 'stale'
    end
    if seen ~= '' and revision == known and (last_seen or last_seen_in(redis.call('GET', key))) ~= seen then
        return 'stale'
    end
    if operation == 'remove' or operation == 'restore' then
        return nil
    end
    -- An entry that is older than the writer's record is not the writer's entry either.
    if revision < known or epoch < own and operation ~= 'resume' then
        return 'missing'
    end
end

-- What was under keys of entries and was no record.
local aside = {}
local now

-- A new epoch: above the one that is known, and at least the clock's milliseconds, which no earlier
-- time reached. So an epoch is not given twice even where the store came back without the first.
local function raised(known)
    now = now or milliseconds()
    return digits(math.max(known + 1, now))
end

-- Whether any agent is somebody's; asked once a batch, because on an open hub none is.
local any_owned
local function is_any_owned()
    if any_owned == nil then
        any_owned = redis.call('EXISTS', owners) == 1
    end
    return any_owned
end

-- Whether an agent is somebody's to whom `owner` does not give it. While the key holds another type,
-- nobody knows whose an agent is: then it is.
local function is_anothers(agent_id, owner)
    if string.sub(owner, 1, 1) ~= '=' or not is_any_owned() then
        return false
    end
    local principal = redis.pcall('HGET', owners, agent_id)
    return principal and principal ~= string.sub(owner, 2)
end

-- Stores whose an agent is, "" for nobody's. A key of another type is left alone: `open` tells of it.
local function keep_owner(agent_id, principal)
    if principal ~= '' then
        redis.pcall('HSET', owners, agent_id, principal)
        any_owned = true
    elseif is_any_owned() then
        redis.pcall('HDEL', owners, agent_id)
    end
end

-- The epoch with which the change is applied, as text; or nil, and why it is not applied.
local function decide(operation, agent_id, key, epoch, revision, seen, tombstone, hub, owner)
    local stored, reached, last_seen = read_entry(key, agent_id)
    if stored == false then
        -- Nothing of an agent's is lost with it: whoever has the agent writes its record again.
        aside[#aside + 1] = agent_id .. ' ' .. set_aside(base_of(active, 'agents:active'), key)
        stored = nil
    end
    local own = tonumber(epoch)
    if stored and is_anothers(agent_id, owner) then
        return nil, 'owned'
    end
    if operation == 'claim' and stored and stored > 0
        and (stored > own or reached > tonumber(revision)) then
        return nil, 'stale' -- perhaps a session lives that the hub does not know
    end
    if operation == 'register' or operation == 'claim' then
        return raised(math.max(stored or 0, last_epoch(tombstone), own))
    end
    if operation == 'adopt' then
        if stored ~= 0 or last_seen ~= seen then
            return nil, 'stale'
        end
        return raised(last_epoch(tombstone))
    end
    if not stored then
        if operation ~= 'remove' and operation ~= 'restore' then
            local ended = operation == 'write' and hub == ''
                and redis.call('SISMEMBER', active, agent_id) == 0
            return nil, ended and 'deleted' or 'missing'
        end
        if own > 0 and last_epoch(tombstone) >= own then
            return nil, 'fenced' -- it has been removed since
        end
        return epoch
    end
    local known = tonumber(revision)
    if stored == 0 then
        if hub == '' and seen ~= last_seen and (operation == 'write' or operation == 'renew'
            or operation == 'restore' and seen ~= '' and tonumber(revision) > 0) then
            return nil, 'stale' -- what the other program wrote has not been taken in
        end
        if operation == 'restore' and tonumber(revision) == 0 then
            -- A hub may have had it before: no epoch is given twice.
            return raised(math.max(last_epoch(tombstone), own - 1))
        end
    else
        local refusal = refusal_of(operation, key, own, known, seen, stored, reached, last_seen)
        if refusal then
            return nil, refusal
        end
    end
    if operation == 'resume' then
        return raised(math.max(stored, own))
    end
    return epoch
end

-- Adds all ids that are `present` to the active set, or removes those that are not.
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

-- The bytes of all entries of the log before this one, and those of the entry itself; 0 for an
-- entry of an earlier version, which does not tell.
local function extent_of(entry)
    local before_it, size = 0, 0
    local fields = entry[2]
    for i = 1, #fields, 2 do
        if fields[i] == 'at' then
            before_it = whole(fields[i + 1]) or 0
        else
            size = size + #fields[i + 1]
        end
    end
    return before_it, size
end

-- The first or last entry of the log, as XINFO STREAM told before this batch; nil in an empty log.
local function end_entry(name)
    for i = 1, #log_info, 2 do
        if log_info[i] == name then
            return log_info[i + 1] or nil
        end
    end
end

-- Removes the oldest entries when all have more bytes than are kept; `total` are those of all
-- entries that there ever were. Each entry is read only once for this, before it is removed.
local function trim_to_bytes(total, most)
    local oldest = end_entry('first-entry')
    if not oldest or total - extent_of(oldest) <= most then
        return
    end
    -- A little more than needed, so that this is not done for every batch.
    local target, from = total - math.floor(most * 63 / 64), '-'
    while true do
        local entries = redis.call('XRANGE', log, from, '+', 'COUNT', 8)
        for _, entry in ipairs(entries) do
            from = entry[1]
            if extent_of(entry) >= target then
                redis.call('XTRIM', log, 'MINID', from)
                return
            end
        end
        if #entries < 8 then -- the newest is kept, whatever its size
            redis.call('XTRIM', log, 'MINID', from)
            return
        end
        from = '(' .. from
    end
end

-- Keeps what agents were told; "" for those that are removed. Most were told the same, which is kept
-- once, under "". A key of another type is left alone: `open` tells of it.
local function keep_told(told)
    if not next(told) then
        return
    end
    local usual = redis.pcall('HGET', times_key, '')
    if type(usual) == 'table' then
        return
    end
    for agent_id, times in pairs(told) do
        if times ~= '' and not usual then
            usual = times
            redis.call('HSET', times_key, '', usual)
        end
        if times ~= '' and times ~= usual then
            redis.call('HSET', times_key, agent_id, times)
        elseif redis.call('HGET', times_key, agent_id) then
            redis.call('HDEL', times_key, agent_id)
        end
    end
end

-- Removes the oldest tombstones when there are too many. `ended` are ids and epochs of the agents that
-- were removed; a tombstone goes unless its agent was removed again.
local function bound_tombstones(prefix, ended)
    local base = base_of(active, 'agents:active')
    local order = base .. 'agents:ended'
    if misfit(order, 'stream') then
        set_aside(base, order)
    end
    local length = 0
    for i = 1, #ended, 2 do
        redis.call('XADD', order, '*', ended[i], ended[i + 1])
    end
    local info = redis.call('XINFO', 'STREAM', order)
    for i = 1, #info, 2 do
        if info[i] == 'length' then
            length = info[i + 1]
        end
    end
    if length > TOMBSTONES + TOMBSTONES_AT_ONCE then
        for _, entry in ipairs(redis.call('XRANGE', order, '-', '+', 'COUNT', length - TOMBSTONES)) do
            local key = prefix .. entry[2][1]
            if redis.pcall('GET', key) == entry[2][2] then
                redis.call('UNLINK', key)
            end
        end
        redis.call('XTRIM', order, 'MAXLEN', TOMBSTONES)
    end
    redis.call('PEXPIRE', order, TOMBSTONE_MS)
end

local revision = before
local total
local ended, ended_prefix = {}, ''
local members, renewed, loads, loaded = {}, {}, {}, false
local answer = {'ok', digits(before)}
local key_at, at, last = FIXED_KEYS, FIXED, #ARGV
local told = {}
while at < last do
    local operation, agent_id, head = ARGV[at + 1], ARGV[at + 2], ARGV[at + 7]
    local key, kind, change_key, seen, times, owner = KEYS[key_at + 1], '', '', '', '', ''
    local tombstone
    local own, known, ttl, hub = ARGV[at + 3], ARGV[at + 5], ARGV[at + 4], ARGV[at + 6]
    key_at, at = key_at + 1, at + 7
    if operation ~= 'renew' then
        kind, change_key, seen, times = ARGV[at + 1], ARGV[at + 2], ARGV[at + 3], ARGV[at + 4]
        owner = ARGV[at + 5]
        at = at + 5
    end
    if operation == 'register' or operation == 'claim' or operation == 'adopt' or operation == 'remove'
        or operation == 'restore' then
        tombstone = KEYS[key_at + 1]
        key_at = key_at + 1
    end
    local load = ''
    if announcing then
        load, at = ARGV[at + 1], at + 1
    end
    local epoch, refusal, tail
    if operation == 'renew' then
        tail = tail_of(own, hub, known)
        if redis.pcall('GETRANGE', key, -#tail, -1) == tail then
            epoch = own -- nearly always, so that nothing has to be parsed
        end
    end
    if not epoch then
        epoch, refusal = decide(operation, agent_id, key, own, known, seen, tombstone, hub, owner)
    end
    if not epoch then
        answer[#answer + 1] = refusal .. ' 0'
    else
        local written = kind ~= '' and digits(revision + 1) or known
        local record = head .. (tail or tail_of(epoch, hub, written))
        members[agent_id] = operation ~= 'remove'
        if operation == 'remove' then
            redis.call('DEL', key)
            redis.call('SET', tombstone, epoch, 'PX', TOMBSTONE_MS)
            ended[#ended + 1], ended[#ended + 2] = agent_id, epoch
            ended_prefix = string.sub(tombstone, 1, #tombstone - #agent_id)
            times = ''
            told[agent_id] = times
            keep_owner(agent_id, '')
        else
            if times ~= '' then
                told[agent_id] = times
            end
            if owner ~= '' then
                keep_owner(agent_id, string.sub(owner, 2))
            end
            if operation == 'adopt' and redis.call('PTTL', key) > 0 then
                redis.call('SET', key, record, 'KEEPTTL')
            else
                redis.call('SET', key, record, 'PX', ttl)
            end
        end
        if kind ~= '' then
            revision = revision + 1
            if not total then
                local newest = end_entry('last-entry')
                local before_it, size = 0, 0
                if newest then
                    before_it, size = extent_of(newest)
                end
                total = before_it + size
            end
            local told_more = times ~= '' and {'times', times} or {}
            local principal = string.sub(owner, 2)
            if principal ~= '' then
                told_more[#told_more + 1] = 'owner'
                told_more[#told_more + 1] = principal
            end
            redis.call('XADD', log, 'MAXLEN', '~', ARGV[4], written .. '-0',
                'kind', kind, 'agent', record, 'key', change_key, 'at', digits(total),
                unpack(told_more))
            total = total + #kind + #record + #change_key + #times + #principal
        elseif announcing and operation ~= 'remove' then
            renewed[#renewed + 1] = agent_id .. ' ' .. last_seen_in(head)
            loads[#loads + 1] = load
            loaded = loaded or load ~= ''
        end
        answer[#answer + 1] = written .. ' ' .. epoch
    end
end
if total then
    trim_to_bytes(total, tonumber(ARGV[6]))
end
settle('SADD', members, true)
settle('SREM', members, false)
keep_told(told)
if #renewed > 0 then
    local fields = {ARGV[5], table.concat(renewed, '\n')}
    if loaded then -- apart, so that hubs of earlier versions can read the rest
        fields[3], fields[4] = 'load', table.concat(loads, '\n')
    end
    local oldest = digits(milliseconds() - RENEWALS_MS)
    local added = redis.pcall('XADD', renewals, 'MINID', '~', oldest, '*', unpack(fields))
    if type(added) == 'table' and added.err then
        -- A stray entry may have the last id that there is. Renewals are soon old: begin again.
        redis.call('UNLINK', renewals)
        redis.call('XADD', renewals, 'MINID', '~', oldest, '*', unpack(fields))
    end
    -- So that the stream expires when no hub, or only one, is left.
    redis.call('PEXPIRE', renewals, 2 * RENEWALS_MS)
end

if #ended > 0 then
    bound_tombstones(ended_prefix, ended)
end

-- Last, because a full server allows PEXPIRE, and after any write Redis would allow the rest of the
-- script as well.
redis.call('PEXPIRE', lease, ARGV[3])
table.insert(aside, 1, table.concat(answer, ' '))
return table.concat(aside, '\n')
