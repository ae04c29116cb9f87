-- Drops from the active set the ids that have no entry.
--
-- KEYS: 1 the active set, 2 the times that agents were told, 3 whose they are, 4… the entries
-- ARGV: 1… their ids
-- Returns for each: 0 when it was dropped; 1 when the key holds another type than text, which is
-- left unchanged; or the record that has appeared in the meantime.

local answer = {}
for i, agent_id in ipairs(ARGV) do
    local value = text_at(KEYS[i + 3])
    if value == nil then
        answer[i] = 1
    elseif value then
        answer[i] = value
    else
        redis.call('SREM', KEYS[1], agent_id)
        redis.pcall('HDEL', KEYS[2], agent_id)
        redis.pcall('HDEL', KEYS[3], agent_id)
        answer[i] = 0
    end
end
return answer
