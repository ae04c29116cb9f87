-- What several scripts need; it is put before each of them.

-- An error for a key that holds another type than `wanted`, nil when all is well.
local function misfit(key, wanted)
    local found = redis.call('TYPE', key).ok
    if found ~= wanted and found ~= 'none' then
        return redis.error_reply('HOMEPORT the Redis key ' .. key .. ' holds a ' .. found
            .. ' where a ' .. wanted .. ' belongs; rename or delete it')
    end
end

-- The revision that the log has reached, nil when there is no log. The last id that the stream
-- gave tells, not its last entry: a new log is empty and stands at the revision it began from.
local function last_revision(log)
    if redis.call('EXISTS', log) == 0 then
        return nil
    end
    local info = redis.call('XINFO', 'STREAM', log)
    for i = 1, #info, 2 do
        if info[i] == 'last-generated-id' then
            return tonumber(string.match(info[i + 1], '^(%d+)'))
        end
    end
end

-- Lua's own way would print a large number with an exponent.
local function digits(number)
    return string.format('%.0f', number)
end
