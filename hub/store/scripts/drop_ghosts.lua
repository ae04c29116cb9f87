-- Drops from the active set the ids that have no entry.
--
-- KEYS: 1 the active set, 2… the entries
-- ARGV: 1… their ids
-- Returns for each: 0 when it was dropped, 1 when the key holds another type than text, which is
-- left alone, or the record that has appeared meanwhile.

local answer = {}
for i, agent_id in ipairs(ARGV) do
    local value = redis.pcall('GET', KEYS[i + 1])
    if type(value) == 'table' then
        -- `tostring`, because the server in memory puts no text of Lua's own there.
        if not string.find(tostring(value.err), 'WRONGTYPE', 1, true) then
            return value
        end
        answer[i] = 1
    elseif value then
        answer[i] = value
    else
        redis.call('SREM', KEYS[1], agent_id)
        answer[i] = 0
    end
end
return answer
