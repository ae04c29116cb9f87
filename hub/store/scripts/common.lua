-- Functions that several scripts need; this text precedes each of them.

-- The largest revision and epoch that are believed; of larger numbers Lua and some readers of JSON
-- know only the first digits.
local LARGEST = 9007199254740992 - 4294967296

-- The number that a text of digits is; nil when it is anything else, or too large.
local function whole(text)
    if type(text) ~= 'string' or #text > 16 or not string.find(text, '^%d+$') then
        return nil
    end
    local number = tonumber(text)
    return number <= LARGEST and number or nil
end

-- An error for a key that holds another type than `wanted`; nil when the type is right.
local function misfit(key, wanted)
    local found = redis.call('TYPE', key).ok
    if found ~= wanted and found ~= 'none' then
        return redis.error_reply('HOMEPORT the Redis key ' .. key .. ' holds a ' .. found
            .. ' where a ' .. wanted .. ' belongs: `homeport repair` sets it aside')
    end
end

-- The revision that the log has reached and what XINFO STREAM says; nil when there is no log, or no
-- hub can have written so high an id. It is the last id that the stream generated, not that of its
-- last entry: a new log is empty, and at the revision it began from.
local function last_revision(log)
    if redis.call('EXISTS', log) == 0 then
        return nil
    end
    local info = redis.call('XINFO', 'STREAM', log)
    for i = 1, #info, 2 do
        if info[i] == 'last-generated-id' then
            return whole(string.match(info[i + 1], '^%d+')), info
        end
    end
end

-- The key of the log's entry at a revision, given as text; nil when there is no such entry.
local function key_at(log, revision)
    local entry = redis.call('XRANGE', log, revision .. '-0', revision .. '-0')[1]
    if not entry then
        return nil
    end
    local fields = entry[2]
    for i = 1, #fields, 2 do
        if fields[i] == 'key' then
            return fields[i + 1]
        end
    end
    return ''
end

-- Whether an entry's key is another one than the one that a hub knows; "" is an unknown key, and nil
-- an entry that is not there.
local function is_another(key, known_key)
    return key and known_key ~= '' and key ~= '' and key ~= known_key
end

-- The text under a key: false when there is nothing, nil when it holds another type.
local function text_at(key)
    local value = redis.pcall('GET', key)
    if type(value) ~= 'table' then
        return value
    end
    -- `tostring`, because the server in memory has no Lua string there.
    if string.find(tostring(value.err), 'WRONGTYPE', 1, true) then
        return nil
    end
    return redis.call('GET', key) -- the same error ends the script
end

-- Whether a hub has written this name of a log.
local function is_log_name(name)
    return type(name) == 'string' and #name <= 128 and string.find(name, '^[%w_.:-]+$') ~= nil
end

-- Whether the lease of a living hub is under the key: any other hash has no time to live.
local function is_lease(key)
    return redis.call('TYPE', key).ok == 'hash' and redis.call('PTTL', key) > 0
        and redis.call('HGET', key, 'generation') ~= false
end

-- Redis's clock, as Unix time in milliseconds: the only clock by which hubs compare times.
local function milliseconds()
    local time = redis.call('TIME')
    return tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
end

-- `tostring` would write a large number with an exponent.
local function digits(number)
    return string.format('%.0f', number)
end

-- Renames a key that holds what a hub cannot read, so that the key can be used and nothing is lost.
-- `base` is what all keys of the namespace begin with.
local function set_aside(base, key)
    local name = base .. 'set-aside:' .. string.sub(key, #base + 1) .. ':' .. digits(milliseconds())
    redis.call('RENAME', key, name)
    redis.call('PERSIST', name)
    return name
end

-- What all keys of the namespace begin with, by one of them and how it ends.
local function base_of(key, ending)
    return string.sub(key, 1, #key - #ending)
end
