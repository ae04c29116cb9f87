-- Looks for what programs other than hubs did to agents that a hub knows.
--
-- KEYS: 1 the log's name, 2 the active set, 3… the entries of the agents
-- ARGV: 1 the log that the hub writes, 2… the ids of the agents
-- Returns "fenced" when it is another log; otherwise a text with a character for each agent: "." for
-- an entry that a hub wrote (or one that has run out), "w" for one that another program wrote, "d"
-- when there is neither an entry nor the id in the active set.

local TAIL, TAIL_BYTES = ',"epoch":%d+,"hub":"[^"]*","revision":%d+}$', 192
local problem = misfit(KEYS[1], 'string') or misfit(KEYS[2], 'set')
if problem then
    return problem
end
if redis.call('GET', KEYS[1]) ~= ARGV[1] then
    return 'fenced'
end
local answer = {}
for i = 3, #KEYS do
    local tail, found = redis.pcall('GETRANGE', KEYS[i], -TAIL_BYTES, -1), '.'
    if type(tail) == 'table' or tail ~= '' then
        -- Of another type, it is no hub's either: the next change sets it aside.
        if type(tail) == 'table' or not string.find(tail, TAIL) then
            found = 'w'
        end
    elseif redis.call('SISMEMBER', KEYS[2], ARGV[i - 1]) == 0 then
        found = redis.call('EXISTS', KEYS[i]) == 0 and 'd' or 'w'
    end
    answer[i - 2] = found
end
return table.concat(answer)
